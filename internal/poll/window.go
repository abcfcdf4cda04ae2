package poll

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
)

// windowsAtOnce bounds the edges that are decided at the same time.
const windowsAtOnce = 64

// scheduleEdge has the mailbox decided again when its setting means something else by the
// clock alone: at the edge of its window, or now if it has passed already. The caller
// holds mu.
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
	var g errgroup.Group
	g.SetLimit(windowsAtOnce)
	for p.windows.Wait(ctx) == nil {
		for _, t := range p.windows.Take(time.Now(), windowsAtOnce) {
			g.Go(func() error {
				p.turn(ctx, t)
				return nil
			})
		}
	}
	return g.Wait()
}

// turn decides by the clock what the last setting read means now. Whatever it finds,
// the next edge is scheduled.
func (p *Poller) turn(ctx context.Context, t *target) {
	j := &job{t: t, id: t.id, urgent: ooo.SourceWindow}
	m, outcome := p.decide(ctx, j, nil, call{began: time.Now()})
	if m == nil || outcome == Changed { // gone, or scheduled with the save
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !t.dropped && t.monitored {
		p.scheduleEdge(t, m, time.Now())
	}
}
