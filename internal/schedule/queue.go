// Package schedule decides when work is due: a timed queue, exponential backoff and
// Retry-After headers.
package schedule

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Queue is a timed queue: it holds each key once, with the time at which the key is due.
// Due times follow the monotonic clock from when they are set, so a jump of the wall clock
// moves nothing. All methods are safe for concurrent use, but only one goroutine may call
// Wait or Each.
//
// When a key is removed or gets another time, its old entry stays in the heap and is
// skipped when it comes up. container/heap would need a position and an allocation for each
// key, which exceeds the CPU limit of the read benchmark with 10,000 mailboxes.
type Queue[K comparable] struct {
	start  time.Time // with a monotonic reading
	mu     sync.Mutex
	due    map[K]time.Duration // since start; guarded by mu
	heap   []entry[K]          // the earliest first; an entry that differs from due is stale; guarded by mu
	sooner chan struct{}       // capacity 1: the first due time has moved forward
}

type entry[K comparable] struct {
	at  time.Duration // since the start of the queue: a third of the size of a time.Time
	key K
}

// New returns an empty queue.
func New[K comparable]() *Queue[K] {
	return &Queue[K]{start: time.Now(), due: map[K]time.Duration{}, sooner: make(chan struct{}, 1)}
}

// maxDelay caps how far in the future a key can be due, so that adding durations can't
// overflow.
const maxDelay = 100 * 365 * 24 * time.Hour

// Set makes key due at a time, whether that is earlier or later than before. A time without
// a monotonic reading, such as a stored one, is converted by the current wall clock.
func (q *Queue[K]) Set(key K, due time.Time) { q.set(key, due, true) }

// Sooner makes key due at a time, unless it is due earlier.
func (q *Queue[K]) Sooner(key K, due time.Time) { q.set(key, due, false) }

func (q *Queue[K]) set(key K, due time.Time, postpone bool) {
	now := time.Now()
	at := now.Sub(q.start) + min(due.Sub(now), maxDelay)
	q.mu.Lock()
	defer q.mu.Unlock()
	if before, ok := q.due[key]; ok && (at == before || at > before && !postpone) {
		return
	}
	q.due[key] = at
	q.heap = append(q.heap, entry[K]{at, key})
	if q.up(len(q.heap)-1) == 0 {
		select {
		case q.sooner <- struct{}{}:
		default: // a wake-up is already pending
		}
	}
	q.compact()
}

// Remove removes key from the queue.
func (q *Queue[K]) Remove(key K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.due, key)
	q.compact()
}

// At returns when key is due; ok is false if it is not in the queue.
func (q *Queue[K]) At(key K) (at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	since, ok := q.due[key]
	if !ok {
		return time.Time{}, false
	}
	return q.start.Add(since), true
}

// Take removes and returns up to n keys that are due at now, in the order in which they
// became due.
func (q *Queue[K]) Take(now time.Time, n int) (due []K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(due) < n && q.dropStale() && q.heap[0].at <= now.Sub(q.start) {
		if due == nil {
			due = make([]K, 0, min(n, len(q.due)))
		}
		due = append(due, q.heap[0].key)
		delete(q.due, q.heap[0].key)
		q.pop()
	}
	q.compact()
	return due
}

// Next returns when the next key is due; ok is false if the queue is empty.
func (q *Queue[K]) Next() (at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.dropStale() {
		return time.Time{}, false
	}
	return q.start.Add(q.heap[0].at), true
}

// Backlog is how full and how late a queue is.
type Backlog struct {
	Waiting int           // keys, due or not
	Lag     time.Duration // of the most overdue key; 0 if none is overdue
}

// Backlog returns how full and how late the queue is at now.
func (q *Queue[K]) Backlog(now time.Time) (b Backlog) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b.Waiting = len(q.due); q.dropStale() {
		b.Lag = max(now.Sub(q.start)-q.heap[0].at, 0)
	}
	return b
}

// Wait returns nil once a key is due, or the error of ctx when ctx ends.
func (q *Queue[K]) Wait(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if at, ok := q.Next(); ok {
			if wait = time.Until(at); wait <= 0 {
				return ctx.Err()
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-q.sooner:
		case <-timer.C:
		}
	}
}

// Each calls do for each key that is due, for at most limit keys at a time, until ctx ends
// and all calls have returned. A key that is set again meanwhile may run twice at once.
func (q *Queue[K]) Each(ctx context.Context, limit int, do func(key K)) error {
	var running errgroup.Group
	running.SetLimit(limit)
	for q.Wait(ctx) == nil {
		for _, key := range q.Take(time.Now(), 1) {
			running.Go(func() error {
				if ctx.Err() == nil { // it may have waited for another call to return
					do(key)
				}
				return nil
			})
		}
	}
	return running.Wait()
}

// dropStale pops stale entries until the first one counts, and reports whether there is
// one. The caller must hold mu, here and below.
func (q *Queue[K]) dropStale() bool {
	for len(q.heap) > 0 {
		if at, ok := q.due[q.heap[0].key]; ok && at == q.heap[0].at {
			return true
		}
		q.pop()
	}
	return false
}

// compact rebuilds the heap when most of its entries are stale. An empty map is replaced,
// because a map never shrinks: after a burst it would keep megabytes.
func (q *Queue[K]) compact() {
	switch {
	case len(q.due) == 0:
		q.due, q.heap = map[K]time.Duration{}, nil
		return
	case len(q.heap) <= 2*len(q.due)+8:
		return
	}
	q.heap = make([]entry[K], 0, len(q.due))
	for key, at := range q.due {
		q.heap = append(q.heap, entry[K]{at, key})
		q.up(len(q.heap) - 1)
	}
}

// pop removes the first entry of the heap.
func (q *Queue[K]) pop() {
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = entry[K]{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < last && q.heap[child+1].at < q.heap[child].at {
			child++
		}
		if child >= last || q.heap[i].at <= q.heap[child].at {
			return
		}
		q.heap[i], q.heap[child] = q.heap[child], q.heap[i]
		i = child
	}
}

// up moves an entry up to its position, which it returns.
func (q *Queue[K]) up(i int) int {
	for i > 0 {
		parent := (i - 1) / 2
		if q.heap[parent].at <= q.heap[i].at {
			break
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
	return i
}
