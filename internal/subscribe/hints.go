package subscribe

import (
	"slices"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

const (
	// reauthorizeInterval is how long a renewal counts as the response to
	// reauthorizationRequired, which Graph repeats.
	reauthorizeInterval = 10 * time.Minute
	// notifiedInterval is how old the saved time of the last notification may get.
	notifiedInterval = 10 * time.Minute
)

// Hinted implements [mailbox.Worker].
func (s *Subscriber) Hinted(h ooo.Hint) {
	switch {
	case h.Kind == ooo.HintSubscription, h.Kind == ooo.HintStray:
		s.planNow(h.ID)
	case h.Kind == ooo.HintRead && s.notifiedOutdated(h):
		s.mu.Lock()
		if s.notified[h.ID] == nil {
			s.notified[h.ID] = map[string]time.Time{}
		}
		s.notified[h.ID][h.ResourceTag] = h.At
		s.mu.Unlock()
		s.planNow(h.ID)
	}
}

// notifiedOutdated reports whether a notification has to update the saved time of the
// last one.
func (s *Subscriber) notifiedOutdated(h ooo.Hint) bool {
	m, ok := s.cfg.Registry.Get(h.ID)
	return ok && slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
		return ooo.ResourceTag(sub.Resource) == h.ResourceTag && h.At.Sub(sub.NotifiedAt) > notifiedInterval
	})
}

// needsCheck reports whether a hint asks if sub still exists, and Graph has not renewed
// sub since.
func needsCheck(sub ooo.Subscription, hints []ooo.Hint, now time.Time) bool {
	return slices.ContainsFunc(hints, func(h ooo.Hint) bool {
		seen := now.Add(-now.Sub(h.SeenAt)) // by the present wall clock, which may have been set since
		if h.Subject == string(ooo.ReauthorizationRequired) && sub.RenewedAt.After(sub.CreatedAt) {
			seen = seen.Add(-reauthorizeInterval)
		}
		return sub.RenewedAt.Before(seen)
	})
}

// removals returns the hints that come from Graph's announcement of a removal.
func removals(hints []ooo.Hint) (removals []ooo.Hint) {
	for _, h := range hints {
		if h.Subject == string(ooo.SubscriptionWasRemoved) {
			removals = append(removals, h)
		}
	}
	return removals
}

// carriedOut reports whether there are hints and none of them needs a call to Graph any
// more.
func carriedOut(hints []ooo.Hint, m *ooo.Mailbox, want Settings, now time.Time) bool {
	return len(hints) > 0 && !slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
		return sub.State == ooo.SubscriptionLive && slices.Contains(want.Resources, sub.Resource) && needsCheck(sub, hints, now)
	})
}

// save changes the record and removes the hints that were carried out with it. It removes
// a record without addresses and subscriptions.
func (j *job) save(change func(d *mailbox.Draft)) error {
	hints := j.cfg.Registry.Hints(j.id, ooo.HintSubscription)
	j.mu.Lock()
	notified := j.notified[j.id]
	delete(j.notified, j.id)
	j.mu.Unlock()
	_, err := j.cfg.Registry.Update(j.id, func(d *mailbox.Draft) error {
		change(d)
		for i := range d.Subscriptions {
			if at, ok := notified[ooo.ResourceTag(d.Subscriptions[i].Resource)]; ok {
				d.Subscriptions[i].NotifiedAt = at
			}
		}
		if carriedOut(hints, d.Mailbox, j.want, time.Now()) {
			d.RemoveHints(hints...)
		}
		if len(d.Addresses) == 0 && len(d.Subscriptions) == 0 {
			d.Remove()
		}
		return nil
	})
	return err
}
