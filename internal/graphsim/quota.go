package graphsim

import (
	"sync"
	"time"
)

// Graph's limits. Rejected requests count as well.
const (
	appRequests = 130_000
	appWindow   = 10 * time.Second

	mailboxRequests   = 10_000
	mailboxWindow     = 10 * time.Minute
	mailboxConcurrent = 4

	subscriptionWrites      = 500
	subscriptionReauthorize = 1000
	subscriptionLists       = 25
	subscriptionWindow      = 20 * time.Second

	presenceRequests = 1500
	presenceWindow   = 30 * time.Second

	subscriptionsPerMailbox = 1000
	subscriptionsToUsers    = 100
)

// quota allows limit requests in each fixed window.
type quota struct {
	limit         int
	window        time.Duration
	code, message string // of the rejection

	mu    sync.Mutex
	since time.Time // guarded by mu
	used  int       // guarded by mu
}

func newQuota(limit int, window time.Duration, code, message string) *quota {
	return &quota{limit: limit, window: window, code: code, message: message}
}

// reset starts a new window with the next request.
func (q *quota) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.since = time.Time{}
}

// take counts one request and rejects it if it exceeds the quota.
func (q *quota) take(now time.Time) *reply {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.since) >= q.window {
		q.since, q.used = now, 0
	}
	q.used++
	if q.used <= q.limit {
		return nil
	}
	return throttled(q.since.Add(q.window).Sub(now), q.code, q.message)
}
