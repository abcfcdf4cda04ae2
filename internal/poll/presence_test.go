package poll_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
)

// presence is Graph's, in memory.
type presence struct {
	mu     sync.Mutex
	away   map[ooo.ObjectID]bool // guarded by mu, as all below
	calls  []time.Time
	swept  []time.Time
	answer func(call int) error // nil: no error
}

// sweeping has a replica with a share of Graph's quota sweep presence, and hardly poll.
func sweeping(pr *presence, share float64) func(*poll.Config, *faultyGraph) {
	return func(cfg *poll.Config, _ *faultyGraph) {
		cfg.Interval, cfg.Share = time.Hour, func() float64 { return share }
		cfg.OnSweep = func(int, int) { pr.set(func() { pr.swept = append(pr.swept, time.Now()) }) }
		cfg.Presences = pr.ask
	}
}

func (pr *presence) ask(_ context.Context, ids []ooo.ObjectID) (map[ooo.ObjectID]bool, error) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.calls = append(pr.calls, time.Now())
	if pr.answer != nil {
		if err := pr.answer(len(pr.calls)); err != nil {
			return nil, err
		}
	}
	all := map[ooo.ObjectID]bool{}
	for _, id := range ids {
		all[id] = pr.away[id]
	}
	return all, nil
}

func (pr *presence) set(change func()) { pr.mu.Lock(); defer pr.mu.Unlock(); change() }

// since returns the calls from a moment on.
func (pr *presence) since(then time.Time) (calls []time.Time) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	for _, at := range pr.calls {
		if !at.Before(then) {
			calls = append(calls, at)
		}
	}
	return calls
}

// fail has each call fail from now on, or none.
func (pr *presence) fail(err error) {
	pr.set(func() { pr.answer = func(int) error { return err } })
}

func TestWhosePresenceTurnsIsRead(t *testing.T) {
	pr := &presence{away: map[ooo.ObjectID]bool{"id-user03": true}}
	run(t, sweeping(pr, 1), crowd(700), func(w *world) {
		time.Sleep(10 * time.Second)
		pr.set(func() { pr.away["id-user07"] = true })
		w.graph.set(func() { w.graph.settings["id-user07"] = on })
		time.Sleep(3 * time.Second)
		if got := w.noticed(); len(got) != 1 || got[0].Source != ooo.SourcePresence {
			t.Errorf("changes = %+v, want one by presence", got)
		}
	})
}

// Graph allows an app 1,500 requests in 30 s. This replica's share of them is 30.
func TestPresenceIsAskedForAtGraphsPace(t *testing.T) {
	const share = 0.02
	pr := &presence{}
	run(t, sweeping(pr, share), crowd(2*ooo.MaxPresences+1), func(w *world) {
		began := time.Now()
		time.Sleep(5 * time.Minute)
		calls := pr.since(began)
		for i := range calls {
			if last := i + 30; last < len(calls) && calls[last].Sub(calls[i]) < 30*time.Second {
				t.Fatalf("31 calls in %v, want at most 30 in 30 s", calls[last].Sub(calls[i]))
			}
		}
		if n := len(calls); n < 290 {
			t.Errorf("%d calls in five minutes, want nearly 300", n)
		}
	})
}

func TestPresenceWaitsAsGraphAsks(t *testing.T) {
	const share = 0.02 // a call a second
	pr := &presence{}
	callsIn := func(d time.Duration) int {
		began := time.Now()
		time.Sleep(d)
		return len(pr.since(began))
	}
	run(t, sweeping(pr, share), crowd(2*ooo.MaxPresences+1), func(w *world) {
		time.Sleep(10 * time.Second)
		var refused time.Time
		pr.set(func() {
			first := len(pr.calls) + 1
			pr.answer = func(call int) error {
				if call != first {
					return nil
				}
				refused = time.Now()
				return &ooo.Throttled{After: 20 * time.Second}
			}
		})
		time.Sleep(30 * time.Second)
		if n := callsIn(10 * time.Second); n > 8 {
			t.Errorf("%d calls in the first 10 s after that, want fewer than before", n)
		}
		calls := pr.since(refused)
		if gap := calls[1].Sub(calls[0]); gap < 20*time.Second || gap > 22*time.Second {
			t.Errorf("the next call came after %v, want after the 20 s that Graph asked for", gap)
		}
		w.mu.Lock()
		if w.waits[poll.PresenceWait].IsZero() || len(w.waits) != 1 {
			t.Errorf("shared waits = %v, want that of presence", w.waits)
		}
		w.mu.Unlock()
		time.Sleep(5 * time.Minute)
		if n := callsIn(time.Minute); n < 57 {
			t.Errorf("%d calls a minute later on, want one a second again", n)
		}

		w.mu.Lock() // by another replica
		w.waits[poll.PresenceWait] = time.Now().Add(40 * time.Second)
		w.mu.Unlock()
		time.Sleep(2 * time.Second)
		if n := callsIn(30 * time.Second); n > 0 {
			t.Errorf("%d calls while another replica was asked to wait, want none", n)
		}
	})
}

func TestPresenceFails(t *testing.T) {
	pr := &presence{}
	run(t, sweeping(pr, 1), crowd(6*ooo.MaxPresences), func(w *world) {
		for _, tt := range []struct {
			err   error
			least time.Duration // between two sweeps
			calls int           // of a sweep, at most
		}{{ooo.ErrDenied, 5 * time.Minute, 2}, {ooo.ErrUnavailable, 5 * time.Second, 5}} {
			pr.fail(tt.err)
			time.Sleep(5 * time.Minute) // whatever was before
			began := time.Now()
			pr.set(func() { pr.swept = nil })
			time.Sleep(12 * time.Minute)
			calls := len(pr.since(began))
			pr.set(func() {
				if n := len(pr.swept); n < 2 || calls > tt.calls*n {
					t.Errorf("after %v: %d calls in %d sweeps, want at most %d in each", tt.err, calls, n, tt.calls)
				}
				for i := 1; i < len(pr.swept); i++ {
					if gap := pr.swept[i].Sub(pr.swept[i-1]); gap < tt.least {
						t.Errorf("after %v: the next sweep came after %v, want %v", tt.err, gap, tt.least)
					}
				}
			})
		}

		// One call in eight is not worth a wait.
		pr.set(func() {
			pr.answer = func(call int) error {
				if call%8 == 0 {
					return ooo.ErrUnavailable
				}
				return nil
			}
		})
		time.Sleep(5 * time.Minute)
		began := time.Now()
		time.Sleep(time.Minute)
		if n := len(pr.since(began)); n < 175 {
			t.Errorf("%d calls in a minute, want 6 in each 2 s", n)
		}
	})
}
