package watch_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/watch"
)

// crowd is many users, their presence, and Redis as far as a sweep needs it.
type crowd struct {
	mu     sync.Mutex
	people map[ooo.ObjectID][]ooo.Key // guarded by mu, as all below
	away   map[ooo.ObjectID]bool
	calls  []time.Time
	most   int // ids in one call
	err    error
	marked []ooo.Mark
	locked bool
	paused time.Time
}

func newCrowd(n int) *crowd {
	c := &crowd{people: map[ooo.ObjectID][]ooo.Key{}, away: map[ooo.ObjectID]bool{}}
	for i := range n {
		id := ooo.ObjectID(fmt.Sprintf("id%d", i))
		c.people[id], c.away[id] = []ooo.Key{ooo.Key(fmt.Sprintf("key%d", i))}, false
	}
	return c
}

func (c *crowd) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (c *crowd) presences(_ context.Context, ids []ooo.ObjectID) ([]ooo.Presence, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.most = append(c.calls, time.Now()), max(c.most, len(ids))
	if c.err != nil {
		return nil, c.err
	}
	var all []ooo.Presence
	for _, id := range ids {
		if away, known := c.away[id]; known {
			all = append(all, ooo.Presence{ID: id, Away: away})
		}
	}
	return all, nil
}

func (c *crowd) People(context.Context) (map[ooo.ObjectID][]ooo.Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.people, nil
}

func (c *crowd) Mark(_ context.Context, q ooo.Queue, marks ...ooo.Mark) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q == ooo.ReadQueue {
		c.marked = append(c.marked, marks...)
	}
	return len(marks), nil
}

func (c *crowd) Lock(context.Context, string, time.Duration) (func(context.Context) error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.locked {
		return nil, ooo.ErrBusy
	}
	c.locked = true
	return func(context.Context) error { c.set(func() { c.locked = false }); return nil }, nil
}

func (c *crowd) Pause(_ context.Context, name string, until time.Time) error {
	c.set(func() {
		if name == ooo.PresencePause {
			c.paused = until
		}
	})
	return nil
}

func (c *crowd) Paused(context.Context, string) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paused, nil
}

func (c *crowd) Now(context.Context) (time.Time, error) { return time.Now(), nil }

// sweep lets replicas sweep until the story is told.
func (c *crowd) sweep(t *testing.T, replicas int, story func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range replicas {
		p, err := watch.NewPresenceSweep(watch.PresenceConfig{Store: c, Presences: c.presences})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { _ = p.Run(ctx) })
	}
	story()
	cancel()
	running.Wait()
}

func TestWhoeverTurnsIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(1500)
		c.away["id3"] = true // before we looked: nobody turned
		c.people["id7"] = []ooo.Key{"key7", "alias7"}
		c.sweep(t, 1, func() {
			time.Sleep(5 * time.Second)
			c.set(func() { c.away["id7"], c.away["id9"] = true, true })
			time.Sleep(5 * time.Second)
			c.set(func() { c.away["id9"] = false })
			time.Sleep(5 * time.Second)
		})
		var keys []ooo.Key
		for _, m := range c.marked {
			if keys = append(keys, m.Key); m.Source != ooo.SourcePresence || !m.Urgent {
				t.Errorf("mark = %+v, want an urgent one by presence", m)
			}
		}
		slices.Sort(keys)
		if want := []ooo.Key{"alias7", "key7", "key9", "key9"}; !slices.Equal(keys, want) {
			t.Errorf("marked = %v, want %v", keys, want)
		}
		if c.most > ooo.MostPresences {
			t.Errorf("%d ids in one call, want at most %d", c.most, ooo.MostPresences)
		}
	})
}

func TestSweepsKeepToTheirBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(100_000) // 154 calls a sweep
		c.sweep(t, 3, func() { time.Sleep(60 * time.Second) })
		for i := range c.calls[:len(c.calls)-751] {
			if c.calls[i+751].Sub(c.calls[i]) < 30*time.Second {
				t.Fatalf("more than 751 calls within 30 s, of 1,500 that Graph allows")
			}
		}
		if len(c.calls) < 1400 {
			t.Errorf("%d calls in a minute, want the budget used", len(c.calls))
		}
	})
}

func TestASweepWaitsAsItIsTold(t *testing.T) {
	tests := map[string]struct {
		err   error
		least time.Duration
	}{
		"Graph names a wait":        {&ooo.Throttled{After: 20 * time.Second}, 20 * time.Second},
		"a permission is missing":   {ooo.ErrDenied, 5 * time.Minute},
		"Graph is away for a while": {ooo.ErrUnavailable, 5 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(10)
				c.err = tt.err
				c.sweep(t, 2, func() { time.Sleep(11 * time.Minute) })
				if len(c.calls) < 2 {
					t.Fatalf("calls = %d, want it tried again", len(c.calls))
				}
				for i := range c.calls[1:] {
					if gap := c.calls[i+1].Sub(c.calls[i]); gap < tt.least {
						t.Errorf("%v between two calls, want at least %v", gap, tt.least)
					}
				}
			})
		})
	}
}
