package graphsim

import (
	"sync"
	"time"
)

// Graph's limits. Refused requests count too.
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

	subscriptionsPerMailbox = 1000
	subscriptionsToUsers    = 100
)

// quota allows limit requests in each window; windows follow one another.
type quota struct {
	limit  int
	window time.Duration

	mu   sync.Mutex
	from time.Time // guarded by mu
	used int       // guarded by mu
}

func newQuota(limit int, window time.Duration) *quota {
	return &quota{limit: limit, window: window}
}

// take counts one request. It returns 0 if the request is within the quota,
// otherwise how long to wait.
func (q *quota) take(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.from) >= q.window {
		q.from, q.used = now, 0
	}
	q.used++
	if q.used <= q.limit {
		return 0
	}
	return q.from.Add(q.window).Sub(now)
}
