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

// quotas are those of the app. Each mailbox has one more.
type quotas struct{ all, presence, writes, lists, reauthorizations *quota }

func newQuotas() quotas {
	const code, message = "TooManyRequests", "Too many subscription requests."
	return quotas{
		all:              newQuota(appRequests, appWindow, code, "Too many requests"),
		presence:         newQuota(presenceRequests, presenceWindow, code, "Too many presence requests."),
		writes:           newQuota(subscriptionWrites, subscriptionWindow, code, message),
		lists:            newQuota(subscriptionLists, subscriptionWindow, code, message),
		reauthorizations: newQuota(subscriptionReauthorize, subscriptionWindow, code, message),
	}
}

func (q quotas) reset() {
	for _, each := range []*quota{q.all, q.presence, q.writes, q.lists, q.reauthorizations} {
		each.reset()
	}
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
