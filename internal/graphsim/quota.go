package graphsim

import "time"

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

	since time.Time
	used  int
}

func newQuota(limit int, window time.Duration, code, message string) *quota {
	return &quota{limit: limit, window: window, code: code, message: message}
}

// newQuotas returns the quotas of the app, by operation. Each mailbox has one more.
func newQuotas() map[string]*quota {
	const code, message = "TooManyRequests", "Too many subscription requests."
	writes := newQuota(subscriptionWrites, subscriptionWindow, code, message)
	return map[string]*quota{
		opAll:                     newQuota(appRequests, appWindow, code, "Too many requests"),
		opPresence:                newQuota(presenceRequests, presenceWindow, code, "Too many presence requests."),
		opSubscriptionCreate:      writes,
		opSubscriptionRenew:       writes,
		opSubscriptionDelete:      writes,
		opSubscriptionList:        newQuota(subscriptionLists, subscriptionWindow, code, message),
		opSubscriptionReauthorize: newQuota(subscriptionReauthorize, subscriptionWindow, code, message),
	}
}

// take counts one request and rejects it if it exceeds the quota.
func (q *quota) take(now time.Time) *reply {
	if now.Sub(q.since) >= q.window {
		q.since, q.used = now, 0
	}
	q.used++
	if q.used <= q.limit {
		return nil
	}
	return throttled(q.since.Add(q.window).Sub(now), q.code, q.message)
}
