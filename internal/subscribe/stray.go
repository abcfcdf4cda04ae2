package subscribe

import (
	"context"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// strayHint returns the hint about a stray: a subscription that Graph lists and no
// record names. It returns false if there is none: the stray was dealt with, or another
// replica owns the partition now.
func (s *Subscriber) strayHint(t task) (h ooo.Hint, ok bool) {
	for _, h := range s.cfg.Registry.Hints(t.id, ooo.HintStray) {
		if h.SubscriptionID == t.stray {
			return h, true
		}
	}
	return h, false
}

// strayOf returns a stray with its last failure. It returns false if no hint is about it.
func (s *Subscriber) strayOf(t task) (sub ooo.Subscription, ok bool) {
	_, ok = s.strayHint(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		delete(s.strays, t)
	}
	sub = s.strays[t]
	sub.ID, sub.State = t.stray, ooo.SubscriptionCreating // its creation was not recorded
	return sub, ok
}

// runStray adopts or deletes a stray and removes its hint.
func (j *job) runStray(ctx context.Context) {
	h, ok := j.strayHint(j.task)
	if !ok {
		return
	}
	err := j.adoptOrDelete(ctx, h)
	if err == nil {
		err = j.cfg.Registry.Done(ctx, h)
	}
	if sub, ok := j.report(ctx, j.step.Subscription, err); ok && err != nil {
		j.mu.Lock()
		j.strays[j.task] = sub
		j.mu.Unlock()
	}
}

// adoptOrDelete adopts a stray into the record if it may be the result of an unanswered
// creation: the renewal that follows shows whether it is. Otherwise it deletes the stray.
func (j *job) adoptOrDelete(ctx context.Context, h ooo.Hint) error {
	if m, ok := j.cfg.Registry.Get(j.id); ok {
		for _, sub := range m.Subscriptions {
			switch {
			case sub.ID == j.stray || sub.Replaces == j.stray:
				return nil
			case ooo.ResourceTag(sub.Resource) == h.ResourceTag && j.adoptable(sub, j.stray):
				return j.save(func(d *mailbox.Draft) { putSubscription(d, adopt(sub, j.stray)) })
			}
		}
	}
	return j.delete(ctx, j.stray)
}
