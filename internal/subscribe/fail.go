package subscribe

import (
	"context"
	"errors"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// failureKind says how a failure is remembered and how long is waited after it: from
// first, doubling up to most.
type failureKind struct {
	err         error
	kind        ooo.SubscriptionErrorKind
	first, most time.Duration
}

// failureKinds are the kinds of failures. The first match wins.
var failureKinds = []failureKind{
	{ooo.ErrSubscriptionQuota, ooo.SubscriptionErrorQuota, time.Minute, 30 * time.Minute},
	{ooo.ErrSubscriptionDenied, ooo.SubscriptionErrorDenied, 30 * time.Second, 10 * time.Minute}, // an administrator has to act
	{ooo.ErrHandshake, ooo.SubscriptionErrorHandshake, 3 * time.Second, 5 * time.Minute},
	{ooo.ErrRejected, ooo.SubscriptionErrorRejected, 30 * time.Second, time.Hour},
	{ooo.ErrNoMailbox, ooo.SubscriptionErrorMailbox, 30 * time.Second, 10 * time.Minute},
	{ooo.ErrUserGone, ooo.SubscriptionErrorMailbox, 30 * time.Second, 10 * time.Minute},
}

// unavailable is what is none of them: Graph is out of reach, busy, or Exchange
// failed, mostly for a short while.
var unavailable = failureKind{nil, ooo.SubscriptionErrorUnavailable, 3 * time.Second, 10 * time.Minute}

func failureKindOf(err error) failureKind {
	if _, ok := errors.AsType[*ooo.Throttled](err); ok {
		return failureKind{kind: ooo.SubscriptionErrorThrottled}
	}
	for _, t := range failureKinds {
		if errors.Is(err, t.err) {
			return t
		}
	}
	return unavailable
}

// WaitName is the name of the wait that Graph asks of all subscription writes.
const WaitName = "subscriptions"

// fail returns sub with a failure noted, and when to try again. Each kind of failure
// starts with its own first wait, whatever failed before it.
func (w *work) fail(ctx context.Context, sub ooo.Subscription, err error) ooo.Subscription {
	if errors.Is(err, ooo.ErrSubscriptionGone) { // the next plan creates it again
		sub.ID, sub.State = "", ooo.SubscriptionRemoved
		recovered(&sub)
		return sub
	}
	t := failureKindOf(err)
	if sub.ErrorKind != t.kind {
		sub.ErrorKind, sub.Failures = t.kind, 0
	}
	sub.Failures++
	sub.Error = err.Error()
	// A call without an answer may have created it, and a later one that never got to
	// Graph says nothing about that. A live one that could not be renewed, replaced
	// or deleted stays what it is.
	unsure := errors.Is(err, ooo.ErrNoAnswer) || w.step.Subscription.State == ooo.SubscriptionCreating
	if sub.ID == "" && !unsure {
		sub.State = ooo.SubscriptionFailed
	}
	now := time.Now().UTC().Round(0)
	wait := schedule.Backoff(sub.Failures, t.first, t.most)
	if sub.State == ooo.SubscriptionLive { // tried four times before it ends, however long ago it began to fail
		wait = min(wait, max(sub.ExpiresAt.Sub(now)/4, t.first))
	}
	if throttled, ok := errors.AsType[*ooo.Throttled](err); ok {
		if wait = throttled.After; throttled.WholeApp {
			if err := w.cfg.SetWait(ctx, WaitName, wait); err != nil {
				w.cfg.Log.WarnContext(ctx, "graph's wait not shared with the other replicas", "err", err)
			}
		}
	}
	sub.RetryAt = now.Add(wait)
	return sub
}

const (
	// margin keeps a life that Graph named as its limit under that limit, which it
	// checks to the millisecond.
	margin = time.Minute
	// richLife is the longest life of a subscription with resource data.
	richLife = 1440 * time.Minute
)

// lifeOf is how long a subscription like sub is asked for.
func (s *Subscriber) lifeOf(sub ooo.Subscription) time.Duration {
	s.mu.Lock()
	life := s.life
	s.mu.Unlock()
	if sub.CertificateID != "" {
		life = min(life, richLife-margin)
	}
	return life
}

// learn takes the limit out of Graph's answer to a call that asked for a life, for all
// subscriptions, and reports whether a shorter one is to be asked for.
func (s *Subscriber) learn(sub ooo.Subscription, asked time.Duration, err error) bool {
	limit, ok := errors.AsType[*ooo.LifetimeTooLong](err)
	if !ok || limit.Max <= margin {
		return false
	}
	s.mu.Lock()
	s.life = min(s.life, limit.Max-margin)
	s.mu.Unlock()
	return s.lifeOf(sub) < asked
}
