package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/ooo"
)

// slowRetry makes a retry of a stop take a second to read the wish.
func slowRetry(ctx context.Context, err error) error {
	if isRetry(ctx) {
		time.Sleep(time.Second)
	}
	return err
}

// running returns the routes of an API that runs until the test ends.
func running(t *testing.T, f *fixture) http.Handler {
	t.Helper()
	a, engine := f.open(t)
	await.Run(t, a.Run)
	return engine
}

// waitForRetries forgets previous retries and waits until all stops have been retried.
func (f *fixture) waitForRetries() {
	f.update(func() { f.retried, f.syncRequests = nil, 0 })
	time.Sleep(time.Minute)
	synctest.Wait()
}

// step is something that happens to a replica.
type step func(t *testing.T, f *fixture, h http.Handler)

func TestRetriedStops(t *testing.T) {
	const ann = "Ann@contoso.example"
	change := func(change func(f *fixture)) step {
		return func(_ *testing.T, f *fixture, _ http.Handler) { f.update(func() { change(f) }) }
	}
	send := func(r request) step {
		return func(t *testing.T, f *fixture, h http.Handler) {
			unavailable := f.err != nil || f.unready
			if answer, body := r.ask(h); unavailable && answer.Code != 503 || !unavailable && answer.Code >= 300 {
				t.Errorf("%s %s = %d %s, want 503 while Redis is unreachable and otherwise success", r.method, r.path, answer.Code, body)
			}
		}
	}
	sendToOther := func(r request) step {
		return func(t *testing.T, f *fixture, _ http.Handler) { send(r)(t, f, handler(t, f)) }
	}
	wait := func(d time.Duration) step { return func(*testing.T, *fixture, http.Handler) { time.Sleep(d) } }
	away, back := change(func(f *fixture) { f.err = errAway }), change(func(f *fixture) { f.err = nil })
	unready, ready := change(func(f *fixture) { f.unready = true }), change(func(f *fixture) { f.unready = false })
	newerWish := change(func(f *fixture) {
		wish := f.wishes[ooo.FoldAddress(ann)]
		wish.At = time.Now().Add(time.Second)
		f.wishes[ooo.FoldAddress(ann)] = wish
	})
	withoutAnswer := change(func(f *fixture) { // Redis carries out a stop, but its answer is lost
		f.wishes[ooo.FoldAddress(ann)] = ooo.Wish{Address: ann, Nonce: "stopped", At: time.Now()}
	})
	start, stop := send(monitor(ann, "True")), send(monitor(ann, "False"))
	putToOther := sendToOther(put("/api/users/ann@contoso.example"))
	duringRetry, betweenRetries := wait(1500*time.Millisecond), wait(500*time.Millisecond)
	for name, tt := range map[string]struct {
		steps     []step
		monitored bool // in the end
		retried   bool // a stop is retried once Redis is back
	}{
		"Redis unreachable for a minute":  {[]step{away, stop, wait(time.Minute), back}, false, true},
		"other letter case":               {[]step{away, send(monitor("ANN@contoso.example", "False")), back}, false, true},
		"Redis not reached yet":           {[]step{unready, away, stop, ready, back}, false, true},
		"failed start":                    {[]step{away, stop, start, wait(time.Minute), back}, true, false},
		"failed bulk start":               {[]step{away, stop, send(bulkStart("ann@contoso.example")), wait(time.Minute), back}, true, false},
		"failed start and stop":           {[]step{away, stop, start, stop, wait(time.Minute), back}, false, true},
		"failed start during a retry":     {[]step{away, stop, duringRetry, unready, start, ready, back}, true, false},
		"failed start, stop during retry": {[]step{away, stop, duringRetry, start, stop, back}, false, true},
		"start":                           {[]step{away, stop, betweenRetries, back, start}, true, false},
		"newer wish of another replica":   {[]step{away, stop, newerWish, back}, true, true},
		// A start by the mediator writes no wish. The requested sync names the user again.
		"start at another replica":                         {[]step{away, stop, betweenRetries, back, sendToOther(monitor(ann, "True"))}, false, true},
		"start at another replica, stop without an answer": {[]step{away, stop, betweenRetries, back, sendToOther(monitor(ann, "True")), withoutAnswer}, false, true},
		"PUT at another replica":                           {[]step{away, stop, betweenRetries, back, putToOther}, true, true},
		"bulk start at another replica":                    {[]step{away, stop, betweenRetries, back, sendToOther(bulkStart("ann@contoso.example"))}, true, true},
		"PUT at another replica, stop during retry":        {[]step{away, stop, back, duringRetry, putToOther, away, stop, back}, false, true},
	} {
		t.Run(name, await.Bubble(func(t *testing.T) {
			f := monitorFixture()
			f.afterWish = slowRetry
			h := running(t, f)
			for _, step := range tt.steps {
				step(t, f, h)
			}
			f.waitForRetries()
			if requested := f.syncRequests > 0; requested != (tt.retried && !tt.monitored) {
				t.Errorf("sync requested: %t, want one only after a stop that was stored", requested)
			}
			if on := f.wishes[ooo.FoldAddress(ann)].On; on != tt.monitored || len(f.retried) > 0 != tt.retried {
				t.Errorf("monitored = %t after %d retries, want %t, and retries: %t", on, len(f.retried), tt.monitored, tt.retried)
			}
		}))
	}
}

