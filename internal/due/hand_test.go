package due_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// offer returns how many more the loop would take.
func (q *queue) offer() (n int) {
	q.set(func() { n = q.offered })
	return n
}

func TestTheLeaseOfWhatIsHandedDoesNotCountFromTheLastLook(t *testing.T) {
	for name, since := range map[string]time.Duration{
		"a moment after a look":              time.Second,
		"longer after a look than it lasts":  10 * time.Second,
		"just before the next look":          14 * time.Second,
		"a while after the second look came": 24 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue()
				var held bool
				var cut error
				stop := start(t, due.Config{Queue: q, Lease: 6 * time.Second, Idle: 15 * time.Second, Workers: 4,
					Work: func(ctx context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
						held = due.Held(ctx)
						select {
						case <-ctx.Done():
							cut = context.Cause(ctx)
						case <-time.After(time.Second):
						}
						return []ooo.Finished{{Claim: claims[0]}}
					}})
				time.Sleep(since)
				q.hand("ann", time.Now())
				time.Sleep(3 * time.Second)
				stop()
				if !held || cut != nil {
					t.Errorf("held = %t, cut by %v; want the lease to have just begun", held, cut)
				}
			})
		})
	}
}

func TestNothingIsOfferedBeforeRedisHasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.err = errors.New("connection refused")
		stop := start(t, due.Config{Queue: q, Lease: time.Minute, Workers: 4,
			Work: func(context.Context, due.Clock, []ooo.Claim) []ooo.Finished { return nil }})
		defer stop()
		time.Sleep(10 * time.Second)
		if n := q.offer(); n != 0 {
			t.Errorf("offered = %d before the clock is known, want 0", n)
		}
		q.set(func() { q.err = nil })
		time.Sleep(10 * time.Second)
		if n := q.offer(); n != 2 {
			t.Errorf("offered = %d once it is, want 2", n)
		}
	})
}

func TestWhatIsClaimedCountsAgainstTheOfferUntilItIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("ann", "bob", "cat")
		stop := start(t, due.Config{Queue: q, Lease: time.Minute, Workers: 8,
			Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				time.Sleep(10 * time.Second)
				return []ooo.Finished{{Claim: claims[0]}}
			}})
		defer stop()
		time.Sleep(time.Second)
		if n := q.offer(); n != 1 {
			t.Errorf("offered = %d with three in hand, want one of four", n)
		}
		q.hand("dan", time.Now())
		synctest.Wait()
		if n := q.offer(); n != 0 {
			t.Errorf("offered = %d with four in hand, want 0", n)
		}
		time.Sleep(20 * time.Second)
		if n := q.offer(); n != 4 {
			t.Errorf("offered = %d with nothing in hand, want 4", n)
		}
	})
}

func TestWhatIsHandedTooLateIsGivenBackAsItCame(t *testing.T) {
	worked, back := 0, 0
	for range 30 { // the loop may see its end or the user first
		synctest.Test(t, func(t *testing.T) {
			q := newQueue()
			began := map[ooo.Key]bool{}
			stop := start(t, due.Config{Queue: q, Lease: time.Minute, Workers: 4,
				Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
					q.set(func() { began[claims[0].Key] = true })
					return []ooo.Finished{{Claim: claims[0], Next: time.Now().Add(time.Hour)}}
				}})
			time.Sleep(time.Second)
			asked := time.Now()
			q.hand("ann", asked)
			q.hand("bob", asked)
			stop()
			for _, f := range q.finished {
				if began[f.Claim.Key] {
					worked++
					continue
				}
				if back++; !f.Again || !f.Next.Equal(asked) {
					t.Errorf("given back %+v, want it due as before, nothing found out", f)
				}
			}
			if len(q.finished) != 2 || q.offered != -1 {
				t.Errorf("%d given back, offered %d; want 2 and -1", len(q.finished), q.offered)
			}
		})
	}
	if worked == 0 || back == 0 {
		t.Errorf("%d worked on and %d given back in 30 rounds, want some of both", worked, back)
	}
}

func TestALostLeaseOfWhatIsHandedStopsItsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		cut := make(chan time.Time, 1)
		stop := start(t, due.Config{Queue: q, Lease: 3 * time.Second, Workers: 4,
			Work: func(ctx context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				<-ctx.Done()
				cut <- time.Now()
				return nil
			}})
		defer stop()
		time.Sleep(500 * time.Millisecond)
		q.hand("ann", time.Now())
		time.Sleep(10 * time.Second) // extended, as what was claimed
		select {
		case at := <-cut:
			t.Fatalf("cut at %v, want its lease extended", at)
		default:
		}
		lost := time.Now()
		q.set(func() { q.held["ann"] = "other" })
		if after := (<-cut).Sub(lost); after > time.Second {
			t.Errorf("cut %v after it was lost, want by the next extension", after)
		}
	})
}
