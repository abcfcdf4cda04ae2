package poll_test

import (
	"context"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
)

// presence is the in-memory presence service of Graph.
type presence struct {
	guard
	away   map[ooo.ObjectID]bool // guarded, like the fields below
	calls  []time.Time
	sweeps []time.Time
	fails  func(call int) bool // nil: no call fails
	err    error               // of a call that fails
}

// onlySweep makes a replica with a share of Graph's quota sweep presence, and hardly poll.
func onlySweep(pr *presence, share float64) func(*poll.Config, *faultyGraph) {
	return func(cfg *poll.Config, _ *faultyGraph) {
		cfg.Interval, cfg.Share = time.Hour, func() float64 { return share }
		cfg.OnSweep = func(int, int) { pr.locked(func() { pr.sweeps = append(pr.sweeps, time.Now()) }) }
		cfg.Presences = pr.request
	}
}

func (pr *presence) request(_ context.Context, ids []ooo.ObjectID) (map[ooo.ObjectID]bool, error) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.calls = append(pr.calls, time.Now())
	if pr.fails != nil && pr.fails(len(pr.calls)) {
		return nil, pr.err
	}
	all := map[ooo.ObjectID]bool{}
	for _, id := range ids {
		all[id] = pr.away[id]
	}
	return all, nil
}

// callsIn returns the calls in the next d.
func (pr *presence) callsIn(d time.Duration) (calls []time.Time) {
	pr.locked(func() { pr.calls = nil })
	time.Sleep(d)
	pr.locked(func() { calls = pr.calls })
	return calls
}

// Graph allows an app 1,500 requests in 30 s; the share of this replica is one a second.
func TestPresenceRate(t *testing.T) {
	pr := &presence{}
	runUnchanged(t, onlySweep(pr, 0.02), 2*ooo.MaxPresences+1, func(f *fixture) {
		time.Sleep(10 * time.Second)
		first := func(call int) bool { return call == 1 }
		pr.locked(func() { pr.fails, pr.err = first, &ooo.Throttled{After: 20 * time.Second} })
		calls := pr.callsIn(30 * time.Second)
		if gap := calls[1].Sub(calls[0]); gap < 20*time.Second || gap > 22*time.Second {
			t.Errorf("next call after %v, want it after the 20 s that Graph asked for", gap)
		}
		pr.locked(func() { pr.fails = nil })
		if n := len(pr.callsIn(10 * time.Second)); n > 8 {
			t.Errorf("%d calls in the next 10 s, want fewer than before", n)
		}
		f.locked(func() {
			if f.waits[ooo.PresenceWait].IsZero() || len(f.waits) != 1 {
				t.Errorf("shared waits = %v, want that of presence", f.waits)
			}
		})
		time.Sleep(5 * time.Minute)
		if n := len(pr.callsIn(time.Minute)); n < 57 || n > 60 {
			t.Errorf("%d calls in a later minute, want one a second again", n)
		}
	})
}

func TestPresenceSweeps(t *testing.T) {
	pr := &presence{away: map[ooo.ObjectID]bool{"id-user03": true}}
	runUnchanged(t, onlySweep(pr, 1), 6*ooo.MaxPresences, func(f *fixture) {
		for _, tt := range []struct {
			err    error
			minGap time.Duration // between two sweeps
			calls  int           // at most, in one sweep
		}{{ooo.ErrUnavailable, 2 * time.Second, 6}, {ooo.ErrDenied, 5 * time.Minute, 2}} {
			pr.locked(func() { pr.fails, pr.err = func(int) bool { return true }, tt.err })
			time.Sleep(10 * time.Second) // until the wait before is over
			pr.locked(func() { pr.sweeps = nil })
			calls := len(pr.callsIn(2*tt.minGap + time.Minute))
			pr.locked(func() {
				if n := len(pr.sweeps); n < 2 || calls > tt.calls*n {
					t.Errorf("after %v: %d calls in %d sweeps, want at most %d in each", tt.err, calls, n, tt.calls)
				}
				for i := 1; i < len(pr.sweeps); i++ {
					if gap := pr.sweeps[i].Sub(pr.sweeps[i-1]); gap < tt.minGap {
						t.Errorf("after %v: next sweep after %v, want %v", tt.err, gap, tt.minGap)
					}
				}
			})
		}

		// One failed call in eight causes no wait.
		eighth := func(call int) bool { return call%8 == 0 }
		pr.locked(func() { pr.fails, pr.err = eighth, ooo.ErrUnavailable })
		time.Sleep(5 * time.Minute)
		if n := len(pr.callsIn(20 * time.Second)); n < 57 {
			t.Errorf("%d calls in 20 s, want 6 every 2 s", n)
		}

		f.graph.takeReads("id-user07")
		pr.locked(func() { pr.away["id-user07"] = true })
		time.Sleep(10 * time.Second)
		if n := len(f.graph.takeReads("id-user07")); n != 1 {
			t.Errorf("%d reads after a change of presence, want one", n)
		}
		if n := len(f.graph.takeReads("id-user03")); n != 0 {
			t.Errorf("%d reads without a change of presence, want none", n)
		}
	})
}
