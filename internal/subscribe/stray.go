package subscribe

import (
	"context"
	"errors"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// stray is a subscription that Graph lists and no record has.
type stray struct {
	hint     ooo.Hint
	failures int
}

// settle adopts a stray subscription if it is the answer that was lost, and deletes
// it otherwise.
func (w *work) settle(ctx context.Context, t task, h ooo.Hint) error {
	if m, ok := w.cfg.Registry.Get(t.id); ok {
		for _, sub := range m.Subscriptions {
			if sub.ID == t.stray || sub.Replaces == t.stray {
				return w.cfg.Registry.Done(ctx, h)
			}
		}
		for _, sub := range m.Subscriptions {
			if sub.ID != "" || sub.State != ooo.SubscriptionCreating || ooo.ResourceTag(sub.Resource) != h.ResourceTag {
				continue
			}
			before := sub
			adopted, err := w.adopt(ctx, before, t.stray, &sub)
			if err != nil {
				return err
			}
			if adopted {
				return w.saveAdopted(ctx, h, sub)
			}
		}
	}
	if err := w.remove(ctx, t.stray); err != nil {
		// Graph will not be persuaded; it ends by itself.
		if !errors.Is(err, ooo.ErrSubscriptionDenied) && !errors.Is(err, ooo.ErrRejected) {
			return err
		}
		w.cfg.Log.WarnContext(ctx, "subscription in no record can't be deleted", "mailbox", t.id, "err", err)
	}
	return w.cfg.Registry.Done(ctx, h)
}

func (w *work) saveAdopted(ctx context.Context, h ooo.Hint, sub ooo.Subscription) error {
	err := w.save(ctx, func(d *mailbox.Draft) {
		put(d, sub)
		d.Done(h)
	})
	if err == nil {
		w.cfg.ReadNow(w.id, ooo.SourceSubscription)
	}
	return err
}

// doStray settles a stray subscription, and says when to try again.
func (w *work) doStray(ctx context.Context, t task) (again time.Time) {
	s := w.strayOf(t)
	err := w.settle(ctx, t, s.hint)
	if err == nil {
		w.log(ctx, nil)
		return w.endStray(t, s.hint)
	}
	if ctx.Err() != nil {
		return time.Time{}
	}
	s.failures++
	wait := schedule.Backoff(s.failures, 3*time.Second, 10*time.Minute)
	switch throttled, ok := errors.AsType[*ooo.Throttled](err); {
	case ok:
		if wait = throttled.After; throttled.Whole {
			w.holdAll(ctx, wait)
		}
	case !errors.Is(err, ooo.ErrNotOwner):
		if w.step.Subscription.Failures = s.failures - 1; s.failures > 1 {
			w.step.Subscription.Trouble = troubleOf(err).trouble // logged once
		}
		w.log(ctx, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now, ok := w.strays[t]; ok {
		now.failures = s.failures
		w.strays[t] = now
	}
	return time.Now().Add(wait)
}

func (s *Subscriber) strayOf(t task) stray {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strays[t]
}

// endStray forgets a stray subscription, unless it was found again meanwhile.
func (s *Subscriber) endStray(t task, h ooo.Hint) (again time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strays[t].hint.Nonce == h.Nonce {
		delete(s.strays, t)
	}
	return time.Now()
}
