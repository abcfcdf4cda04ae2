package subscribe

import (
	"slices"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

const (
	// reauthorizeEvery is how long a renewal answers reauthorizationRequired, which
	// Graph repeats.
	reauthorizeEvery = 10 * time.Minute
	// notifiedEvery is how old the saved time of the last notification may get.
	notifiedEvery = 10 * time.Minute
)

// Hinted implements [mailbox.Worker].
func (s *Subscriber) Hinted(h ooo.Hint) {
	switch {
	case h.Kind == ooo.HintStray:
		s.planNow(task{h.ID, h.SubscriptionID})
	case h.Kind == ooo.HintSubscription:
		s.planNow(task{id: h.ID})
	case h.Kind == ooo.HintRead && s.notifiedLongAgo(h):
		s.mu.Lock()
		if s.notified[h.ID] == nil {
			s.notified[h.ID] = map[string]time.Time{}
		}
		s.notified[h.ID][h.ResourceTag] = h.At
		s.mu.Unlock()
		s.planNow(task{id: h.ID})
	}
}

// notifiedLongAgo reports whether the saved time of the last notification of a subscription is
// old.
func (s *Subscriber) notifiedLongAgo(h ooo.Hint) bool {
	m, ok := s.cfg.Registry.Get(h.ID)
	return ok && slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
		return ooo.ResourceTag(sub.Resource) == h.ResourceTag && h.At.Sub(sub.NotifiedAt) > notifiedEvery
	})
}

// asked reports whether one of the hints asks whether a live subscription still exists,
// which Graph has not confirmed since.
func asked(sub ooo.Subscription, hints []ooo.Hint, now time.Time) bool {
	return slices.ContainsFunc(hints, func(h ooo.Hint) bool {
		seen := now.Add(-now.Sub(h.SeenAt)) // by the wall clock, which may have been set since
		if h.Subject == string(ooo.ReauthorizationRequired) && sub.RenewedAt.After(sub.CreatedAt) {
			seen = seen.Add(-reauthorizeEvery)
		}
		return sub.RenewedAt.Before(seen)
	})
}

// carriedOut reports whether there are hints, and no call of Graph is needed for them any
// more.
func carriedOut(hints []ooo.Hint, m *ooo.Mailbox, want Settings, now time.Time) bool {
	return len(hints) > 0 && !slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
		return sub.State == ooo.SubscriptionLive && slices.Contains(want.Resources, sub.Resource) && asked(sub, hints, now)
	})
}

// save changes the record, and with it removes the hints that ask for nothing more. A
// record of which nothing is left is removed.
func (w *work) save(change func(d *mailbox.Draft)) error {
	hints := w.cfg.Registry.Hints(w.id, ooo.HintSubscription)
	w.mu.Lock()
	notified := w.notified[w.id]
	delete(w.notified, w.id)
	w.mu.Unlock()
	_, err := w.cfg.Registry.Update(w.id, func(d *mailbox.Draft) error {
		change(d)
		for i := range d.Subscriptions {
			if at, ok := notified[ooo.ResourceTag(d.Subscriptions[i].Resource)]; ok {
				d.Subscriptions[i].NotifiedAt = at
			}
		}
		if carriedOut(hints, d.Mailbox, w.want, time.Now()) {
			d.Done(hints...)
		}
		if len(d.Addresses) == 0 && len(d.Subscriptions) == 0 {
			d.Remove()
		}
		return nil
	})
	return err
}
