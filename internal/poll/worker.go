package poll

import (
	"context"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Changed schedules what a mailbox needs next: its reads, the edge of its window, or
// the look-up of its address.
func (p *Poller) Changed(m *ooo.Mailbox) {
	now := time.Now()
	p.mu.Lock()
	t := p.targets[m.ID]
	fresh := t == nil
	if fresh {
		t = &target{id: m.ID}
		p.targets[m.ID] = t
	}
	if m.Version >= t.version { // else a newer one was here first
		p.takeOver(t, m, fresh, now)
	}
	p.mu.Unlock()
	if fresh { // a hint may have come before the record was there
		for _, kind := range []ooo.HintKind{ooo.HintRead, ooo.HintCheck} {
			for _, h := range p.cfg.Registry.Hints(m.ID, kind) {
				p.Hinted(h)
			}
		}
	}
}

// takeOver brings a target in line with the record. The caller holds mu.
func (p *Poller) takeOver(t *target, m *ooo.Mailbox, fresh bool, now time.Time) {
	t.version = m.Version
	begins := len(m.Addresses) > 0 && !t.monitored
	if t.monitored = len(m.Addresses) > 0; !t.monitored {
		p.unschedule(t)
		return
	}
	if begins {
		t.load(m, now)
	}
	if m.ID.Unresolved() {
		p.scheduleLookUp(t, m, begins, now)
		return
	}
	if begins {
		t.place = firstPlace(t.id, p.cfg.Interval, now)
		at := t.place
		if m.Condition == ooo.Pending || p.missed(t) {
			at = now
		}
		if t.notBefore.After(at) {
			at = t.notBefore
		}
		p.schedule(t, at)
	}
	if !p.understood(m) {
		t.digest = ooo.Digest{}
	}
	p.scheduleEdge(t, m, now)
}

// missed says whether a place of a mailbox fell between the reads of its last owner and
// its loading here.
func (p *Poller) missed(t *target) bool {
	until := p.cfg.Registry.ReadsAt(t.id.Partition())
	return !until.IsZero() && t.place.Add(-p.cfg.Interval).Round(0).After(until)
}

// understood says whether the record is what its setting means under the present
// policy, and nothing is wrong with it.
func (p *Poller) understood(m *ooo.Mailbox) bool {
	return m.Condition == ooo.Watching && m.Setting != nil && m.State != nil && m.Policy == p.tag &&
		m.ReadFailures == 0
}

// Dropped forgets a mailbox that this replica no longer has.
func (p *Poller) Dropped(id ooo.RecordID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[id]; t != nil {
		p.forget(t)
	}
}

// Hinted has a mailbox read because of a hint. A check cuts the wait after an error
// short, nothing cuts a Retry-After; a hint that finds such a wait stays until the
// next read.
func (p *Poller) Hinted(h ooo.Hint) {
	if h.Kind != ooo.HintRead && h.Kind != ooo.HintCheck {
		return
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets[h.ID]
	if t == nil || !t.addHint(h) {
		return
	}
	if h.Kind == ooo.HintCheck && !t.throttled && t.notBefore.After(now) {
		t.notBefore = time.Time{}
	}
	if t.id.Unresolved() {
		if h.Kind == ooo.HintCheck && t.monitored && !t.inFlight {
			p.lookups.Set(t, now)
		}
		return
	}
	p.hurry(t, now)
}

// removals are hints that were carried out without a save. They are removed together:
// a storm of notifications that announce nothing costs Redis little.
type removals struct {
	mu    sync.Mutex
	hints []ooo.Hint    // guarded by mu
	wake  chan struct{} // capacity 1
}

const (
	// removalPause is how long removals wait for company.
	removalPause = 20 * time.Millisecond
	// mostRemovals bounds those that wait for Redis. What is left out is read once more
	// by the next owner.
	mostRemovals = 10_000
)

func (r *removals) add(hints ...ooo.Hint) {
	if len(hints) == 0 {
		return
	}
	r.mu.Lock()
	r.hints = append(r.hints, hints...)
	if over := len(r.hints) - mostRemovals; over > 0 {
		r.hints = r.hints[over:]
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default: // a wake-up is already waiting
	}
}

func (r *removals) take() (hints []ooo.Hint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hints, r.hints = r.hints, nil
	return hints
}

// removeHints removes hints that were carried out, until ctx ends.
func (p *Poller) removeHints(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.removing.wake:
		}
		if schedule.Sleep(ctx, removalPause) && !p.flushRemovals(ctx) {
			schedule.Sleep(ctx, time.Second)
		}
	}
}

// flushRemovals says whether it worked.
func (p *Poller) flushRemovals(ctx context.Context) bool {
	hints := p.removing.take()
	if len(hints) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := p.cfg.Registry.Done(ctx, hints...); err != nil {
		p.cfg.Log.DebugContext(ctx, "hints that were carried out not removed, retrying", "err", err)
		p.removing.add(hints...)
		return false
	}
	return true
}
