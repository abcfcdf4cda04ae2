package api

import (
	"context"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

const (
	maxStops      = 10_000 // to retry; beyond it new ones are not kept
	retryInterval = time.Second
)

// stops are the stops that were answered 503. [API.Run] retries them until Redis answers,
// unless a later start arrives. They are lost when the process ends.
type stops struct {
	mu    sync.Mutex
	asked map[string]time.Time // when each stop arrived, by folded address; guarded by mu
}

func (s *stops) add(address string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) < maxStops {
		s.asked[ooo.FoldAddress(address)] = at
	}
}

// cancel drops the stop of an address because a newer request arrived.
func (s *stops) cancel(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asked, ooo.FoldAddress(address))
}

// next returns one of the stops, or an empty address.
func (s *stops) next() (address string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, at = range s.asked {
		break
	}
	return address, at
}

// done drops a stop, unless a newer one has replaced it.
func (s *stops) done(address string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[address].Equal(at) {
		delete(s.asked, address)
	}
}

// Run retries stops every second until ctx ends. It recognizes a later start at another
// replica by the time of the wish. A start by the mediator of an address that is still
// monitored writes no wish, so Run requests a sync after stops that changed a wish: the
// mediator then names the users it wants.
func (a *API) Run(ctx context.Context) error {
	for schedule.Sleep(ctx, retryInterval) {
		if stored, changed := a.retryStops(ctx); stored > 0 {
			a.cfg.Log.InfoContext(ctx, "stored stops that were answered 503", "stops", stored)
			if changed {
				a.cfg.RequestSync()
			}
		}
	}
	return nil
}

// retryStops retries the stops until one fails. It returns how many were stored, and
// whether that changed a wish.
func (a *API) retryStops(ctx context.Context) (stored int, changed bool) {
	for {
		address, at := a.stops.next()
		if address == "" {
			return stored, changed
		}
		retryCtx, cancel := context.WithTimeout(ctx, retryTimeout)
		swapped, err := a.stop(retryCtx, address, at)
		cancel()
		if err != nil {
			return stored, changed
		}
		a.stops.done(address, at)
		stored, changed = stored+1, changed || swapped
	}
}
