package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// clientStates has the secrets from which clientStates are derived: those of the settings, or
// one that is created once and stored in Redis.
type clientStates struct {
	fixed ooo.ClientStateKeys // from the settings; Redis is not used then
	store *store.Store

	mu     sync.Mutex
	known  []string  // newest first; guarded by mu
	readAt time.Time // guarded by mu
}

const (
	clientStateSecret = "client-state"
	// clientStateAge is how long a secret is used before it is read again: a Redis that was
	// emptied may have a different one.
	clientStateAge = 30 * time.Second
)

func newClientStates(settings []config.Secret, store *store.Store) *clientStates {
	return &clientStates{fixed: clientStateKeys(settings), store: store}
}

// clientStateKeys returns the secrets of CLIENT_STATE_KEY.
func clientStateKeys(settings []config.Secret) ooo.ClientStateKeys {
	var secrets []string
	for _, s := range settings {
		secrets = append(secrets, s.Reveal())
	}
	return ooo.NewClientStateKeys(secrets...)
}

// keys returns the secrets; the first is for new subscriptions.
func (c *clientStates) keys(ctx context.Context) (ooo.ClientStateKeys, error) {
	if c.fixed.Tag() != "" {
		return c.fixed, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) > 0 && time.Since(c.readAt) < clientStateAge {
		return ooo.NewClientStateKeys(c.known...), nil
	}
	candidate := rand.Text() // stored if there is none
	if len(c.known) > 0 {
		candidate = c.known[0]
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second) // others wait for the mutex
	defer cancel()
	secret, err := c.store.Secret(ctx, clientStateSecret, candidate)
	switch {
	case err == nil:
		c.readAt = time.Now()
		c.known = append([]string{secret}, slices.DeleteFunc(c.known, func(k string) bool { return k == secret })...)
	case len(c.known) == 0:
		return ooo.ClientStateKeys{}, err
	default: // use the known secrets, and try Redis again in a second
		c.readAt = time.Now().Add(time.Second - clientStateAge)
	}
	return ooo.NewClientStateKeys(c.known...), nil
}

// restore stores the secret again in a Redis that came back with older data, so that
// notifications of existing subscriptions are still accepted.
func (c *clientStates) restore(ctx context.Context, log *slog.Logger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fixed.Tag() != "" || len(c.known) == 0 {
		return // the secret is not in Redis, or this replica never read it
	}
	c.readAt = time.Time{}
	if err := c.store.PutSecret(ctx, clientStateSecret, c.known[0]); err != nil {
		log.WarnContext(ctx, "clientState secret not restored in redis, retrying later", "err", err)
	}
}
