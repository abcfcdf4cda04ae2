package due_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// queue is a due queue in memory, by the clock of the test's bubble.
type queue struct {
	mu       sync.Mutex
	due      map[ooo.Key]time.Time // guarded by mu, as all below
	held     map[ooo.Key]string    // token
	lease    map[ooo.Key]time.Time
	token    int
	claims   int
	dones    int
	err      error
	slow     time.Duration // of Extend
	wake     chan struct{}
	recall   chan struct{}
	handed   chan ooo.Claim
	offered  int
	finished []ooo.Finished
}

func newQueue(keys ...ooo.Key) *queue {
	q := &queue{due: map[ooo.Key]time.Time{}, held: map[ooo.Key]string{}, lease: map[ooo.Key]time.Time{}, wake: make(chan struct{}, 1), recall: make(chan struct{}, 1), handed: make(chan ooo.Claim, 100)}
	for _, k := range keys {
		q.due[k] = time.Now()
	}
	return q
}

func (q *queue) Claim(_ context.Context, name ooo.Queue, n int, lease time.Duration) (ooo.Batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claims++
	now := time.Now()
	b := ooo.Batch{Now: now}
	if q.err != nil {
		return b, q.err
	}
	for _, k := range slices.Sorted(keysOf(q.due)) {
		at := q.due[k]
		if until, held := q.lease[k]; held && now.Before(until) {
			at = until
		}
		switch {
		case at.After(now):
			if b.Next.IsZero() || at.Before(b.Next) {
				b.Next = at
			}
		case len(b.Claims) < n:
			q.token++
			q.held[k], q.lease[k] = string(rune('a'+q.token)), now.Add(lease)
			b.Claims = append(b.Claims, ooo.Claim{Queue: name, Key: k, Token: q.held[k], Due: q.due[k], ObjectID: "id"})
		}
	}
	return b, nil
}

func keysOf[V any](m map[ooo.Key]V) func(func(ooo.Key) bool) {
	return func(yield func(ooo.Key) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (q *queue) Extend(_ context.Context, _ ooo.Queue, claims []ooo.Claim, lease time.Duration) ([]ooo.Claim, error) {
	time.Sleep(q.slow)
	q.mu.Lock()
	defer q.mu.Unlock()
	var lost []ooo.Claim
	for _, c := range claims {
		if q.held[c.Key] != c.Token {
			lost = append(lost, c)
			continue
		}
		if q.err == nil {
			q.lease[c.Key] = time.Now().Add(lease)
		}
	}
	return lost, q.err
}

func (q *queue) Done(_ context.Context, _ ooo.Queue, finished []ooo.Finished) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dones++
	if q.err != nil {
		return q.err
	}
	for _, f := range finished {
		k := f.Claim.Key
		if q.held[k] != f.Claim.Token {
			continue
		}
		q.finished = append(q.finished, f)
		delete(q.held, k)
		delete(q.lease, k)
		if q.due[k] = f.Next; f.Next.IsZero() {
			delete(q.due, k)
		}
	}
	return nil
}

func (q *queue) Next(ooo.Queue) (next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for k, at := range q.due {
		if until, held := q.lease[k]; held {
			at = until
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

func (q *queue) Wake(ooo.Queue) <-chan struct{} { return q.wake }

func (q *queue) Recall(ooo.Queue) <-chan struct{} { return q.recall }

func (q *queue) Handed(ooo.Queue) <-chan ooo.Claim { return q.handed }

func (q *queue) Offer(_ ooo.Queue, n int, _ time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.offered = n
}

func (q *queue) set(change func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change()
}
