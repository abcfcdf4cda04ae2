package subscribe

import (
	"context"
	"errors"
	"time"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// troubles says how each failure is remembered and how long is waited after it:
// from first, doubling up to most. The first match wins; what matches none is
// Graph out of reach, busy, or Exchange's trouble, mostly transient.
var troubles = []struct {
	err         error
	trouble     ooo.Trouble
	first, most time.Duration
}{
	{ooo.ErrSubscriptionQuota, ooo.TroubleQuota, time.Minute, 30 * time.Minute},
	{ooo.ErrSubscriptionDenied, ooo.TroubleDenied, 30 * time.Second, 10 * time.Minute}, // an administrator has to act
	{ooo.ErrHandshake, ooo.TroubleHandshake, 3 * time.Second, 5 * time.Minute},
	{ooo.ErrRejected, ooo.TroubleRejected, 30 * time.Second, time.Hour},
	{ooo.ErrNoMailbox, ooo.TroubleMailbox, 30 * time.Second, 10 * time.Minute},
	{ooo.ErrUserGone, ooo.TroubleMailbox, 30 * time.Second, 10 * time.Minute},
	{nil, ooo.TroubleUnavailable, 3 * time.Second, 10 * time.Minute},
}

// fail notes a failure in sub and when to try again.
func (w work) fail(ctx context.Context, sub *ooo.Subscription, err error) {
	now := w.clock()
	if errors.Is(err, errNotFound) {
		return
	}
	if errors.Is(err, ooo.ErrSubscriptionGone) {
		sub.ID, sub.State = "", ooo.SubscriptionRemoved // the next plan makes it anew
		return
	}
	sub.Failures++
	sub.Error = err.Error()
	// A call without an answer may have made it, and a later one that never got to
	// Graph says nothing about that. A live one that could not be renewed, replaced
	// or deleted stays what it is.
	unsure := errors.Is(err, ooo.ErrNoAnswer) || w.step.Subscription.State == ooo.SubscriptionCreating
	if sub.ID == "" && !unsure {
		sub.State = ooo.SubscriptionFailed
	}
	if throttled, ok := errors.AsType[*ooo.Throttled](err); ok {
		sub.Trouble, sub.RetryAt = ooo.TroubleThrottled, now.Add(throttled.After)
		if throttled.Whole {
			if err := w.cfg.Store.Hold(ctx, sub.RetryAt, ooo.SubscribeQueue); err != nil {
				w.cfg.Log.WarnContext(ctx, "the wait that Graph asked for could not be shared", "err", err)
			}
		}
		return
	}
	for _, t := range troubles {
		if t.err == nil || errors.Is(err, t.err) {
			sub.Trouble = t.trouble
			wait := due.Backoff(sub.Failures, t.first, t.most)
			if sub.ID != "" { // it still lives: tried four times before it ends, however long ago it began to fail
				wait = min(wait, max(sub.ExpiresAt.Sub(now)/4, t.first))
			}
			sub.RetryAt = now.Add(wait)
			return
		}
	}
}

// life is how long a subscription like sub is asked for.
func (s *Subscriber) life(sub ooo.Subscription) time.Duration {
	longest := s.cfg.Lifetime
	if sub.CertificateID != "" {
		longest = min(longest, richLife-margin)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if most, ok := s.granted[limited(sub)]; ok {
		return min(most, longest)
	}
	return longest
}

// richLife is the longest life of a subscription with resource data.
const richLife = 1440 * time.Minute

// limited is what a limit of Graph's is about.
func limited(sub ooo.Subscription) string {
	if sub.CertificateID != "" {
		return sub.Resource + " with resource data"
	}
	return sub.Resource
}

// learn takes the limit out of Graph's answer and says whether there was a new
// one.
func (s *Subscriber) learn(sub ooo.Subscription, err error) bool {
	limit, ok := errors.AsType[*ooo.TooLong](err)
	if !ok || limit.Max <= margin {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.granted[limited(sub)]
	s.granted[limited(sub)] = limit.Max - margin
	return !known || limit.Max-margin < before
}
