package graphsim

import "time"

// Graph's other limits.
const (
	mailboxConcurrent       = 4 // requests
	subscriptionsPerMailbox = 1000
	subscriptionsToUsers    = 100
)

// quota allows limit requests in each fixed window. Rejected requests count as well.
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

// newQuotas returns the quotas of the app, by operation.
func newQuotas() map[string]*quota {
	subscriptions := func(limit int) *quota {
		return newQuota(limit, 20*time.Second, "TooManyRequests", "Too many subscription requests.")
	}
	writes := subscriptions(500)
	return map[string]*quota{
		opAll:                     newQuota(130_000, 10*time.Second, "TooManyRequests", "Too many requests"),
		opPresence:                newQuota(1500, 30*time.Second, "TooManyRequests", "Too many presence requests."),
		opSubscriptionCreate:      writes,
		opSubscriptionRenew:       writes,
		opSubscriptionDelete:      writes,
		opSubscriptionList:        subscriptions(25),
		opSubscriptionReauthorize: subscriptions(1000),
	}
}

// newMailboxQuota returns the quota of a mailbox.
func newMailboxQuota() *quota {
	return newQuota(10_000, 10*time.Minute, "ApplicationThrottled", "Application is over its MailboxRequests limit.")
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
