package watch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/watch"
)

// strict is a Graph that takes its time and notes when it is asked for a mailbox
// that it is being asked for already.
type strict struct {
	*world
	mu      sync.Mutex
	current map[ooo.ObjectID]int // guarded by mu, as below
	twice   int
	calls   int
}

func (s *strict) Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.Reading {
	s.count(ids, 1)
	defer s.count(ids, -1)
	time.Sleep(rand.N(800 * time.Millisecond))
	return s.world.Read(ctx, ids, known)
}

func (s *strict) count(ids []ooo.ObjectID, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls += max(by, 0)
	for _, id := range ids {
		if s.current[id] += by; s.current[id] > 1 {
			s.twice++
		}
	}
}

// alias monitors the mailbox of name under another address too.
func (w *world) alias(other, name string) {
	w.add(other, off)
	delete(w.graph, ooo.ObjectID("id-"+other))
	key, id := ooo.Key(other), ooo.ObjectID("id-"+name)
	w.users[key].Person.ID = id
	c := w.claims[key]
	c.ObjectID = id
	w.claims[key] = c
}

func sharing(t *testing.T, w *world, story func(s *strict)) {
	t.Helper()
	s := &strict{world: w, current: map[ooo.ObjectID]int{}}
	watcher, err := watch.New(watch.Config{Queue: w, Store: w, Graph: s, Interval: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := watcher.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	story(s)
	cancel()
	running.Wait()
}

func TestAMailboxWithSeveralAddressesIsAskedForOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for i := range 30 {
			name := fmt.Sprintf("user%02d", i)
			w.add(name, on)
			if i%3 == 0 {
				w.alias("also-"+name, name)
				w.alias("and-"+name, name)
			}
		}
		sharing(t, w, func(s *strict) {
			for range 40 { // notifications, at any time
				time.Sleep(rand.N(500 * time.Millisecond))
				w.mu.Lock()
				for _, key := range []ooo.Key{"user03", "also-user03", "and-user06"} {
					w.due[ooo.ReadQueue][key] = time.Now()
				}
				w.mu.Unlock()
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.twice > 0 {
				t.Errorf("%d requests for a mailbox that was being read, want none", s.twice)
			}
		})
		for key, u := range w.users {
			if u.State == nil || !u.State.Away {
				t.Errorf("%s = %+v, want it seen away under each address", key, u.State)
			}
		}
	})
}

func TestAddressesThatAreDueTogetherShareAnAnswer(t *testing.T) {
	for name, source := range map[string]ooo.Source{"polled": ooo.SourcePoll, "announced": ooo.SourceNotification} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.add("ann", on)
				w.alias("also-ann", "ann")
				for _, key := range []ooo.Key{"ann", "also-ann"} {
					c := w.claims[key]
					c.Source = source
					w.claims[key] = c
				}
				sharing(t, w, func(s *strict) {
					time.Sleep(time.Second)
					s.mu.Lock()
					defer s.mu.Unlock()
					if s.calls != 1 || len(w.batches) != 1 || w.batches[0] != 1 {
						t.Errorf("requests = %d for %v mailboxes, want one for one", s.calls, w.batches)
					}
				})
				for key, u := range w.users {
					if u.State == nil || !u.State.Away || u.Sequence != 1 {
						t.Errorf("%s = %+v, want it seen away", key, u.State)
					}
				}
			})
		})
	}
}
