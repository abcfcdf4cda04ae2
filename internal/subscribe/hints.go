package subscribe

import (
	"cmp"
	"slices"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

const (
	// reauthorizeEvery is how long a renewal answers reauthorizationRequired, which
	// Graph repeats.
	reauthorizeEvery = 10 * time.Minute
	// spokenEvery is how old the saved time of the last notification may get.
	spokenEvery = 10 * time.Minute
)

// waiting are the hints that wait for a mailbox: those that ask whether its
// subscriptions live, and notifications whose time is to be saved. It is replaced as a
// whole and never changed.
type waiting struct {
	hints []ooo.Hint
	since time.Time // a subscription that was renewed at since or later is known to live
}

var none = new(waiting)

// Hinted implements [mailbox.Worker].
func (s *Subscriber) Hinted(h ooo.Hint) {
	switch {
	case h.Kind == ooo.HintStray:
		s.planNow(task{h.ID, h.SubscriptionID})
	case h.Kind == ooo.HintSubscription:
		// What counts is when it was seen here: the clock of whoever left it may differ.
		since := time.Now().UTC().Round(0)
		if h.Subject == string(ooo.ReauthorizationRequired) && s.renewedAfter(h.ID, since.Add(-reauthorizeEvery)) {
			since = since.Add(-reauthorizeEvery)
		}
		s.note(h, since)
	case h.Kind == ooo.HintRead && s.spokeLongAgo(h):
		s.note(h, time.Time{})
	}
}

// note adds a hint to those that wait. None becomes weaker by a later one.
func (s *Subscriber) note(h ooo.Hint, since time.Time) {
	s.mu.Lock()
	before := cmp.Or(s.waiting[h.ID], none)
	hints := slices.DeleteFunc(slices.Clone(before.hints), func(old ooo.Hint) bool {
		return old.Kind == h.Kind && old.Subject == h.Subject && old.ResourceTag == h.ResourceTag
	})
	s.waiting[h.ID] = &waiting{append(hints, h), later(before.since, since)}
	s.mu.Unlock()
	s.planNow(task{id: h.ID})
}

// renewedAfter says whether a subscription of a mailbox was renewed after then. That
// it was created answers no demand to renew it.
func (s *Subscriber) renewedAfter(id ooo.RecordID, then time.Time) bool {
	m, ok := s.cfg.Registry.Get(id)
	return ok && slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
		return sub.RenewedAt.After(sub.CreatedAt) && sub.RenewedAt.After(then)
	})
}

// spokeLongAgo says whether what is saved of when the subscription of a notification
// spoke last is old.
func (s *Subscriber) spokeLongAgo(h ooo.Hint) bool {
	m, ok := s.cfg.Registry.Get(h.ID)
	return ok && slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
		return ooo.ResourceTag(sub.Resource) == h.ResourceTag && h.At.Sub(sub.SpokeAt) > spokenEvery
	})
}

// hintsFor returns what waits for a mailbox.
func (s *Subscriber) hintsFor(id ooo.RecordID) *waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := cmp.Or(s.waiting[id], none)
	if now := time.Now().UTC().Round(0); w.since.After(now) { // the clock went back
		w = &waiting{w.hints, now}
		s.waiting[id] = w
	}
	return w
}

// carriedOut says whether there are hints, and no call of Graph is needed for them any
// more.
func (w *waiting) carriedOut(m *ooo.Mailbox, want Settings) bool {
	return w != none && !slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
		return sub.State == ooo.SubscriptionLive && sub.RenewedAt.Before(w.since) && slices.Contains(want.Resources, sub.Resource)
	})
}

// save notes in a draft that the hints were carried out.
func (w *waiting) save(d *mailbox.Draft) {
	for _, h := range w.hints {
		if h.Kind == ooo.HintSubscription {
			d.Done(h)
			continue
		}
		for i := range d.Subscriptions { // the hint itself is the poll's
			if sub := &d.Subscriptions[i]; ooo.ResourceTag(sub.Resource) == h.ResourceTag {
				sub.SpokeAt = h.At
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// forget drops hints that were saved, unless others came meanwhile.
func (s *Subscriber) forget(id ooo.RecordID, saved *waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id] == saved {
		delete(s.waiting, id)
	}
}
