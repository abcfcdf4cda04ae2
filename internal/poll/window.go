package poll

import (
	"context"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// windowsAtOnce bounds the edges that are decided at the same time.
const windowsAtOnce = 64

// scheduleEdge has the mailbox decided again when its setting means something else by
// the clock alone: at the edge of its window, or now if that passed while nobody
// looked. The caller holds mu.
func (p *Poller) scheduleEdge(t *target, m *ooo.Mailbox, now time.Time) {
	t.edge = time.Time{}
	if m.Setting != nil && m.State != nil {
		d := p.cfg.Policy.Decide(m.State, *m.Setting, now)
		if t.edge = d.Edge; d.Changed && m.Policy == p.tag {
			t.edge = now.Round(0)
		}
	}
	if t.edge.IsZero() {
		p.windows.Remove(t)
		return
	}
	at := t.edge
	if at.Sub(now) > time.Minute { // the queue goes by the monotonic clock: once more before it
		at = at.Add(-time.Minute / 2)
	}
	p.windows.Set(t, at)
}

// turnWindows decides mailboxes at the edges of their windows, until ctx ends.
func (p *Poller) turnWindows(ctx context.Context) error {
	begin := slots(make(chan struct{}, windowsAtOnce))
	for p.windows.Wait(ctx) == nil {
		for _, t := range p.windows.Take(time.Now(), windowsAtOnce) {
			release := begin(ctx)
			if release == nil {
				return nil
			}
			p.work.Go(func() {
				defer release()
				p.turn(ctx, t)
			})
		}
	}
	return nil
}

// turn decides by the clock what the last setting read means now. Whatever it finds,
// the next edge is scheduled.
func (p *Poller) turn(ctx context.Context, t *target) {
	span := p.newSpan(ctx, &job{id: t.id}, ooo.SourceWindow, ooo.Hint{}, call{began: time.Now()})
	changed := false
	after := func(saved bool) {}
	m, err := p.update(ctx, t.id, func(d *mailbox.Draft) error {
		now := time.Now()
		if d.Setting == nil || len(d.Addresses) == 0 {
			return mailbox.ErrUnchanged
		}
		decision := p.cfg.Policy.Decide(d.State, *d.Setting, now)
		if changed = decision.Changed; !changed {
			return mailbox.ErrUnchanged
		}
		after = p.queue(d, decision.State, ooo.SourceWindow, ooo.Hint{}, span, now)
		return nil
	})
	span.end(err)
	after(err == nil)
	switch {
	case err != nil: // not ours, or not monitored any more
	case changed:
		p.changed(ctx, m, Change{Source: ooo.SourceWindow})
	default:
		p.mu.Lock()
		defer p.mu.Unlock()
		if !t.dropped && t.monitored {
			p.scheduleEdge(t, m, time.Now())
		}
	}
}
