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
		t = &target{
			id: m.ID, unresolved: m.ID.Unresolved(), reader: p.cfg.Registry.Reader(m.ID),
			wanted: len(p.hints(m.ID)) > 0, // they may have come before the record
		}
		p.targets[m.ID] = t
	}
	if m.Version < t.version { // a newer one was here first
		return
	}
	begins := len(m.Addresses) > 0 && !t.monitored
	t.version, t.monitored = m.Version, len(m.Addresses) > 0
	switch {
	case !t.monitored:
		p.unschedule(t)
		return
	case begins:
		p.begins(t, m, now)
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
	t.phase = firstRead(phaseOf(t.id, p.cfg.Interval, len(p.targets)), p.cfg.Interval, now)
	at := t.phase
	if t.wanted || m.Condition == ooo.Pending || p.missed(t) || t.unresolved {
		at = now
	}
	if t.notBefore.After(at) {
		at = t.notBefore
	}
	p.schedule(t, at)
}

// missed reports whether the phase of a mailbox fell between the reads of its last owner and
// its loading here.
func (p *Poller) missed(t *target) bool {
	until := p.cfg.Registry.ReadsAt(t.id.Partition())
	return !until.IsZero() && t.phase.Add(-p.cfg.Interval).Round(0).After(until)
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
			p.remove(ctx, hints)
		}
	}
}

// remove removes these hints and those that wait. What fails is tried again later.
func (p *Poller) remove(ctx context.Context, hints []ooo.Hint) {
	for len(p.removing) > 0 {
		hints = append(hints, <-p.removing...)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := p.cfg.Registry.Done(ctx, hints...); err != nil {
		p.cfg.Log.DebugContext(ctx, "completed hints not removed, retrying", "err", err)
		time.AfterFunc(time.Second, func() { p.carriedOut(hints) })
	}
}
