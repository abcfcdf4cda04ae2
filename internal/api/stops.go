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
// requests a sync after stops that are stored: the mediator then names the users it wants.
func (a *API) Run(ctx context.Context) error {
	for schedule.Sleep(ctx, retryInterval) {
		if stored := a.retryStops(ctx); stored > 0 {
			a.cfg.Log.InfoContext(ctx, "stored stops that were answered 503", "stops", stored)
			a.cfg.RequestSync()
		}
	}
	return nil
}

// retryStops retries the stops until one fails. It returns how many are stored, not counting
// those that came before a newer start.
func (a *API) retryStops(ctx context.Context) (stored int) {
	for {
		address, at, ok := a.stops.GetOldest()
		if !ok {
			return stored
		}
		retryCtx, cancel := context.WithTimeout(ctx, retryTimeout)
		done, err := a.stop(retryCtx, address, at)
		cancel()
		if err != nil {
			a.stops.Get(address) // makes it the newest, so that the next retry begins with another
			return stored
		}
		if latest, _ := a.stops.Peek(address); latest.Equal(at) { // otherwise a newer stop has replaced it
			a.stops.Remove(address)
		}
		if done {
			stored++
		}
	}
}
