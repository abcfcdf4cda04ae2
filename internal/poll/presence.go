package poll

import (
	"context"
	"errors"
	"slices"
	"sync"
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
	away, denied := map[ooo.ObjectID]bool{}, false
	for {
		began := time.Now()
		wait := p.held(PresenceWait)
		if wait == 0 {
			err := p.sweep(ctx, away)
			if denied = p.presenceFailed(ctx, err, denied); err != nil {
				wait = presenceRetry
			}
			if denied {
				wait = presencePatient
			}
			wait = max(wait, p.held(PresenceWait))
		}
		if !schedule.Sleep(ctx, max(wait, sweepEvery-time.Since(began))) {
			return nil
		}
	}
}

// presenceFailed says whether presence is denied, and logs that once.
func (p *Poller) presenceFailed(ctx context.Context, err error, before bool) (denied bool) {
	if wait, ok := errors.AsType[*ooo.Throttled](err); ok {
		p.hold(ctx, PresenceWait, wait.After)
		return false
	}
	if denied = errors.Is(err, ooo.ErrDenied); denied && !before {
		p.cfg.Log.WarnContext(ctx, "presence not readable, mailboxes are read all the same", "err", err)
	}
	return denied
}

// sweep asks about everybody once. away is what presence said last; who is new in it
// was not seen to turn. After a failure no more is asked.
func (p *Poller) sweep(ctx context.Context, away map[ooo.ObjectID]bool) error {
	owned := map[ooo.ObjectID]bool{}
	for m := range p.cfg.Registry.All() {
		if id := m.ID.ObjectID(); id != "" && len(m.Addresses) > 0 {
			owned[id] = true
		}
	}
	ids := make([]ooo.ObjectID, 0, len(owned))
	for id := range owned {
		ids = append(ids, id)
	}
	for id := range away {
		if !owned[id] {
			delete(away, id)
		}
	}
	var mu sync.Mutex
	calls, turned := 0, 0
	asking, asked := errgroup.WithContext(ctx)
	asking.SetLimit(presenceCalls)
	for some := range slices.Chunk(ids, ooo.MostPresences) {
		if !schedule.Sleep(asked, presencePace*time.Duration(max(p.cfg.Replicas(), 1))) {
			break
		}
		calls++
		asking.Go(func() error {
			found, err := p.cfg.Presences(asked, some)
			mu.Lock()
			defer mu.Unlock()
			for _, one := range found {
				if before, known := away[one.ID]; known && before != one.Away {
					turned++
					p.ReadNow(ooo.RecordID(one.ID), ooo.SourcePresence)
				}
				away[one.ID] = one.Away
			}
			return err
		})
	}
	err := asking.Wait()
	p.cfg.OnSweep(calls, turned)
	return err
}

// ReadNow has a mailbox read at once, beside its regular reads.
func (p *Poller) ReadNow(id ooo.RecordID, why ooo.Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[id]; t != nil {
		t.urgent = why
		p.hurry(t, time.Now())
	}
}
