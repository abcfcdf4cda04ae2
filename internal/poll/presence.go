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
	sweepEvery = 2 * time.Second // between the beginnings of two sweeps, at least
	// Graph takes 1,500 requests for presence in 30 s from one app in a tenant: of all
	// replicas together mostPresences a second, and fewer after it asked to wait.
	mostPresences   = 49.0
	leastPresences  = 2.0
	morePresences   = 2.0 // with each sweep that Graph did not throttle
	presenceCalls   = 64  // in flight, in case that Graph takes a second for each
	presenceRefusal = 5   // failed calls that end a sweep
	presenceRetry   = 5 * time.Second
	presenceDenied  = 5 * time.Minute // after the permission was denied
)

// sweep is one round of asking for the presence of all mailboxes of this replica.
type sweep struct {
	mu                                  sync.Mutex
	answered, throttled, failed, turned int   // guarded by mu
	denied                              error // guarded by mu
}

// sweepPresence asks for the presence of all mailboxes of this replica together, 650
// in one call, and reads those whose automatic replies seem to have turned. That is a
// hint and no more. It pays where reading all mailboxes often enough would take more
// than Graph allows, with a longer interval.
func (p *Poller) sweepPresence(ctx context.Context) error {
	pace, limiter, denied := mostPresences, rate.NewLimiter(mostPresences, 1), false
	for {
		began := time.Now()
		s := p.sweep(ctx, func() bool { return p.paceSweep(ctx, limiter, pace) })
		wait := sweepEvery - time.Since(began)
		switch {
		case s.denied != nil:
			wait = presenceDenied
			if !denied {
				p.cfg.Log.WarnContext(ctx, "presence not readable, polling continues", "err", s.denied)
			}
		case s.failed >= presenceRefusal, s.failed > 0 && s.answered == 0:
			wait = presenceRetry
		}
		denied = s.denied != nil
		if s.throttled > 0 {
			pace = max(pace/2, leastPresences)
		} else if s.answered > 0 {
			pace = min(pace+morePresences, mostPresences)
		}
		if !schedule.Sleep(ctx, wait) {
			return nil
		}
	}
}

// paceSweep waits until Graph's wait is over and this replica's share of a pace has one
// more call in it. It returns false if ctx ends before.
func (p *Poller) paceSweep(ctx context.Context, limiter *rate.Limiter, pace float64) bool {
	for wait := p.cfg.Wait(PresenceWait); wait > 0; wait = p.cfg.Wait(PresenceWait) { // in steps: it may get longer
		if !schedule.Sleep(ctx, min(wait, 250*time.Millisecond)) {
			return false
		}
	}
	limiter.SetLimit(rate.Limit(pace * min(max(p.cfg.Share(), 0.001), 1)))
	return limiter.Wait(ctx) == nil
}

// sweep asks about everybody once, always in the same order, so that the time between
// two calls about a user is that of a sweep. What fails comes again with the next one.
func (p *Poller) sweep(ctx context.Context, next func() bool) *sweep {
	var ids []ooo.ObjectID
	p.mu.Lock()
	for _, t := range p.targets {
		if t.monitored && !t.unresolved {
			ids = append(ids, t.id.ObjectID())
		}
	}
	p.mu.Unlock()
	slices.Sort(ids)
	s, calls := &sweep{}, 0
	var asking errgroup.Group
	asking.SetLimit(presenceCalls)
	for some := range slices.Chunk(ids, ooo.MaxPresences) {
		if !next() || s.over() {
			break
		}
		calls++
		asking.Go(func() error {
			found, err := p.cfg.Presences(ctx, some)
			if throttled, is := errors.AsType[*ooo.Throttled](err); is {
				p.hold(ctx, PresenceWait, throttled.After)
			}
			turned := 0
			for id, away := range found {
				if p.turned(id, away) {
					turned++
				}
			}
			s.note(err, turned)
			return nil
		})
	}
	_ = asking.Wait() // s has the errors
	p.cfg.OnSweep(calls, s.turned)
	return s
}

// note counts a call.
func (s *sweep) note(err error, turned int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turned += turned
	_, throttled := errors.AsType[*ooo.Throttled](err)
	switch {
	case err == nil:
		s.answered++
	case throttled:
		s.throttled++
	case errors.Is(err, ooo.ErrDenied):
		s.denied = err
	default:
		s.failed++
	}
}

// over says that more calls would be refused too.
func (s *sweep) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied != nil || s.failed >= presenceRefusal
}

// turned notes what presence says of a user, and has the mailbox read if that turned.
// Who was not seen before did not.
func (p *Poller) turned(id ooo.ObjectID, away bool) (turned bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets[ooo.RecordID(id)]
	if t == nil {
		return false
	}
	turned = t.seen && t.away != away
	if t.seen, t.away = true, away; turned {
		t.urgent = ooo.SourcePresence
		p.hurry(t, time.Now())
	}
	return turned
}
