package due_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// hand claims key for the loop, as of the given time.
func (q *queue) hand(key ooo.Key, asked time.Time) {
	q.set(func() {
		q.due[key], q.held[key], q.lease[key] = asked, "handed", asked.Add(time.Hour)
		q.handed <- ooo.Claim{Queue: ooo.ReadQueue, Key: key, Token: "handed", Due: asked, Asked: asked}
	})
}

func TestWhatIsHandedIsWorkedOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		worked := make(chan time.Time, 1)
		stop := start(t, due.Config{Queue: q, Lease: time.Minute, Workers: 4,
			Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				worked <- time.Now()
				return []ooo.Finished{{Claim: claims[0]}}
			}})
		defer stop()
		time.Sleep(time.Second)
		claims, now := 0, time.Now()
		q.set(func() { claims = q.claims })
		q.hand("ann", now)
		if late := (<-worked).Sub(now); late != 0 {
			t.Errorf("worked on after %v, want at once", late)
		}
		synctest.Wait()
		q.set(func() {
			if q.claims != claims {
				t.Errorf("the queue was asked %d times for it, want never", q.claims-claims)
			}
		})
		time.Sleep(time.Second)
		q.set(func() {
			if len(q.finished) != 1 {
				t.Errorf("given back = %d, want ann", len(q.finished))
			}
		})
	})
}

func TestHalfOfTheWorkersAreOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		room := 8
		stop := start(t, due.Config{Queue: q, Lease: time.Minute, Workers: 10, Room: func() int { return room },
			Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				time.Sleep(10 * time.Second)
				return []ooo.Finished{{Claim: claims[0]}}
			}})
		defer stop()
		time.Sleep(time.Second)
		for _, want := range []int{4, 3, 2, 1, 0} {
			q.set(func() {
				if q.offered != want {
					t.Errorf("offered = %d, want %d", q.offered, want)
				}
			})
			q.hand(ooo.Key(rune('a'+want)), time.Now())
			synctest.Wait()
		}
		q.set(func() {
			if q.offered != 0 { // never less, while it runs
				t.Errorf("offered = %d with five of four in hand, want 0", q.offered)
			}
		})
	})
}

func TestWhatIsHandedAtTheEndIsNotLost(t *testing.T) {
	for range 20 { // the loop may see its end or the user first
		synctest.Test(t, func(t *testing.T) {
			q := newQueue()
			stop := start(t, due.Config{Queue: q, Lease: time.Minute, Workers: 4,
				Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
					return []ooo.Finished{{Claim: claims[0], Next: time.Now()}}
				}})
			time.Sleep(time.Second)
			for _, key := range []ooo.Key{"ann", "bob", "cat"} {
				q.hand(key, time.Now())
			}
			stop()
			q.set(func() {
				if len(q.handed) != 0 || len(q.held) != 0 || len(q.finished) != 3 || q.offered != -1 {
					t.Errorf("%d left, %d held, %d given back, offered %d; want 0, 0, 3 and -1", len(q.handed), len(q.held), len(q.finished), q.offered)
				}
			})
		})
	}
}

func TestWhatIsHandedAfterAQuietTimeHasItsWholeLease(t *testing.T) {
	for _, quiet := range []time.Duration{time.Second, 5 * time.Second, 9 * time.Second, 14 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue()
			ended := make(chan error, 1)
			stop := start(t, due.Config{Queue: q, Lease: 6 * time.Second, Workers: 4,
				Work: func(ctx context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
					if !due.Held(ctx) {
						t.Errorf("after %v: the lease is over at the beginning", quiet)
					}
					time.Sleep(1500 * time.Millisecond)
					ended <- context.Cause(ctx)
					return []ooo.Finished{{Claim: claims[0]}}
				}})
			defer stop()
			time.Sleep(quiet)
			q.hand("ann", time.Now())
			if err := <-ended; err != nil {
				t.Errorf("after %v: the work was cut: %v", quiet, err)
			}
		})
	}
}

func TestTheLeaseOfWhatIsHandedCountsFromWhenItWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.slow = time.Hour // no lease is extended
		cut := make(chan time.Time, 1)
		var held bool
		stop := start(t, due.Config{Queue: q, Lease: 10 * time.Second, Workers: 4,
			Work: func(ctx context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				held = due.Held(ctx)
				<-ctx.Done()
				cut <- time.Now()
				return nil
			}})
		defer stop()
		time.Sleep(time.Second)
		asked := time.Now().Add(-9 * time.Second)
		q.hand("ann", asked)
		if after := (<-cut).Sub(asked); after != 10*time.Second || !held {
			t.Errorf("cut %v after it was asked for, held %v; want 10 s and true", after, held)
		}
	})
}
