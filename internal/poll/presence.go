package poll

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

const (
	presenceInterval = 2 * time.Second // minimum time from the beginning of one sweep to the next
	// Graph allows an app 1,500 presence requests in 30 s per tenant. All replicas together
	// make maxPresenceRate a second, and fewer after Graph asked them to wait.
	maxPresenceRate  = 49.0
	minPresenceRate  = 2.0
	presenceRateStep = 2.0             // added after each sweep that Graph did not throttle
	maxPresenceCalls = 64              // in flight, if Graph takes a second for each
	deniedRetry      = 5 * time.Minute // after Graph denied the permission
)

// sweep is one round of presence requests for all mailboxes of this replica.
type sweep struct {
	mu                           sync.Mutex
	answered, throttled, changed int   // guarded by mu
	denied                       error // guarded by mu
}

// sweepPresence requests the presence of all users whose mailboxes this replica owns, 650 in
// one call, and expedites the reads of those whose Out of Office flag has changed. Presence is
// only a hint. The sweep pays off, together with a longer interval, where reading all mailboxes
// every few seconds would exceed what Graph allows.
func (p *Poller) sweepPresence(ctx context.Context) error {
	perSecond, limiter, denied := maxPresenceRate, rate.NewLimiter(maxPresenceRate, 1), false
	for {
		began := time.Now()
		s := p.sweep(ctx, limiter, perSecond)
		wait := presenceInterval - time.Since(began)
		if s.denied != nil {
			wait = deniedRetry
			if !denied {
				p.cfg.Log.WarnContext(ctx, "presence not readable, polling continues", "err", s.denied)
			}
		}
		denied = s.denied != nil
		if s.throttled > 0 {
			perSecond = max(perSecond/2, minPresenceRate)
		} else if s.answered > 0 {
			perSecond = min(perSecond+presenceRateStep, maxPresenceRate)
		}
		if !schedule.Sleep(ctx, wait) {
			return nil
		}
	}
}

// sweep requests the presence of each user once. The order is always the same, so that the
// requests for one user are a sweep apart. A failed request is repeated by the next sweep.
func (p *Poller) sweep(ctx context.Context, limiter *rate.Limiter, perSecond float64) *sweep {
	var ids []ooo.ObjectID
	p.mu.Lock()
	for _, t := range p.targets {
		if !t.dropped && !t.unresolved {
			ids = append(ids, t.id.ObjectID())
		}
	}
	p.mu.Unlock()
	slices.Sort(ids)
	s, calls := &sweep{}, 0
	var g errgroup.Group
	g.SetLimit(maxPresenceCalls)
	for chunk := range slices.Chunk(ids, ooo.MaxPresences) {
		for ctx.Err() == nil && p.paused(ctx, ooo.PresenceWait) {
		}
		limiter.SetLimit(rate.Limit(perSecond * p.share())) // the share may have changed
		if limiter.Wait(ctx) != nil || s.isDenied() {
			break
		}
		calls++
		g.Go(func() error {
			found, err := p.cfg.Presences(ctx, chunk)
			if throttled, ok := errors.AsType[*ooo.Throttled](err); ok {
				p.cfg.SetWait(ctx, ooo.PresenceWait, throttled.After)
			}
			s.count(err, p.recordPresences(found))
			return nil
		})
	}
	_ = g.Wait() // s has the errors
	p.cfg.OnSweep(calls, s.changed)
	return s
}

// count counts a call.
func (s *sweep) count(err error, changed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed += changed
	_, throttled := errors.AsType[*ooo.Throttled](err)
	switch {
	case err == nil:
		s.answered++
	case throttled:
		s.throttled++
	case errors.Is(err, ooo.ErrDenied):
		s.denied = err
	}
}

// isDenied reports whether further calls would fail too.
func (s *sweep) isDenied() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied != nil
}

// recordPresences records the presence of users and expedites the reads of those mailboxes whose
// presence has changed since the last sweep. It returns how many these are.
func (p *Poller) recordPresences(found map[ooo.ObjectID]bool) (changed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, away := range found {
		t := p.targets[ooo.RecordID(id)]
		if t == nil {
			continue
		}
		if t.presenceKnown && t.presenceAway != away {
			changed++
			t.urgent = ooo.SourcePresence
			p.expedite(t, time.Now())
		}
		t.presenceKnown, t.presenceAway = true, away
	}
	return changed
}
