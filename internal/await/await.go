// Package await runs what a test needs while it lasts, and waits for what that does.
package await

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Patience is longer than anything takes on a busy machine.
const Patience = 30 * time.Second

// True waits until something holds.
func True(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("this did not happen within %v: %s", Patience, what)
		}
	}
}

// Run runs something until the test ends or calls stop, which waits for it. It must end
// without an error.
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
		case <-time.After(Patience):
			t.Errorf("Run did not end within %v", Patience)
		}
	})
	t.Cleanup(stop)
	return stop
}
