package subscribe

import (
	"errors"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// failureKind says how a failure is recorded and how long to wait after it: first,
// doubling up to most.
type failureKind struct {
	err         error
	kind        ooo.SubscriptionErrorKind
	first, most time.Duration
}

// failureKinds lists the kinds of failures. The first match wins.
var failureKinds = []failureKind{
	{ooo.ErrSubscriptionQuota, ooo.SubscriptionErrorQuota, time.Minute, 30 * time.Minute},
	{ooo.ErrSubscriptionDenied, ooo.SubscriptionErrorDenied, 30 * time.Second, 10 * time.Minute}, // an administrator has to act
	{ooo.ErrHandshake, ooo.SubscriptionErrorHandshake, 3 * time.Second, 5 * time.Minute},
	{ooo.ErrRejected, ooo.SubscriptionErrorRejected, 30 * time.Second, time.Hour},
	{ooo.ErrNoMailbox, ooo.SubscriptionErrorMailbox, 30 * time.Second, 10 * time.Minute},
	{ooo.ErrUserGone, ooo.SubscriptionErrorMailbox, 30 * time.Second, 10 * time.Minute},
}

// unavailable is any other failure: Graph is unreachable or busy, or Exchange failed,
// usually for a short while.
var unavailable = failureKind{nil, ooo.SubscriptionErrorUnavailable, 3 * time.Second, 10 * time.Minute}

func failureKindOf(err error) failureKind {
	if _, ok := errors.AsType[*ooo.Throttled](err); ok {
		return failureKind{nil, ooo.SubscriptionErrorThrottled, 3 * time.Second, 10 * time.Minute}
	}
	for _, k := range failureKinds {
		if errors.Is(err, k.err) {
			return k
		}
	}
	return unavailable
}

// failed returns sub with the failure and the time of the next try. Each kind of failure
// starts with its own first wait, whatever failed before it.
func (j *job) failed(sub ooo.Subscription, err error) ooo.Subscription {
	if errors.Is(err, ooo.ErrSubscriptionGone) { // the next plan creates it again
		sub.ID, sub.State = "", ooo.SubscriptionRemoved
		clearFailure(&sub)
		return sub
	}
	k := failureKindOf(err)
	if sub.ErrorKind != k.kind {
		sub.ErrorKind, sub.Failures = k.kind, 0
	}
	sub.Failures++
	sub.Error = err.Error()
	if sub.ID == "" { // a live one that could not be renewed, replaced or deleted stays live
		sub.State = ooo.SubscriptionFailed
	}
	now := time.Now().UTC().Round(0)
	wait := schedule.Backoff(sub.Failures, k.first, k.most)
	if sub.State == ooo.SubscriptionLive { // at least four tries before it expires, however long it has been failing
		wait = min(wait, max(sub.ExpiresAt.Sub(now)/4, k.first))
	}
	throttled, ok := errors.AsType[*ooo.Throttled](err)
	switch {
	case ok && throttled.WholeApp && !throttled.Busy: // exactly as asked: the cause is not this mailbox
		wait = throttled.After
	case ok: // at least as asked: Graph may ask for the same few seconds for hours
		wait = max(wait, throttled.After)
	}
	sub.RetryAt = now.Add(wait)
	if j.step.Action == Delete { // if monitoring has started again meanwhile, a renewal finds out whether it is gone
		sub.RenewAt = now
	}
	return sub
}

const (
	// lifetimeMargin keeps a lifetime below the limit that Graph named, which Graph
	// checks to the millisecond.
	lifetimeMargin = time.Minute
	// maxDataLifetime is the longest lifetime of a subscription with resource data.
	maxDataLifetime = 1440 * time.Minute
)

// lifetimeOf returns the lifetime to request for sub.
func (s *Subscriber) lifetimeOf(sub ooo.Subscription) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.CertificateID != "" {
		return min(s.lifetime, maxDataLifetime-lifetimeMargin)
	}
	return s.lifetime
}

// learnLimit adopts the limit that Graph named in its error, for all subscriptions, and
// reports whether to repeat the call with a shorter lifetime than the requested one.
func (s *Subscriber) learnLimit(sub ooo.Subscription, requested time.Duration, err error) bool {
	limit, ok := errors.AsType[*ooo.LifetimeTooLong](err)
	if !ok || limit.Max <= lifetimeMargin {
		return false
	}
	s.mu.Lock()
	s.lifetime = min(s.lifetime, limit.Max-lifetimeMargin)
	s.mu.Unlock()
	return s.lifetimeOf(sub) < requested
}
