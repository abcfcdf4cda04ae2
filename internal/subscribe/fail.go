package subscribe

import (
	"context"
	"errors"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// trouble says how a failure is remembered and how long is waited after it: from
// first, doubling up to most.
type trouble struct {
	err         error
	trouble     ooo.Trouble
	first, most time.Duration
}

// troubles are the kinds of failures. The first match wins; what matches none is
// Graph out of reach, busy, or Exchange's trouble, mostly transient.
var troubles = []trouble{
	{ooo.ErrSubscriptionQuota, ooo.TroubleQuota, time.Minute, 30 * time.Minute},
	{ooo.ErrSubscriptionDenied, ooo.TroubleDenied, 30 * time.Second, 10 * time.Minute}, // an administrator has to act
	{ooo.ErrHandshake, ooo.TroubleHandshake, 3 * time.Second, 5 * time.Minute},
	{ooo.ErrRejected, ooo.TroubleRejected, 30 * time.Second, time.Hour},
	{ooo.ErrNoMailbox, ooo.TroubleMailbox, 30 * time.Second, 10 * time.Minute},
	{ooo.ErrUserGone, ooo.TroubleMailbox, 30 * time.Second, 10 * time.Minute},
	{nil, ooo.TroubleUnavailable, 3 * time.Second, 10 * time.Minute},
}

func troubleOf(err error) trouble {
	if _, ok := errors.AsType[*ooo.Throttled](err); ok {
		return trouble{trouble: ooo.TroubleThrottled}
	}
	for _, t := range troubles {
		if t.err == nil || errors.Is(err, t.err) {
			return t
		}
	}
	return trouble{} // the last one matches everything
}

// WaitName is the name of the wait that Graph asks of all subscription writes.
const WaitName = "subscriptions"

// fail notes a failure in sub and when to try again. Each kind of trouble starts with
// its own first wait, whatever failed before it.
func (w *work) fail(ctx context.Context, sub *ooo.Subscription, err error) {
	now := time.Now().UTC().Round(0)
	if errors.Is(err, ooo.ErrSubscriptionGone) {
		sub.ID, sub.State = "", ooo.SubscriptionRemoved // the next plan makes it again
		sub.Error, sub.Failures, sub.RetryAt, sub.Trouble = "", 0, time.Time{}, ""
		return
	}
	t := troubleOf(err)
	if sub.Trouble != t.trouble {
		sub.Trouble, sub.Failures = t.trouble, 0
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
		sub.RetryAt = now.Add(throttled.After)
		if throttled.Whole {
			w.holdAll(ctx, throttled.After)
		}
		return
	}
	wait := schedule.Backoff(sub.Failures, t.first, t.most)
	if sub.ID != "" { // it still lives: tried four times before it ends, however long ago it began to fail
		wait = min(wait, max(sub.ExpiresAt.Sub(now)/4, t.first))
	}
	sub.RetryAt = now.Add(wait)
}

// holdAll has all replicas leave subscriptions alone for a while.
func (s *Subscriber) holdAll(ctx context.Context, wait time.Duration) {
	if err := s.cfg.SetWait(ctx, WaitName, wait); err != nil {
		s.cfg.Log.WarnContext(ctx, "the wait that graph asked for was not shared", "err", err)
	}
}

const (
	// margin keeps a life that Graph named as its limit under that limit, which it
	// checks to the millisecond.
	margin = time.Minute
	// richLife is the longest life of a subscription with resource data.
	richLife = 1440 * time.Minute
)

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

// limited is what a limit of Graph's is about.
func limited(sub ooo.Subscription) string {
	if sub.CertificateID != "" {
		return sub.Resource + " with resource data"
	}
	return sub.Resource
}

// learn takes the limit out of Graph's answer to a call that asked for a life, and
// says whether a shorter one is to be asked for.
func (s *Subscriber) learn(sub ooo.Subscription, asked time.Duration, err error) bool {
	limit, ok := errors.AsType[*ooo.TooLong](err)
	if !ok || limit.Max <= margin {
		return false
	}
	s.mu.Lock()
	if before, known := s.granted[limited(sub)]; !known || limit.Max-margin < before {
		s.granted[limited(sub)] = limit.Max - margin
	}
	s.mu.Unlock()
	return s.life(sub) < asked
}
