package due_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// start runs a loop until the returned stop, which waits for it.
func start(t *testing.T, cfg due.Config) (stop func()) {
	t.Helper()
	cfg.Name = ooo.ReadQueue
	loop, err := due.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := loop.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	return func() { cancel(); running.Wait() }
}

func TestFinishedWorkIsGivenBackTogether(t *testing.T) {
	for name, test := range map[string]struct {
		gather time.Duration
		calls  int
	}{
		"alone without gathering":                {0, 4},
		"together with what ends a moment later": {time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue("ann", "bob", "cat", "dan")
				stop := start(t, due.Config{Queue: q, Lease: time.Minute, Workers: 4, Gather: test.gather, Pace: time.Millisecond,
					Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
						time.Sleep(time.Duration(claims[0].Key[0]-'a'+1) * 100 * time.Millisecond)
						return []ooo.Finished{{Claim: claims[0]}}
					}})
				defer stop()
				time.Sleep(5 * time.Second)
				q.set(func() {
					if q.dones != test.calls || len(q.finished) != 4 {
						t.Errorf("%d given back in %d calls, want 4 in %d", len(q.finished), q.dones, test.calls)
					}
				})
			})
		})
	}
}

func TestWorkThatSomebodyWaitsForIsNotGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("ann", "bob")
		stop := start(t, due.Config{Queue: q, Lease: time.Minute, Workers: 4, Gather: 10 * time.Second,
			Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				if claims[0].Key == "bob" {
					time.Sleep(20 * time.Second)
				}
				time.Sleep(time.Second)
				return []ooo.Finished{{Claim: claims[0]}}
			}})
		defer stop()
		time.Sleep(500 * time.Millisecond)
		q.recall <- struct{}{} // ann was marked while she is worked on
		time.Sleep(600 * time.Millisecond)
		q.set(func() {
			if len(q.finished) != 1 {
				t.Errorf("given back = %d, want ann at once", len(q.finished))
			}
		})
	})
}

func TestAWakeUpCutsTheWaitShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		worked := make(chan time.Time, 1)
		stop := start(t, due.Config{Queue: q, Lease: time.Second,
			Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				worked <- time.Now()
				return []ooo.Finished{{Claim: claims[0]}}
			}})
		defer stop()
		time.Sleep(3 * time.Second)
		marked := time.Now()
		q.set(func() { q.due["ann"] = marked })
		q.wake <- struct{}{}
		if late := (<-worked).Sub(marked); late > 10*time.Millisecond {
			t.Errorf("worked %v after the wake-up, want at once", late)
		}
	})
}

func TestLostWakeUpsAreFoundByLookingNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		worked := make(chan time.Time, 1)
		stop := start(t, due.Config{Queue: q, Lease: time.Second, Idle: 10 * time.Second,
			Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				worked <- time.Now()
				return []ooo.Finished{{Claim: claims[0]}}
			}})
		defer stop()
		time.Sleep(time.Second)
		marked := time.Now()
		q.set(func() { q.due["ann"] = marked })
		if late := (<-worked).Sub(marked); late > 10*time.Second {
			t.Errorf("worked %v after the mark, want within Idle", late)
		}
	})
}

func TestLeasesAreExtendedWhileTheWorkGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("ann")
		var cut error
		stop := start(t, due.Config{Queue: q, Lease: 3 * time.Second, Workers: 2,
			Work: func(ctx context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				select {
				case <-ctx.Done():
					cut = context.Cause(ctx)
				case <-time.After(30 * time.Second):
				}
				return []ooo.Finished{{Claim: claims[0]}}
			}})
		time.Sleep(31 * time.Second)
		stop()
		if cut != nil || len(q.finished) != 1 || q.token != 1 {
			t.Errorf("work cut by %v, finished %d times, claimed %d times; want never, once, once", cut, len(q.finished), q.token)
		}
	})
}

func TestWorkSeesThatItsLeaseHasEndedBeforeTheLoopDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("ann")
		q.slow = time.Minute // the loop hears nothing meanwhile
		var held []bool
		stop := start(t, due.Config{Queue: q, Lease: 3 * time.Second,
			Work: func(ctx context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				for range 3 {
					held = append(held, due.Held(ctx))
					time.Sleep(2 * time.Second)
				}
				return []ooo.Finished{{Claim: claims[0]}}
			}})
		time.Sleep(10 * time.Second)
		stop()
		if want := []bool{true, true, false}; !slices.Equal(held, want) {
			t.Errorf("held at 0, 2 and 4 s of 3 = %v, want %v", held, want)
		}
	})
}

