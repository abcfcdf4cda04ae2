package poll

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
)

// maxEdges limits the edges of windows that are decided at the same time.
const maxEdges = 64

// scheduleEdge schedules the next time at which the meaning of the setting changes: at the
// edge of its window, or now if that edge has passed. Under another policy the record may have
// another text, so that only the next read can begin an absence. The caller must hold mu.
func (p *Poller) scheduleEdge(t *target, m *ooo.Mailbox, now time.Time) {
	var at time.Time
	if m.Setting != nil && m.State != nil {
		d := p.cfg.Policy.Decide(m.State, *m.Setting, now)
		if at = d.Edge; d.Changed && (m.Policy == p.policyTag || !d.State.Away) {
			at = now
		}
	}
	if at.IsZero() {
		p.edges.Remove(t)
		return
	}
	if at.Sub(now) > time.Minute { // the queue follows the monotonic clock: check the wall clock again before the edge
		at = at.Add(-time.Minute / 2)
	}
	p.edges.Set(t, at)
}

// decideEdges decides mailboxes at the edges of their windows until ctx ends.
func (p *Poller) decideEdges(ctx context.Context) error {
	return p.edges.Each(ctx, maxEdges, func(t *target) { p.decideEdge(ctx, t) })
}

// decideEdge decides what the last setting means now, and schedules the next edge.
func (p *Poller) decideEdge(ctx context.Context, t *target) {
	j := &job{t: t, urgent: ooo.SourceWindow}
	m, outcome := p.decide(ctx, j, nil, call{began: time.Now()})
	if m == nil || outcome == Changed { // [Poller.Refresh] has scheduled the next edge
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !t.dropped {
		p.scheduleEdge(t, m, time.Now())
	}
}
