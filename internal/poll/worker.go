package poll

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Changed schedules what a mailbox needs next: its reads, the edge of its window, or
// the look-up of its address.
func (p *Poller) Changed(m *ooo.Mailbox) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets[m.ID]
	if t == nil {
		t = &target{id: m.ID, wanted: len(p.hints(m.ID)) > 0} // they may have come before the record
		p.targets[m.ID] = t
	}
	if m.Version < t.version { // a newer one was here first
		return
	}
	t.version = m.Version
	begins := len(m.Addresses) > 0 && !t.monitored
	if t.monitored = len(m.Addresses) > 0; !t.monitored {
		p.unschedule(t)
		return
	}
	if begins {
		p.begins(t, m, now)
	}
	if m.ID.Unresolved() {
		if nonce := m.Addresses[0].Nonce; t.nonce != nonce { // asked for again
			t.nonce, t.checked = nonce, true
			p.hurry(t, now)
		}
		return
	}
	if !p.understood(m) {
		t.digest = ooo.Digest{}
	}
	p.scheduleEdge(t, m, now)
}

// begins schedules the first read of a mailbox here, or the first look-up of an address.
// The caller holds mu.
func (p *Poller) begins(t *target, m *ooo.Mailbox, now time.Time) {
	t.load(m, now)
	t.place = firstPlace(t.id, p.cfg.Interval, now)
	at := t.place
	if m.ID.Unresolved() || m.Condition == ooo.Pending || p.missed(t) {
		at = now
	}
	if t.notBefore.After(at) {
		at = t.notBefore
	}
	if p.schedule(t, at); t.wanted {
		p.hurry(t, now)
	}
	if m.ID.Unresolved() {
		t.nonce = m.Addresses[0].Nonce
	}
}

// missed says whether a place of a mailbox fell between the reads of its last owner and
// its loading here.
func (p *Poller) missed(t *target) bool {
	until := p.cfg.Registry.ReadsAt(t.id.Partition())
	return !until.IsZero() && t.place.Add(-p.cfg.Interval).Round(0).After(until)
}

// Dropped forgets a mailbox that this replica no longer has.
func (p *Poller) Dropped(id ooo.RecordID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[id]; t != nil {
		t.dropped = true
		delete(p.targets, id)
		p.unschedule(t)
	}
}

const (
	// removalPause is how long hints that were carried out without a save wait for
	// company, so that a storm of notifications that announce nothing costs Redis little.
	removalPause = 20 * time.Millisecond
	// mostRemovals bounds the reads whose hints wait for Redis. What is left out is read
	// once more by the next owner.
	mostRemovals = 4096
)

// carriedOut has hints removed that were carried out without a save.
func (p *Poller) carriedOut(hints []ooo.Hint) {
	if len(hints) == 0 {
		return
	}
	select {
	case p.removing <- hints:
	default: // Redis is away for long
	}
}

// removeHints removes hints that were carried out, until ctx ends.
func (p *Poller) removeHints(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case hints := <-p.removing:
			schedule.Sleep(ctx, removalPause)
			if !p.remove(ctx, hints) {
				schedule.Sleep(ctx, time.Second)
			}
		}
	}
}

// remove removes these hints and those that wait, and says whether it worked.
func (p *Poller) remove(ctx context.Context, hints []ooo.Hint) bool {
	for len(p.removing) > 0 {
		hints = append(hints, <-p.removing...)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := p.cfg.Registry.Done(ctx, hints...)
	if err != nil {
		p.cfg.Log.DebugContext(ctx, "hints that were carried out not removed, retrying", "err", err)
		p.carriedOut(hints)
	}
	return err == nil
}
