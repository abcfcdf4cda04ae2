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
	start  time.Time // by the monotonic clock
	mu     sync.Mutex
	items  items[K]
	byKey  map[K]*item[K]
	sooner chan struct{} // capacity 1: something is due sooner than before
}

type item[K comparable] struct {
	key K
	at  time.Duration // since the start of the queue: a third of a time.Time
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
func (q *Queue[K]) Set(key K, due time.Time) { q.set(key, due, true) }

// Sooner makes key due at a time, unless it is due sooner.
func (q *Queue[K]) Sooner(key K, due time.Time) { q.set(key, due, false) }

func (q *Queue[K]) set(key K, due time.Time, later bool) {
	now := time.Now()
	at := now.Sub(q.start) + min(due.Sub(now), longest)
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := q.byKey[key]; i == nil {
		q.byKey[key] = &item[K]{key: key, at: at}
		heap.Push(&q.items, q.byKey[key])
	} else if later || at < i.at {
		i.at = at
		heap.Fix(&q.items, i.pos)
	}
	if q.items[0].key == key {
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
		q.remove(i)
	}
}

// remove also replaces an empty map: one keeps the room of the most that it ever had,
// megabytes after a burst. The caller holds mu.
func (q *Queue[K]) remove(i *item[K]) {
	heap.Remove(&q.items, i.pos)
	if delete(q.byKey, i.key); len(q.byKey) == 0 {
		q.byKey, q.items = map[K]*item[K]{}, nil
	}
}

// At returns when key is due; ok is false if it is not in the queue.
func (q *Queue[K]) At(key K) (at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := q.byKey[key]; i != nil {
		return q.start.Add(i.at), true
	}
	return time.Time{}, false
}

// Take removes and returns up to n keys that are due at now, those that were due
// first first.
func (q *Queue[K]) Take(now time.Time, n int) (due []K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(due) < n && len(q.items) > 0 && q.items[0].at <= now.Sub(q.start) {
		due = append(due, q.items[0].key)
		q.remove(q.items[0])
	}
	return due
}

// Next returns when the next key is due; ok is false if the queue is empty.
func (q *Queue[K]) Next() (at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return time.Time{}, false
	}
	return q.start.Add(q.items[0].at), true
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
	if b.Waiting = len(q.items); b.Waiting > 0 {
		b.Lag = max(now.Sub(q.start)-q.items[0].at, 0)
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

// items implements [heap.Interface]: the one that is due first is at the top.
type items[K comparable] []*item[K]

func (q items[K]) Len() int           { return len(q) }
func (q items[K]) Less(i, j int) bool { return q[i].at < q[j].at }
func (q items[K]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].pos, q[j].pos = i, j
}

func (q *items[K]) Push(x any) {
	i := x.(*item[K])
	i.pos = len(*q)
	*q = append(*q, i)
}

func (q *items[K]) Pop() any {
	last := len(*q) - 1
	i := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return i
}
