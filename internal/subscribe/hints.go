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
	case h.Kind == ooo.HintRead:
		m, ok := s.cfg.Registry.Get(h.ID)
		outdated := ok && slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
			return ooo.ResourceTag(sub.Resource) == h.ResourceTag && h.At.Sub(sub.NotifiedAt) > notifiedInterval
		})
		if outdated { // the saved time of the last notification
			s.notified.Store(h.ID, h)
			s.planNow(h.ID)
		}
	}
}

// inDoubt reports whether hints ask if sub still exists, and Graph has not renewed it since.
func inDoubt(sub ooo.Subscription, hints []ooo.Hint, now time.Time) bool {
	return slices.ContainsFunc(hints, func(h ooo.Hint) bool {
		since := now.Add(-now.Sub(h.SeenAt)) // SeenAt by the wall clock of now, whatever that did meanwhile
		if h.Subject == string(ooo.ReauthorizationRequired) && sub.RenewedAt.After(sub.CreatedAt) {
			since = since.Add(-reauthorizeInterval) // an earlier renewal counts too
		}
		aheadClock := sub.RenewedAt.After(now)
		return sub.RenewedAt.Before(since) || aheadClock
	})
}

// carriedOut reports whether there are hints and none of them needs a call to Graph any
// more.
func carriedOut(hints []ooo.Hint, m *ooo.Mailbox, now time.Time) bool {
	return len(hints) > 0 && !slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
		return sub.State == ooo.SubscriptionLive && inDoubt(sub, hints, now)
	})
}

// save changes the record and removes the hints that were carried out with it. It removes
// a record without addresses and subscriptions.
func (j *job) save(change func(d *mailbox.Draft)) error {
	hints := j.cfg.Registry.Hints(j.id, ooo.HintSubscription)
	notified, _ := j.notified.LoadAndDelete(j.id)
	_, err := j.cfg.Registry.Update(j.id, func(d *mailbox.Draft) error {
		change(d)
		for i := range d.Subscriptions {
			if h, ok := notified.(ooo.Hint); ok && ooo.ResourceTag(d.Subscriptions[i].Resource) == h.ResourceTag {
				d.Subscriptions[i].NotifiedAt = h.At
			}
		}
		if carriedOut(hints, d.Mailbox, time.Now()) {
			d.RemoveHints(hints...)
		}
		if !d.Monitored() && len(d.Subscriptions) == 0 {
			d.Remove()
		}
		return nil
	})
	return err
}
