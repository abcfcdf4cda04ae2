package api

import (
	"context"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// maxStops limits the stops to retry. Beyond it the oldest is dropped.
const maxStops = 10_000

// stops are the stops that were answered 503. [API.Run] retries them until Redis answers,
// unless a later start arrives. They are lost when the process ends.
type stops struct {
	mu    sync.Mutex
	asked map[string]time.Time // when each stop arrived, by folded address; guarded by mu
	wake  chan struct{}        // capacity 1
}

func newStops() *stops {
	return &stops{asked: map[string]time.Time{}, wake: make(chan struct{}, 1)}
}

func (s *stops) add(address string, at time.Time) {
	s.mu.Lock()
	if len(s.asked) >= maxStops {
		oldest, _ := s.oldest()
		delete(s.asked, oldest)
	}
	s.asked[ooo.FoldAddress(address)] = at
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // a wake-up is already pending
	}
}

// cancel drops the stop of an address because a newer request arrived.
func (s *stops) cancel(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asked, ooo.FoldAddress(address))
}

// done drops a stop, unless a newer one has replaced it.
func (s *stops) done(address string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[address].Equal(at) {
		delete(s.asked, address)
	}
}

// next returns the oldest stop, or "" if there is none.
func (s *stops) next() (address string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.oldest()
}

// oldest is like next. The caller must hold mu.
func (s *stops) oldest() (address string, at time.Time) {
	for a, t := range s.asked {
		if address == "" || t.Before(at) {
			address, at = a, t
		}
	}
	return address, at
}

// Run retries stops until ctx ends. It recognizes a later start at another replica by the
// time of the wish. A start by the mediator of an address that is still monitored writes
// no wish, so Run requests a sync after stops that it stored: the mediator then names
// the users it wants.
func (a *API) Run(ctx context.Context) error {
	syncNeeded := false
	for failures := 0; ctx.Err() == nil; {
		address, at := a.stops.next()
		if address == "" {
			if syncNeeded {
				a.cfg.RequestSync()
			}
			syncNeeded = false
			select {
			case <-ctx.Done():
			case <-a.stops.wake:
			}
			continue
		}
		retryCtx, cancel := context.WithTimeout(ctx, retryTimeout)
		changed, err := a.stop(retryCtx, address, at)
		cancel()
		if err != nil {
			failures++
			schedule.Sleep(ctx, schedule.Backoff(failures, 100*time.Millisecond, 2*time.Second))
			continue
		}
		failures, syncNeeded = 0, syncNeeded || changed
		a.stops.done(address, at)
		a.cfg.Log.InfoContext(ctx, "stored a stop that was answered 503")
	}
	return nil
}
