package poll

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

const (
	sweepEvery = 2 * time.Second // between the beginnings of two sweeps, if the budget allows
	// presencePace is the least time between two calls of all replicas: 25 a second,
	// where Graph allows 1,500 in 30 s.
	presencePace    = 40 * time.Millisecond
	presenceCalls   = 8 // in flight
	presenceRetry   = 5 * time.Second
	presencePatient = 5 * time.Minute // after the right was denied
)

// sweepPresence asks for the presence of all mailboxes of this replica together, 650
// in one call, and reads those whose automatic replies seem to have turned. That is a
// hint and no more. It pays where reading all mailboxes often enough would take more
// than Graph allows, with a longer interval.
func (p *Poller) sweepPresence(ctx context.Context) error {
	denied := false
	for {
		began, wait := time.Now(), p.cfg.Wait(PresenceWait)
		if wait <= 0 {
			err := p.sweep(ctx)
			throttled, _ := errors.AsType[*ooo.Throttled](err)
			before := denied
			denied = errors.Is(err, ooo.ErrDenied)
			switch {
			case throttled != nil:
				p.hold(ctx, PresenceWait, throttled.After)
			case denied:
				wait = presencePatient
			case err != nil:
				wait = presenceRetry
			}
			if denied && !before {
				p.cfg.Log.WarnContext(ctx, "presence not readable, polling continues", "err", err)
			}
		}
		if !schedule.Sleep(ctx, max(wait, sweepEvery-time.Since(began))) {
			return nil
		}
	}
}

// sweep asks about everybody once. After a failure no more is asked.
func (p *Poller) sweep(ctx context.Context) error {
	var ids []ooo.ObjectID
	p.mu.Lock()
	for _, t := range p.targets {
		if t.monitored && !t.unresolved {
			ids = append(ids, t.id.ObjectID())
		}
	}
	p.mu.Unlock()
	calls, turned := 0, atomic.Int64{}
	asking, asked := errgroup.WithContext(ctx)
	asking.SetLimit(presenceCalls)
	for some := range slices.Chunk(ids, ooo.MostPresences) {
		if !schedule.Sleep(asked, presencePace*time.Duration(max(p.cfg.Replicas(), 1))) {
			break
		}
		calls++
		asking.Go(func() error {
			found, err := p.cfg.Presences(asked, some)
			for id, away := range found {
				if p.turned(id, away) {
					turned.Add(1)
				}
			}
			return err
		})
	}
	err := asking.Wait()
	p.cfg.OnSweep(calls, int(turned.Load()))
	return err
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
