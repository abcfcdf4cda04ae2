package api

import (
	"context"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// maxStops bounds the stops that are remembered; beyond it the oldest is forgotten.
const maxStops = 10_000

// stops are the stops that Redis did not take and that were answered 503. When the
// mediator is asked for its users it names those to be monitored, never the others, so
// a stop that it does not repeat would be lost. They are retried until Redis answers,
// unless a later start comes. They do not survive this process.
type stops struct {
	mu    sync.Mutex
	asked map[string]time.Time // by folded address: when; guarded by mu
	busy  chan struct{}        // capacity 1; holds a token while one is carried out
	wake  chan struct{}        // capacity 1
}

func newStops() *stops {
	return &stops{asked: map[string]time.Time{}, busy: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
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

// oldest returns the oldest stop, "" if there is none. The caller holds mu.
func (s *stops) oldest() (address string, at time.Time) {
	for a, t := range s.asked {
		if address == "" || t.Before(at) {
			address, at = a, t
		}
	}
	return address, at
}

// forget forgets the stop of an address because something newer was asked for, and
// waits while it is being carried out.
func (s *stops) forget(ctx context.Context, address string) {
	s.mu.Lock()
	_, waiting := s.asked[ooo.FoldAddress(address)]
	delete(s.asked, ooo.FoldAddress(address))
	s.mu.Unlock()
	if !waiting {
		return
	}
	select {
	case s.busy <- struct{}{}:
		<-s.busy
	case <-ctx.Done():
	}
}

// next carries out the oldest stop, if there is one.
func (s *stops) next(carryOut func(address string, at time.Time) error) (found bool, err error) {
	s.busy <- struct{}{}
	defer func() { <-s.busy }()
	s.mu.Lock()
	address, at := s.oldest()
	s.mu.Unlock()
	if address == "" {
		return false, nil
	}
	if err := carryOut(address, at); err != nil {
		return true, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[address].Equal(at) {
		delete(s.asked, address)
	}
	return true, nil
}

// Run retries the stops that Redis did not take, until ctx ends. A start that another
// replica answered meanwhile wrote nothing if the address was still monitored, so when
// all are carried out the mediator is asked for its users: it starts that one again.
func (a *API) Run(ctx context.Context) error {
	late := false // a stop was carried out
	for failures := 0; ; {
		found, err := a.stops.next(func(address string, at time.Time) error {
			ctx, cancel := context.WithTimeout(ctx, lateTime)
			defer cancel()
			changed, err := a.switchOff(ctx, address, at)
			late = late || changed
			return err
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			failures++
			schedule.Sleep(ctx, schedule.Backoff(failures, 100*time.Millisecond, 2*time.Second))
		case found:
			failures = 0
			a.cfg.Log.InfoContext(ctx, "stop stored that was refused before")
		default:
			if late {
				late = false
				a.cfg.Owe()
			}
			select {
			case <-ctx.Done():
				return nil
			case <-a.stops.wake:
			}
		}
	}
}
