package main

import (
	"context"
	"crypto/rand"
	"slices"
	"sync/atomic"
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
	known atomic.Pointer[[]string] // those read from Redis, newest first; never changed in place
}

const clientStateSecret = "client-state"

func newClientStates(settings []config.Secret, store *store.Store) *clientStates {
	c := &clientStates{fixed: ooo.NewClientStateKeys(reveal(settings)...), store: store}
	c.known.Store(new([]string))
	return c
}

// keys returns the secrets; the first is for new subscriptions.
func (c *clientStates) keys(ctx context.Context) (ooo.ClientStateKeys, error) {
	if c.fixed.Tag() != "" {
		return c.fixed, nil
	}
	if len(*c.known.Load()) == 0 {
		if err := c.read(ctx); err != nil {
			return ooo.ClientStateKeys{}, err
		}
	}
	return ooo.NewClientStateKeys(*c.known.Load()...), nil
}

// Run reads the secret, now and again, until ctx ends: a Redis that was emptied may have a
// different one.
func (c *clientStates) Run(ctx context.Context) error {
	for {
		interval := 30 * time.Second
		if c.read(ctx) != nil {
			interval = time.Second
		}
		if !schedule.Sleep(ctx, interval) {
			return nil
		}
	}
}

// read reads the secret, or stores one if there is none. In a Redis that was emptied that is the
// one this replica knows, so that notifications of existing subscriptions are still accepted.
func (c *clientStates) read(ctx context.Context) error {
	if c.fixed.Tag() != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	candidate := append(slices.Clone(*c.known.Load()), rand.Text())[0]
	secret, err := c.store.Secret(ctx, clientStateSecret, candidate)
	// A concurrent read may have found another secret, which must stay known.
	for err == nil {
		known := c.known.Load()
		others := slices.DeleteFunc(slices.Clone(*known), func(k string) bool { return k == secret })
		if c.known.CompareAndSwap(known, new(append([]string{secret}, others...))) {
			return nil
		}
	}
	return err
}
