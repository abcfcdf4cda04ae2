package schedule_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/schedule"
)

// The model is a map that is searched linearly.
func TestQueueMatchesModel(t *testing.T) {
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
				if before, ok := model[key]; !ok || at.Before(before) {
					model[key] = at
				}
			case 5:
				q.Remove(key)
				delete(model, key)
			default:
				n, due := random.IntN(4), 0
				for _, other := range model {
					if !other.After(at) {
						due++
					}
				}
				taken := q.Take(at, n)
				if len(taken) != min(n, due) {
					t.Fatalf("seed %d: Take(%d) = %v with %d due", seed, n, taken, due)
				}
				for _, key := range taken {
					if due, ok := model[key]; !ok || due.After(at) || !due.Equal(earliest(model)) {
						t.Fatalf("seed %d: %d taken at %v, due at %v (%t), want the earliest of %v", seed, key, at, due, ok, model)
					}
					delete(model, key)
				}
			}
			next, ok := q.Next()
			if ok != (len(model) > 0) || ok && !next.Equal(earliest(model)) {
				t.Fatalf("seed %d: Next = %v, %t with %v", seed, next, ok, model)
			}
			want := schedule.Backlog{Waiting: len(model)}
			if len(model) > 0 {
				want.Lag = max(at.Sub(earliest(model)), 0)
			}
			if got := q.Backlog(at); got != want {
				t.Fatalf("seed %d: Backlog = %+v, want %+v", seed, got, want)
			}
		}
	}
}

func earliest(due map[int]time.Time) time.Time {
	return slices.MinFunc(slices.Collect(maps.Values(due)), time.Time.Compare)
}

func TestQueueTimesWithoutMonotonicReading(t *testing.T) {
	q := schedule.New[int]()
	stored := time.Now().Add(time.Minute).Round(0)
	q.Set(1, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
	q.Set(2, stored)
	q.Set(3, time.Time{})
	if due := q.Take(time.Now(), 9); !slices.Equal(due, []int{3}) {
		t.Errorf("Take = %v, want the key that was due long ago", due)
	}
	if at, _ := q.Next(); at.Sub(stored).Abs() > time.Second || at == at.Round(0) {
		t.Errorf("Next = %v, want %v with a monotonic reading", at, stored)
	}
	if due := q.Take(time.Now().Add(time.Hour), 9); !slices.Equal(due, []int{2}) {
		t.Errorf("Take = %v, want all but the key that is due in the year 9999", due)
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
		q.Set(2, began.Add(time.Second)) // earlier than the current wait
		q.Set(3, began.Add(-time.Second))
		for _, want := range []time.Duration{0, time.Second, 3 * time.Hour} {
			if got := <-woken; got != want {
				t.Errorf("woken after %v, want %v", got, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := q.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait with a canceled context = %v, want canceled", err)
		}
	})
}

func TestQueueEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, began := schedule.New[int](), time.Now()
		for key := range 7 {
			q.Set(key, began.Add(time.Duration(key)*time.Second))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var started, finished atomic.Int32
		returned := make(chan error)
		go func() {
			returned <- q.Each(ctx, 2, func(int) {
				started.Add(1)
				time.Sleep(4 * time.Second)
				finished.Add(1)
			})
		}()
		for _, want := range []int32{1, 2, 2, 2, 3, 4} { // after 0, 1, 2, … seconds
			synctest.Wait()
			if got := started.Load(); got != want {
				t.Errorf("%d calls began within %v, want %d", got, time.Since(began), want)
			}
			time.Sleep(time.Second)
		}
		cancel()
		<-returned
		if started.Load() != 4 || finished.Load() != 4 {
			t.Errorf("%d calls began and %d returned, want 4 that began before ctx ended", started.Load(), finished.Load())
		}
	})
}
