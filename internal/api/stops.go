package api

import (
	"context"
	"time"

	"outlook-monitor/internal/schedule"
)

const (
	maxStops      = 10_000 // to retry; beyond it the oldest are dropped
	retryInterval = time.Second
)

// Run retries the stops that were answered 503, every second until ctx ends; then those that
// are left are lost. It recognizes a later start at another replica by the time of the wish.
// A start by the mediator of an address that is still monitored writes no wish, so Run
// requests a sync after stops that changed a wish: the mediator then names the users it wants.
func (a *API) Run(ctx context.Context) error {
	for schedule.Sleep(ctx, retryInterval) {
		if changed := a.retryStops(ctx); changed > 0 {
			a.cfg.Log.InfoContext(ctx, "stored stops that were answered 503", "stops", changed)
			a.cfg.RequestSync()
		}
	}
	return nil
}

// retryStops retries the stops until one fails. It returns how many changed a wish.
func (a *API) retryStops(ctx context.Context) (changed int) {
	for {
		address, at, ok := a.stops.GetOldest()
		if !ok {
			return changed
		}
		retryCtx, cancel := context.WithTimeout(ctx, retryTimeout)
		swapped, err := a.stop(retryCtx, address, at)
		cancel()
		if err != nil {
			a.stops.Get(address) // makes it the newest, so that the next retry begins with another
			return changed
		}
		if latest, _ := a.stops.Peek(address); latest.Equal(at) { // otherwise a newer stop has replaced it
			a.stops.Remove(address)
		}
		if swapped {
			changed++
		}
	}
}