func TestWorkStopsWhenItsLeaseIsLost(t *testing.T) {
	tests := map[string]func(q *queue){
		"someone else holds it":      func(q *queue) { q.held["ann"] = "other" },
		"Redis can't be asked in it": func(q *queue) { q.err = errors.New("away") },
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue("ann")
				cut := make(chan time.Time, 10)
				stop := start(t, due.Config{Queue: q, Lease: 3 * time.Second,
					Work: func(ctx context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
						<-ctx.Done()
						cut <- time.Now()
						return nil
					}})
				time.Sleep(100 * time.Millisecond)
				lost := time.Now()
				q.set(func() { lose(q) })
				if after := (<-cut).Sub(lost); after > 4*time.Second+time.Millisecond {
					t.Errorf("work went on for %v after its lease was lost, want at most a lease and a third", after)
				}
				q.set(func() { q.err = nil; q.due = map[ooo.Key]time.Time{} })
				stop()
			})
		})
	}
}

func TestStoppingGivesBackWhatIsNotFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("ann", "bob")
		stop := start(t, due.Config{Queue: q, Lease: 3 * time.Second, Workers: 2, Grace: 5 * time.Second,
			Work: func(ctx context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				f := ooo.Finished{Claim: claims[0], Next: claims[0].Due}
				if claims[0].Key == "ann" {
					time.Sleep(2 * time.Second) // ends within the grace
					f.Next = time.Time{}
					return []ooo.Finished{f}
				}
				<-ctx.Done()
				return []ooo.Finished{f}
			}})
		time.Sleep(100 * time.Millisecond)
		stopped := time.Now()
		stop()
		if took := time.Since(stopped); took != 5*time.Second {
			t.Errorf("stopping took %v, want the grace of 5 s", took)
		}
		if len(q.held) != 0 || len(q.finished) != 2 {
			t.Errorf("%d claims held after stopping and %d finished, want 0 and 2", len(q.held), len(q.finished))
		}
		if _, ok := q.due["bob"]; !ok || len(q.due) != 1 {
			t.Errorf("due after stopping: %v, want bob alone", q.due)
		}
	})
}

func TestWorkersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := []ooo.Key{"a", "b", "c", "d", "e", "f", "g"}
		q := newQueue(keys...)
		now, most := 0, 0
		stop := start(t, due.Config{Queue: q, Lease: time.Minute, Workers: 3,
			Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				q.set(func() { now++; most = max(most, now) })
				time.Sleep(time.Second)
				q.set(func() { now-- })
				return []ooo.Finished{{Claim: claims[0]}}
			}})
		time.Sleep(4 * time.Second)
		stop()
		if most != 3 || len(q.finished) != len(keys) {
			t.Errorf("%d in hand at most and %d finished, want 3 and %d", most, len(q.finished), len(keys))
		}
	})
}

func TestRedisAwayIsAskedWithGrowingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("ann")
		q.err = errors.New("connection refused")
		stop := start(t, due.Config{Queue: q, Lease: 3 * time.Second,
			Work: func(_ context.Context, clock due.Clock, claims []ooo.Claim) []ooo.Finished {
				return []ooo.Finished{{Claim: claims[0]}}
			}})
		time.Sleep(time.Minute)
		q.mu.Lock()
		asked := q.claims
		q.err = nil
		q.mu.Unlock()
		if asked < 10 || asked > 60 {
			t.Errorf("asked %d times in a minute, want a few dozen", asked)
		}
		time.Sleep(3 * time.Second)
		stop()
		if len(q.finished) != 1 {
			t.Errorf("finished %d after Redis came back, want 1", len(q.finished))
		}
	})
}

func TestBackoffGrowsAndStaysInItsBounds(t *testing.T) {
	for _, first := range []time.Duration{time.Millisecond, time.Second, 30 * time.Second, time.Hour} {
		before := time.Duration(0)
		for failures := range 200 {
			const most = 15 * time.Minute
			plain := due.Doubling(failures, first, most)
			if plain < before || plain <= 0 || plain > most {
				t.Fatalf("Doubling(%d, %v) = %v after %v, want it to grow up to %v", failures, first, plain, before, most)
			}
			before = plain
			if got := due.Backoff(failures, first, most); got > plain || got < plain*4/5-1 {
				t.Fatalf("Backoff(%d, %v) = %v, want at most a fifth less than %v", failures, first, got, plain)
			}
		}
	}
}
