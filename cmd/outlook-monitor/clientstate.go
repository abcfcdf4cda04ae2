package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// clientStates has the secrets from which clientStates are derived: those of the settings, or
// one that is created once and stored in Redis.
type clientStates struct {
	fixed ooo.ClientStateKeys // from the settings; Redis is not used then
	store *store.Store

	reads singleflight.Group // callers share a read

	mu       sync.Mutex
	known    []string  // newest first; guarded by mu
	readAt   time.Time // guarded by mu
	restores int       // calls of restore; guarded by mu
}

const (
	clientStateSecret = "client-state"
	// clientStateAge is how long a secret is used before it is read again: a Redis that was
	// emptied may have a different one.
	clientStateAge = 30 * time.Second
	// secretTimeout limits reading the secret, and knownSecretWait how long a caller waits for it
	// if a secret is known already.
	secretTimeout   = 5 * time.Second
	knownSecretWait = 250 * time.Millisecond
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
	known, fresh := c.latest()
	if fresh {
		return ooo.NewClientStateKeys(known...), nil
	}
	read := c.reads.DoChan("", func() (any, error) { return nil, c.read(context.WithoutCancel(ctx)) })
	var enough <-chan time.Time // nil: wait for the read
	if len(known) > 0 {
		enough = time.After(knownSecretWait)
	}
	var err error
	select {
	case r := <-read:
		err = r.Err
	case <-ctx.Done():
		err = ctx.Err()
	case <-enough:
	}
	if latest, _ := c.latest(); len(latest) > 0 {
		return ooo.NewClientStateKeys(latest...), nil
	}
	return ooo.ClientStateKeys{}, err
}

// latest returns the known secrets, and whether they were read recently.
func (c *clientStates) latest() (known []string, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known, len(c.known) > 0 && time.Since(c.readAt) < clientStateAge
}

// read reads the secret, or stores one if there is none.
func (c *clientStates) read(ctx context.Context) error {
	c.mu.Lock()
	candidate, restores := rand.Text(), c.restores
	if len(c.known) > 0 {
		candidate = c.known[0]
	}
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	secret, err := c.store.Secret(ctx, clientStateSecret, candidate)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil { // use the known secrets, and try Redis again in a second
		c.readAt = time.Now().Add(time.Second - clientStateAge)
		return err
	}
	others := slices.DeleteFunc(slices.Clone(c.known), func(k string) bool { return k == secret })
	c.known = append([]string{secret}, others...)
	if c.restores == restores { // otherwise it may have been replaced since
		c.readAt = time.Now()
	}
	return nil
}

// restore stores the secret again in a Redis that came back with older data, so that
// notifications of existing subscriptions are still accepted.
func (c *clientStates) restore(ctx context.Context, log *slog.Logger) {
	known, _ := c.latest()
	if c.fixed.Tag() != "" || len(known) == 0 {
		return // the secret is not in Redis, or this replica never read it
	}
	if err := c.store.PutSecret(ctx, clientStateSecret, known[0]); err != nil {
		log.WarnContext(ctx, "clientState secret not restored in redis, retrying later", "err", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restores++
	c.readAt = time.Time{}
}
