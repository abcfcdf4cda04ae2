// Package schedule has what decides when something is done: a timed queue, growing
// waits, and waits that the other side asks for.
package schedule

import (
	"context"
	"sync"
	"time"
)

// Queue is a timed queue: each key is in it once, with the time at which it is due.
// Times count by the monotonic clock from when they are set, so a wall clock that jumps
// moves nothing. Its methods may be called by several goroutines at once, Wait by one.
//
// What changes or leaves is not searched for in the heap: its entry is left out when it
// comes up. With container/heap, and so a position and an allocation for each key, the
// bar for the CPU of a read at 10,000 mailboxes fails.
type Queue[K comparable] struct {
	start  time.Time // by the monotonic clock
	mu     sync.Mutex
	due    map[K]time.Duration // since start
	heap   []entry[K]          // the earliest first; those that due contradicts don't count any more
	sooner chan struct{}       // capacity 1: something is due sooner than before
}

type entry[K comparable] struct {
	at  time.Duration // since the start of the queue: a third of a time.Time
	key K
}

// New returns an empty queue.
func New[K comparable]() *Queue[K] {
	return &Queue[K]{start: time.Now(), due: map[K]time.Duration{}, sooner: make(chan struct{}, 1)}
}

// longest bounds how far away a time counts, so that sums of durations hold it.
const longest = 100 * 365 * 24 * time.Hour

// Set makes key due at a time, whether that is sooner or later than before. How far
// away a time without a monotonic reading is, such as a stored one, is found out here.
func (q *Queue[K]) Set(key K, due time.Time) { q.set(key, due, true) }

// Sooner makes key due at a time, unless it is due sooner.
func (q *Queue[K]) Sooner(key K, due time.Time) { q.set(key, due, false) }

func (q *Queue[K]) set(key K, due time.Time, later bool) {
	now := time.Now()
	at := now.Sub(q.start) + min(due.Sub(now), longest)
	q.mu.Lock()
	defer q.mu.Unlock()
	if before, there := q.due[key]; there && (at == before || at > before && !later) {
		return
	}
	q.due[key] = at
	q.heap = append(q.heap, entry[K]{at, key})
	if q.up(len(q.heap)-1) == 0 {
		select {
		case q.sooner <- struct{}{}:
		default: // a wake-up is already waiting
		}
	}
	q.tidy()
}

// Remove takes key out of the queue.
func (q *Queue[K]) Remove(key K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.due, key)
	q.tidy()
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

// Take removes and returns up to n keys that are due at now, those that were due
// first first.
func (q *Queue[K]) Take(now time.Time, n int) (due []K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(due) < n && q.first() && q.heap[0].at <= now.Sub(q.start) {
		if due == nil {
			due = make([]K, 0, min(n, len(q.due)))
		}
		due = append(due, q.heap[0].key)
		delete(q.due, q.heap[0].key)
		q.pop()
	}
	q.tidy()
	return due
}

// Next returns when the next key is due; ok is false if the queue is empty.
func (q *Queue[K]) Next() (at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.first() {
		return time.Time{}, false
	}
	return q.start.Add(q.heap[0].at), true
}

// Backlog is how full and how late a queue is.
type Backlog struct {
	Waiting int           // keys, due or not
	Lag     time.Duration // how long the most overdue one has been due; 0 if none is
}

// Backlog returns how full and how late the queue is at now.
func (q *Queue[K]) Backlog(now time.Time) (b Backlog) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b.Waiting = len(q.due); q.first() {
		b.Lag = max(now.Sub(q.start)-q.heap[0].at, 0)
	}
	return b
}

// Wait returns nil once a key is due, or the error of ctx when that ends.
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

// first brings the entry that is due first to the top, and reports whether there is one.
// The caller holds mu, as for all below.
func (q *Queue[K]) first() bool {
	for len(q.heap) > 0 {
		if at, there := q.due[q.heap[0].key]; there && at == q.heap[0].at {
			return true
		}
		q.pop()
	}
	return false
}

// tidy drops the entries that don't count when they outnumber the others. An empty map is
// replaced: it keeps the memory of the most keys that it ever had, megabytes after a
// burst.
func (q *Queue[K]) tidy() {
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

// pop removes the top of the heap.
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

// up moves an entry up to its place, which it returns.
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
