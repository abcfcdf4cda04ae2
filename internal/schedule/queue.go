// Package schedule decides when work is due: a timed queue, exponential backoff and
// Retry-After headers.
package schedule

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Queue is a timed queue: it holds each key once, with the time at which the key is due.
// Due times follow the monotonic clock from when they are set, so a jump of the wall clock
// moves nothing. All methods are safe for concurrent use, but only one goroutine may call
// Wait or Each.
type Queue[K comparable] struct {
	start   time.Time // with a monotonic reading
	mu      sync.Mutex
	entries map[K]*entry[K] // guarded by mu
	heap    byTime[K]       // the same entries; guarded by mu
	sooner  chan struct{}   // capacity 1: the first due time has moved forward
}

type entry[K comparable] struct {
	key   K
	index int // in the heap
}

// New returns an empty queue.
func New[K comparable]() *Queue[K] {
	return &Queue[K]{start: time.Now(), entries: map[K]*entry[K]{}, sooner: make(chan struct{}, 1)}
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
	e, ok := q.entries[key]
	switch {
	case !ok:
		e = &entry[K]{key: key, index: len(q.heap)}
		q.entries[key] = e
		q.heap = append(q.heap, item[K]{at, e})
	case at < q.heap[e.index].at || at > q.heap[e.index].at && postpone:
		q.heap[e.index].at = at
	default:
		return
	}
	heap.Fix(&q.heap, e.index)
	if e.index == 0 {
		select {
		case q.sooner <- struct{}{}:
		default: // a wake-up is already pending
		}
	}
}

// Remove removes key from the queue.
func (q *Queue[K]) Remove(key K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e, ok := q.entries[key]; ok {
		q.remove(e)
	}
}

// remove removes an entry. An empty map is replaced, because a map never shrinks: after a
// burst it would keep megabytes. The caller must hold mu.
func (q *Queue[K]) remove(e *entry[K]) {
	heap.Remove(&q.heap, e.index)
	delete(q.entries, e.key)
	if len(q.heap) == 0 {
		q.entries, q.heap = map[K]*entry[K]{}, nil
	}
}

// Take removes and returns up to n keys that are due at now, in the order in which they
// became due.
func (q *Queue[K]) Take(now time.Time, n int) (due []K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(due) < n && len(q.heap) > 0 && q.heap[0].at <= now.Sub(q.start) {
		due = append(due, q.heap[0].key)
		q.remove(q.heap[0].entry)
	}
	return due
}

// Next returns when the next key is due; ok is false if the queue is empty.
func (q *Queue[K]) Next() (at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.heap) == 0 {
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
	if b.Waiting = len(q.heap); b.Waiting > 0 {
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

// item is an entry with its due time, so that comparing two items reads only the heap and no
// memory elsewhere. Without that, the CPU of a read at 10,000 mailboxes is at its limit.
type item[K comparable] struct {
	at time.Duration // since the start of the queue: a third of the size of a time.Time
	*entry[K]
}

// byTime is a [heap.Interface] with the earliest entry first.
type byTime[K comparable] []item[K]

func (h byTime[K]) Len() int           { return len(h) }
func (h byTime[K]) Less(i, j int) bool { return h[i].at < h[j].at }

func (h byTime[K]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *byTime[K]) Push(x any) { *h = append(*h, x.(item[K])) }

// Pop removes the last item. It returns nothing, because an interface would be an allocation.
func (h *byTime[K]) Pop() any {
	last := len(*h) - 1
	(*h)[last] = item[K]{} // for the garbage collector
	*h = (*h)[:last]
	return nil
}
