package api

import (
	"context"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// maxStops limits the stops that are retried; beyond it the oldest is forgotten.
const maxStops = 10_000

// stops are the stops that were answered 503. They are retried until Redis answers,
// unless a later start comes; see [API.Run]. They do not survive this process.
type stops struct {
	mu    sync.Mutex
	asked map[string]time.Time // by folded address: when; guarded by mu
	wake  chan struct{}        // capacity 1
}

func newStops() *stops {
	return &stops{asked: map[string]time.Time{}, wake: make(chan struct{}, 1)}
}

func (s *stops) remember(address string, at time.Time) {
	s.mu.Lock()
	if len(s.asked) >= maxStops {
		oldest, _ := s.oldest()
		delete(s.asked, oldest)
	}
	s.asked[ooo.FoldAddress(address)] = at
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // a wake-up is already waiting
	}
}

// forget ends the retries for an address because something newer was asked for.
func (s *stops) forget(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asked, ooo.FoldAddress(address))
}

// done ends the retries of a stop, unless the address was stopped again since.
func (s *stops) done(address string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[address].Equal(at) {
		delete(s.asked, address)
	}
}

// next returns the oldest stop, "" if there is none.
func (s *stops) next() (address string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.oldest()
}

// oldest is next for who holds mu.
func (s *stops) oldest() (address string, at time.Time) {
	for a, t := range s.asked {
		if address == "" || t.Before(at) {
			address, at = a, t
		}
	}
	return address, at
}

// Run retries stops until ctx ends. A later start at another replica that wrote its wish
// is recognized by the time of it. One of the mediator's for who was monitored wrote
// none: that is why the mediator is asked for its users afterwards, and names whom it
// wants.
func (a *API) Run(ctx context.Context) error {
	carriedOut := false
	for failures := 0; ctx.Err() == nil; {
		address, at := a.stops.next()
		if address == "" {
			if carriedOut {
				a.cfg.RequestSync()
			}
			carriedOut = false
			select {
			case <-ctx.Done():
			case <-a.stops.wake:
			}
			continue
		}
		retrying, cancel := context.WithTimeout(ctx, retryTime)
		changed, err := a.stop(retrying, address, at)
		cancel()
		if err != nil {
			failures++
			schedule.Sleep(ctx, schedule.Backoff(failures, 100*time.Millisecond, 2*time.Second))
			continue
		}
		failures, carriedOut = 0, carriedOut || changed
		a.stops.done(address, at)
		a.cfg.Log.InfoContext(ctx, "stop stored that had been refused")
	}
	return nil
}
