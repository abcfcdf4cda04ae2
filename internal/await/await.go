// Package await helps tests that run background work: it starts the work and waits for
// its effects.
package await

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Timeout is longer than anything takes on a busy machine.
const Timeout = 30 * time.Second

// True waits until holds returns true; what describes that for the failure message.
func True(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Within(t, Timeout, what, holds)
}

// Within is like True with another timeout. It asks less often if that is longer.
func Within(t testing.TB, timeout time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !holds(); time.Sleep(timeout / 15_000) {
		if time.Now().After(deadline) {
			t.Fatalf("not true within %v: %s", timeout, what)
		}
	}
}

// Run calls run in the background. The returned stop cancels its context and waits for it
// to return, which it must do without an error; the end of the test calls stop too.
func Run(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		case <-time.After(Timeout):
			t.Errorf("Run did not return within %v", Timeout)
		}
	})
	t.Cleanup(stop)
	return stop
}

// Bubble returns test in a synctest bubble, for a subtest.
func Bubble(test func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}
