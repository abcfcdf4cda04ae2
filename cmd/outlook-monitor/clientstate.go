package main

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// clientStates has the secrets from which clientStates are derived: those of the settings, or
// one that is created once and stored in Redis.
type clientStates struct {
	fixed ooo.ClientStateKeys // from the settings; Redis is not used then
	store *store.Store
	tried chan struct{} // closed once a read ended

	mu    sync.Mutex
	known []string // newest first; guarded by mu
	err   error    // of the last read; guarded by mu
}

const clientStateSecret = "client-state"

func newClientStates(settings []config.Secret, store *store.Store) *clientStates {
	return &clientStates{fixed: ooo.NewClientStateKeys(reveal(settings)...), store: store, tried: make(chan struct{})}
}

// keys returns the secrets; the first is for new subscriptions.
func (c *clientStates) keys(ctx context.Context) (ooo.ClientStateKeys, error) {
	if c.fixed.Tag() != "" {
		return c.fixed, nil
	}
	select {
	case <-c.tried:
	case <-ctx.Done():
		return ooo.ClientStateKeys{}, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) == 0 {
		return ooo.ClientStateKeys{}, c.err
	}
	return ooo.NewClientStateKeys(c.known...), nil
}

// Run reads the secret, now and again, until ctx ends.
func (c *clientStates) Run(ctx context.Context) error {
	err := c.read(ctx)
	close(c.tried)
	for schedule.Sleep(ctx, secretInterval(err)) {
		err = c.read(ctx)
	}
	return nil
}

// secretInterval is how long after a read the secret is read again: a Redis that was emptied may
// have a different one.
func secretInterval(err error) time.Duration {
	if err != nil {
		return time.Second
	}
	return 30 * time.Second
}

// read reads the secret, or stores one if there is none. In a Redis that was emptied that is the
// one this replica knows, so that notifications of existing subscriptions are still accepted.
func (c *clientStates) read(ctx context.Context) error {
	if c.fixed.Tag() != "" {
		return nil
	}
	c.mu.Lock()
	candidate := append(slices.Clone(c.known), rand.Text())[0]
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	secret, err := c.store.Secret(ctx, clientStateSecret, candidate)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err = err; err == nil {
		others := slices.DeleteFunc(c.known, func(k string) bool { return k == secret })
		c.known = append([]string{secret}, others...)
	}
	return err
}
