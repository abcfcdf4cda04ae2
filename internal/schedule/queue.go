// Package schedule has what decides when something is done: a timed queue, growing
// waits, and waits that the other side asks for.
package schedule

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Queue is a timed queue: each key is in it once, with the time at which it is due.
// Times count by the monotonic clock from when they are set, so a wall clock that jumps
// moves nothing. Its methods may be called by several goroutines at once, Wait by one.
type Queue[K comparable] struct {
	start   time.Time // by the monotonic clock
	mu      sync.Mutex
	entries entries[K]
	byKey   map[K]*item[K]
	set     uint64        // how often Set was called
	sooner  chan struct{} // capacity 1: something is due sooner than before
}

type item[K comparable] struct {
	key K
	at  time.Duration // since the start of the queue: a third of a time.Time
	set uint64        // of what is due at the same time, what was set first comes first
	pos int           // in the heap
}

// New returns an empty queue.
func New[K comparable]() *Queue[K] {
	return &Queue[K]{start: time.Now(), byKey: map[K]*item[K]{}, sooner: make(chan struct{}, 1)}
}

// longest bounds how far away a time counts, so that sums of durations hold it.
const longest = 100 * 365 * 24 * time.Hour

// Set makes key due at a time, whether that is sooner or later than before. How far
// away a time without a monotonic reading is, such as a stored one, is found out here.
func (q *Queue[K]) Set(key K, due time.Time) {
	now := time.Now()
	at := now.Sub(q.start) + min(due.Sub(now), longest)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.set++
	if i := q.byKey[key]; i != nil {
		i.at, i.set = at, q.set
		heap.Fix(&q.entries, i.pos)
	} else {
		i = &item[K]{key: key, at: at, set: q.set}
		q.byKey[key] = i
		heap.Push(&q.entries, i)
	}
	if q.entries[0].key == key {
		select {
		case q.sooner <- struct{}{}:
		default: // a wake-up is already waiting
		}
	}
}

// Remove takes key out of the queue.
func (q *Queue[K]) Remove(key K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := q.byKey[key]; i != nil {
		heap.Remove(&q.entries, i.pos)
		q.forget(key)
	}
}

// forget drops a key that left the heap. A map keeps the room of the most that it ever
// had, megabytes after a burst, so an empty one is replaced. The caller holds mu.
func (q *Queue[K]) forget(key K) {
	if delete(q.byKey, key); len(q.byKey) == 0 {
		q.byKey, q.entries = map[K]*item[K]{}, nil
	}
}

// At returns when key is due; ok is false if it is not in the queue.
func (q *Queue[K]) At(key K) (at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := q.byKey[key]
	if i == nil {
		return time.Time{}, false
	}
	return q.start.Add(i.at), true
}

// Take removes and returns up to n keys that are due at now, those that were due
// first first.
func (q *Queue[K]) Take(now time.Time, n int) (due []K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(due) < n && len(q.entries) > 0 && q.entries[0].at <= now.Sub(q.start) {
		i := heap.Pop(&q.entries).(*item[K])
		q.forget(i.key)
		due = append(due, i.key)
	}
	return due
}

// Next returns when the next key is due; ok is false if the queue is empty.
func (q *Queue[K]) Next() (at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 {
		return time.Time{}, false
	}
	return q.start.Add(q.entries[0].at), true
}

// Len returns how many keys are in the queue.
func (q *Queue[K]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries)
}

// Backlog is how full and how late a queue is.
type Backlog struct {
	Waiting int           // keys, due or not
	Lag     time.Duration // how long the most overdue one has been due; 0 if none is
}

// Backlog returns how full and how late the queue is at now.
func (q *Queue[K]) Backlog(now time.Time) Backlog {
	b := Backlog{Waiting: q.Len()}
	if at, ok := q.Next(); ok {
		b.Lag = max(now.Sub(at), 0)
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

// entries is a heap, the one that is due first at the top.
type entries[K comparable] []*item[K]

func (e entries[K]) Len() int { return len(e) }
func (e entries[K]) Less(i, j int) bool {
	if e[i].at != e[j].at {
		return e[i].at < e[j].at
	}
	return e[i].set < e[j].set
}
func (e entries[K]) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].pos, e[j].pos = i, j
}

// Push implements heap.Interface.
func (e *entries[K]) Push(x any) {
	i := x.(*item[K])
	i.pos = len(*e)
	*e = append(*e, i)
}

// Pop implements heap.Interface.
func (e *entries[K]) Pop() any {
	last := len(*e) - 1
	i := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	return i
}
