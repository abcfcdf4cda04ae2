package subscribe

import (
	"context"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// strayHint returns the hint about a stray: a subscription that Graph lists and no
// record has. ok is false if it is settled, or another replica's now.
func (s *Subscriber) strayHint(t task) (h ooo.Hint, ok bool) {
	for _, h := range s.cfg.Registry.Hints(t.id, ooo.HintStray) {
		if h.SubscriptionID == t.stray {
			return h, true
		}
	}
	return h, false
}

// strayOf returns a stray, with what failed about it. ok is false if there is no hint
// about it any more.
func (s *Subscriber) strayOf(t task) (sub ooo.Subscription, ok bool) {
	_, ok = s.strayHint(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		delete(s.strays, t)
	}
	sub = s.strays[t]
	sub.ID, sub.State = t.stray, ooo.SubscriptionCreating // by a creation that no record knows of
	return sub, ok
}

// doStray settles a stray and removes its hint.
func (w *work) doStray(ctx context.Context) {
	h, ok := w.strayHint(w.task)
	if !ok {
		return
	}
	err := w.settle(ctx, h)
	if err == nil {
		err = w.cfg.Registry.Done(ctx, h)
	}
	if sub, ok := w.outcome(ctx, w.step.Subscription, err); ok && err != nil {
		w.mu.Lock()
		w.strays[w.task] = sub
		w.mu.Unlock()
	}
}

// settle has the record adopt a stray if it is the answer that was lost: the renewal
// that follows tells. Otherwise it deletes it.
func (w *work) settle(ctx context.Context, h ooo.Hint) error {
	if m, ok := w.cfg.Registry.Get(w.id); ok {
		for _, sub := range m.Subscriptions {
			switch {
			case sub.ID == w.stray || sub.Replaces == w.stray:
				return nil
			case ooo.ResourceTag(sub.Resource) == h.ResourceTag && w.adoptable(sub, w.stray):
				return w.save(func(d *mailbox.Draft) { put(d, adopt(sub, w.stray)) })
			}
		}
	}
	return w.remove(ctx, w.stray)
}
