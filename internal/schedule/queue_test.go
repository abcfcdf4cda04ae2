package schedule_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/schedule"
)

func TestQueueOrdersByTime(t *testing.T) {
	q, now := schedule.New[string](), time.Now()
	for i, key := range []string{"d", "b", "a", "c", "gone"} {
		q.Set(key, now.Add(time.Duration(10-i)*time.Second))
	}
	q.Set("a", now.Add(time.Second))    // sooner
	q.Set("b", now.Add(20*time.Second)) // later
	q.Sooner("c", now.Add(time.Hour))   // no: it is due sooner
	q.Sooner("d", now.Add(5*time.Second))
	q.Remove("gone")
	q.Remove("never there")
	if at, ok := q.Next(); !ok || !at.Equal(now.Add(time.Second)) {
		t.Errorf("Next = %v, %v, want that of a", at, ok)
	}
	if at, ok := q.At("b"); !ok || !at.Equal(now.Add(20*time.Second)) {
		t.Errorf("At b = %v, %v, want 20 s from now", at, ok)
	}
	if _, ok := q.At("gone"); ok || q.Backlog(now).Waiting != 4 {
		t.Errorf("removed key is there, or Backlog = %+v, want 4", q.Backlog(now))
	}
	if due := q.Take(now, 9); due != nil {
		t.Errorf("Take before anything is due = %q, want none", due)
	}
	if due := q.Take(now.Add(time.Hour), 3); !slices.Equal(due, []string{"a", "d", "c"}) {
		t.Errorf("Take = %q, want a d c", due)
	}
	if due := q.Take(now.Add(time.Hour), 3); !slices.Equal(due, []string{"b"}) || q.Backlog(now).Waiting != 0 {
		t.Errorf("Take = %q, want b, and nothing left", due)
	}
	if _, ok := q.Next(); ok {
		t.Error("Next of an empty queue is ok")
	}
}

// A map and a search through it are the model.
func TestQueueDoesWhatAMapWould(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		q, model, start := schedule.New[int](), map[int]time.Time{}, time.Now()
		for range 3000 {
			key, at := random.IntN(40), start.Add(time.Duration(random.IntN(1000))*time.Second)
			switch random.IntN(8) {
			case 0, 1, 2:
				q.Set(key, at)
				model[key] = at
			case 3, 4:
				q.Sooner(key, at)
				if before, there := model[key]; !there || at.Before(before) {
					model[key] = at
				}
			case 5:
				q.Remove(key)
				delete(model, key)
			default:
				for _, key := range q.Take(at, random.IntN(4)) {
					for other, due := range model {
						if due.Before(model[key]) {
							t.Fatalf("seed %d: %d taken, %d is due sooner", seed, key, other)
						}
					}
					if due, there := model[key]; !there || due.After(at) {
						t.Fatalf("seed %d: %d taken at %v, due at %v, %v", seed, key, at, due, there)
					}
					delete(model, key)
				}
			}
			if next, ok := q.Next(); ok != (len(model) > 0) || ok && !next.Equal(slices.MinFunc(slices.Collect(maps.Values(model)), time.Time.Compare)) {
				t.Fatalf("seed %d: Next = %v, %v with %v", seed, next, ok, model)
			}
			if waiting := q.Backlog(at).Waiting; waiting != len(model) {
				t.Fatalf("seed %d: %d waiting, want %d", seed, waiting, len(model))
			}
		}
	}
}

func TestQueueGivesStoredTimesAMonotonicReading(t *testing.T) {
	q := schedule.New[int]()
	stored := time.Now().Add(time.Minute).Round(0)
	q.Set(1, stored)
	if at, _ := q.At(1); at.Sub(stored).Abs() > time.Second || at == at.Round(0) {
		t.Errorf("At = %v, want %v with a monotonic reading", at, stored)
	}
}

func TestQueueHoldsTimesThatNeverCome(t *testing.T) {
	q, now := schedule.New[int](), time.Now()
	q.Set(1, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
	q.Set(2, time.Time{})
	if due := q.Take(now.Add(time.Hour), 9); !slices.Equal(due, []int{2}) {
		t.Errorf("Take = %v, want what was due for ever", due)
	}
}

func TestQueueWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, began := schedule.New[int](), time.Now()
		woken := make(chan time.Duration)
		go func() {
			for q.Wait(t.Context()) == nil {
				q.Take(time.Now(), 1)
				woken <- time.Since(began)
			}
			close(woken)
		}()
		q.Set(1, began.Add(3*time.Hour))
		synctest.Wait()
		q.Set(2, began.Add(time.Second)) // sooner than what is waited for
		q.Set(3, began.Add(-time.Second))
		for _, want := range []time.Duration{0, time.Second, 3 * time.Hour} {
			if got := <-woken; got != want {
				t.Errorf("woken after %v, want %v", got, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := q.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait with an ended context = %v, want canceled", err)
		}
	})
}
