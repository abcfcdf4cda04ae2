package subscribe

import (
	"context"
	"time"

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

// doStray settles a stray and removes its hint, or returns when to try again.
func (w *work) doStray(ctx context.Context) (again time.Time) {
	h, ok := w.strayHint(w.task)
	if !ok {
		return time.Now()
	}
	err := w.settle(ctx, h)
	if err == nil {
		err = w.cfg.Registry.Done(ctx, h)
	}
	if ctx.Err() != nil {
		return time.Now()
	}
	if w.log(ctx, err); err == nil {
		return time.Now()
	}
	return later(w.fail(ctx, ooo.Subscription{}, err).RetryAt, time.Now().Add(w.cfg.SweepEvery/10))
}

// settle has the record adopt a stray if it is the answer that was lost: the renewal
// that follows tells. Otherwise it deletes it.
func (w *work) settle(ctx context.Context, h ooo.Hint) error {
	m, ok := w.cfg.Registry.Get(w.id)
	if !ok {
		return w.remove(ctx, w.stray)
	}
	for _, sub := range m.Subscriptions {
		switch {
		case sub.ID == w.stray || sub.Replaces == w.stray:
			return nil
		case ooo.ResourceTag(sub.Resource) == h.ResourceTag && w.adoptable(sub, w.stray):
			return w.save(ctx, func(d *mailbox.Draft) { put(d, adopt(sub, w.stray)) })
		}
	}
	return w.remove(ctx, w.stray)
}
