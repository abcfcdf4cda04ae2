package main

import (
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

func TestClientStateSecretOfSlowRedis(t *testing.T) {
	server := redistest.Start(t)
	s, err := store.Open(store.Config{URL: server.URL()})
	must.NoError(t, err)
	t.Cleanup(s.Close)
	c := newClientStates(nil, s)
	server.Pause()
	time.AfterFunc(1500*time.Millisecond, server.Resume)
	await.Run(t, c.Run)
	first, err := c.keys(t.Context())
	if err != nil || first.Tag() == "" {
		t.Fatalf("keys of a slow Redis = %q, %v, want the secret", first.Tag(), err)
	}
	server.Pause()
	if got, err := c.keys(t.Context()); err != nil || got.Tag() != first.Tag() {
		t.Errorf("keys while Redis hangs = %q, %v, want those known: %q", got.Tag(), err, first.Tag())
	}
}
