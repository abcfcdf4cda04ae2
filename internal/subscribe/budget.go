package subscribe

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// Graph accepts 500 subscription writes per 20 s from one app in a tenant. All replicas
// together make fewer in any 20 s, because Graph counts by its own clock: a burst of 25
// and then 23 a second, at most 485.
const (
	writeRate  = 23 // a second
	writeBurst = 25
)

// manyFailures is after how many failures in a row a creation is a step in bulk.
const manyFailures = 5

// callsGraph reports whether the step calls Graph, and so needs the budget.
func (s Step) callsGraph() bool {
	return s.Action != Nothing && s.Action != Drop
}

// inBulk reports whether many mailboxes need the step at once: after a change of settings,
// a sweep, or the end of their monitoring. Such steps start only when no others are due: a
// new mailbox would otherwise wait 19 minutes behind 26,000 others. A step is no longer in
// bulk once the renewal of its subscription is due, which it takes the place of.
//
// A creation that keeps failing is in bulk too: those of thousands of mailboxes on premises
// would otherwise take the whole budget, and no step in bulk would ever start.
func (s Step) inBulk(now time.Time) bool {
	switch s.Reason {
	case ExistenceCheck, URLChanged, DataChanged, KeyDropped:
		return s.Subscription.RenewAt.After(now)
	case RetryDue, CreationUnanswered:
		return s.Subscription.Failures >= manyFailures
	}
	return s.Action == Delete || s.Action == DeleteReplaced
}

// awaitWrite waits until this replica's share of the budget admits one more write, or
// returns the error of ctx.
func (s *Subscriber) awaitWrite(ctx context.Context) error {
	share := min(max(s.cfg.Owners.Share(), 0.01), 1)
	s.writes.SetLimit(rate.Limit(writeRate * share))
	s.writes.SetBurst(max(int(writeBurst*share), 1))
	return s.writes.Wait(ctx)
}
