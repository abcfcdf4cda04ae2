package subscribe

import (
	"context"
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

// examination is a waiting hint "subscription". Subscriptions that were renewed at
// since or later are known to live.
type examination struct {
	hint  ooo.Hint
	since time.Time
}

// examine notes a hint. What counts is when it was seen here: the clock of whoever
// left it may differ.
func (s *Subscriber) examine(h ooo.Hint) {
	since := time.Now().UTC().Round(0)
	if h.Reason == string(ooo.ReauthorizationRequired) && s.renewedAfter(h.ID, since.Add(-reauthorizeEvery)) {
		since = since.Add(-reauthorizeEvery)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, waiting := s.hints[h.ID]
	switch {
	case waiting && before.hint.Nonce == h.Nonce:
		return
	case waiting && before.since.After(since):
		since = before.since
	}
	s.hints[h.ID] = examination{h, since}
}

// renewedAfter says whether a subscription of a mailbox was renewed after then; that it
// was made answers no demand to renew it.
func (s *Subscriber) renewedAfter(id ooo.RecordID, then time.Time) bool {
	m, ok := s.cfg.Registry.Get(id)
	return ok && slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
		return sub.RenewedAt.After(sub.CreatedAt) && sub.RenewedAt.After(then)
	})
}

// examination returns the hint that waits for a mailbox.
func (s *Subscriber) examination(id ooo.RecordID) (h ooo.Hint, since time.Time, waiting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, waiting := s.hints[id]
	if now := time.Now().UTC().Round(0); e.since.After(now) { // the clock went back
		e.since = now
		s.hints[id] = e
	}
	return e.hint, e.since, waiting
}

func (s *Subscriber) endExamination(id ooo.RecordID, h ooo.Hint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hints[id].hint.Nonce == h.Nonce {
		delete(s.hints, id)
	}
}

// spoke notes that a notification came of a subscription, and says whether that is
// to be saved by itself: what is saved is old, and no other save may come soon.
func (s *Subscriber) spoke(h ooo.Hint) bool {
	m, ok := s.cfg.Registry.Get(h.ID)
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spoken[h.ID] == nil {
		s.spoken[h.ID] = map[string]time.Time{}
	}
	for _, sub := range m.Subscriptions {
		if ooo.ResourceTag(sub.Resource) == h.ResourceTag {
			s.spoken[h.ID][h.ResourceTag] = h.At
			return h.At.Sub(sub.SpokeAt) > spokenEvery
		}
	}
	return false
}

// unsaved says whether the record of a mailbox is old about when it was spoken of.
func (s *Subscriber) unsaved(m *ooo.Mailbox) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	spoken := s.spoken[m.ID]
	return len(spoken) > 0 && slices.ContainsFunc(m.Subscriptions, func(sub ooo.Subscription) bool {
		return spoken[ooo.ResourceTag(sub.Resource)].Sub(sub.SpokeAt) > spokenEvery
	})
}

// noteSpoken puts the times of notifications into a draft.
func (s *Subscriber) noteSpoken(d *mailbox.Draft) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spoken := s.spoken[d.ID]
	if len(spoken) == 0 {
		return
	}
	for i := range d.Subscriptions {
		sub := &d.Subscriptions[i]
		if at := spoken[ooo.ResourceTag(sub.Resource)]; at.After(sub.SpokeAt) {
			sub.SpokeAt = at
		}
	}
	delete(s.spoken, d.ID)
}

// tidyUp does what a mailbox needs without a call of Graph: a hint that asks for
// nothing more is removed, and what is only in memory is saved.
func (w *work) tidyUp(ctx context.Context, m *ooo.Mailbox) (again time.Time) {
	if w.unsaved(m) {
		_ = w.save(ctx, func(*mailbox.Draft) {}) // it fails when the mailbox is lost
		return time.Now()
	}
	h, _, waiting := w.examination(w.id)
	if !waiting {
		return time.Now()
	}
	if err := w.cfg.Registry.Done(ctx, h); err != nil {
		w.cfg.Log.DebugContext(ctx, "hint not removed, retrying", "mailbox", w.id, "err", err)
		return time.Now().Add(5 * time.Second)
	}
	w.endExamination(w.id, h)
	return time.Now()
}