func TestLimitsOfChanges(t *testing.T) {
	const ann = "Ann@contoso.example"
	synctest.Test(t, func(t *testing.T) {
		f := monitorFixture()
		release := make(chan struct{})
		f.afterWish = func(ctx context.Context, err error) error {
			select {
			case <-release:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		h := running(t, f)
		var requests sync.WaitGroup
		for _, tt := range []struct {
			limit       int
			first, last request
		}{{4, bulkStart("bob@contoso.example"), bulkStart(ann)}, {128, monitor("nobody@contoso.example", "False"), monitor(ann, "False")}} {
			for range tt.limit {
				requests.Go(func() { tt.first.ask(h) })
			}
			synctest.Wait()
			began := time.Now()
			answer, _ := tt.last.ask(h)
			if took := time.Since(began); answer.Code != 503 || took != 5*time.Second {
				t.Errorf("%s = %d after %v, want 503 after 5 s", tt.last.path, answer.Code, took)
			}
		}
		close(release)
		requests.Wait()
		f.waitForRetries()
		if f.wishes[ooo.FoldAddress(ann)].On {
			t.Error("the user is still monitored")
		}
	})
}

func TestFailingRetryDelaysNoOtherStop(t *testing.T) {
	const bob, ann = "bob@contoso.example", "ann@contoso.example"
	synctest.Test(t, func(t *testing.T) {
		f := monitorFixture()
		f.err = errAway
		h := running(t, f)
		monitor(bob, "False").ask(h)
		monitor(ann, "False").ask(h)
		f.update(func() { f.err = nil })
		f.afterWish = func(_ context.Context, err error) error {
			if f.retried[len(f.retried)-1] == bob {
				return errAway
			}
			return err
		}
		f.waitForRetries()
		if f.wishes[ann].On {
			t.Error("the user whose stop can be stored is still monitored")
		}
	})
}

func TestRetriedStopsAreLimited(t *testing.T) {
	const limit = 10_000
	synctest.Test(t, func(t *testing.T) {
		f := monitorFixture()
		f.err = errAway
		h := running(t, f)
		for i := range limit + 100 {
			if answer, _ := monitor(fmt.Sprintf("user%d@contoso.example", i), "False").ask(h); answer.Code != 503 {
				t.Fatalf("answer = %d, want 503", answer.Code)
			}
		}
		f.update(func() { f.err = nil })
		f.waitForRetries()
		dropped, oldest := fmt.Sprintf("user%d@contoso.example", 99), fmt.Sprintf("user%d@contoso.example", 100)
		if len(f.retried) != limit || slices.Contains(f.retried, dropped) || !slices.Contains(f.retried, oldest) {
			t.Errorf("%d stops were retried, want each of the newest %d once", len(f.retried), limit)
		}
	})
}
