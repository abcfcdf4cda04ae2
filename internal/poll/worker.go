package poll

import (
	"time"

	"outlook-monitor/internal/ooo"
)

// Refresh implements [mailbox.Worker]. It schedules what the record of a mailbox needs next:
// its reads and the edge of its window, or its look-up.
func (p *Poller) Refresh(id ooo.RecordID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refresh(id)
}

// refresh is Refresh for a caller that holds mu.
func (p *Poller) refresh(id ooo.RecordID) {
	now, t := time.Now(), p.targets[id]
	m, ok := p.cfg.Registry.Get(id)
	switch {
	case !ok || !m.Monitored():
		p.drop(t)
		return
	case t == nil:
		// Hints may have arrived before the record.
		t = p.newTarget(phaseOf(id, p.cfg.Interval, len(p.targets)))
		*t = target{id: id, reader: p.cfg.Registry.Reader(id), hinted: len(p.hints(id)) > 0, unresolved: id.Unresolved()}
		p.targets[id] = t
		p.scheduleFirst(t, m, now)
	case t.dropped: // the end of its read refreshes the mailbox again
		return
	case t.failure == nil && m.ReadFailures > 0: // saved by another owner, whose record was adopted
		p.scheduleFirst(t, m, now)
	}
	t.digest = ooo.Digest{} // of the older record
	p.scheduleEdge(t, m, now)
}

// newTarget allocates the targets that are read at the same time side by side. Strewn over
// memory, they make the CPU reload its page tables for each read, and the read benchmark with
// 10,000 mailboxes misses its limit. The caller must hold mu.
func (p *Poller) newTarget(phase time.Duration) *target {
	if len(p.spare[phase]) == 0 {
		p.spare[phase] = make([]target, 16)
	}
	t := &p.spare[phase][0]
	p.spare[phase] = p.spare[phase][1:]
	return t
}

// Hinted schedules a read of a mailbox because of a hint. The hint stays until such a read was
// answered.
func (p *Poller) Hinted(h ooo.Hint) {
	if h.Kind != ooo.HintRead && h.Kind != ooo.HintCheck {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[h.ID]; t != nil {
		t.hinted, t.checked = true, t.checked || h.Kind == ooo.HintCheck
		p.expedite(t, time.Now())
	}
}

// ReadNow schedules a read of a mailbox at once, in addition to its regular reads.
func (p *Poller) ReadNow(id ooo.RecordID, why ooo.Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[id]; t != nil {
		t.urgent = why
		p.expedite(t, time.Now())
	}
}

// drop forgets a mailbox that is no longer monitored or that this replica no longer owns. A
// target with a read in flight is kept until that ends, so that no second read of the mailbox
// begins if it is monitored again. t is nil if the mailbox is not known. The caller must hold mu.
func (p *Poller) drop(t *target) {
	if t == nil {
		return
	}
	t.dropped = true
	p.unschedule(t)
	if !t.inFlight {
		p.remove(t)
	}
}

// remove removes a target that was dropped. The caller must hold mu.
func (p *Poller) remove(t *target) {
	delete(p.targets, t.id)
	if t.throttled { // the mailbox may be monitored again before that
		p.throttled.Add(t.id, t.notBefore)
	}
}
