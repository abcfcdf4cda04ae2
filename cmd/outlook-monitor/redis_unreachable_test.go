package main_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// TestStopDuringRedisOutage stops users, whom the mediator then no longer names, while Redis is
// unreachable and before it was ever reached.
func TestStopDuringRedisOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	tb := newTestbed(t, server.URL(), graphsim.Config{Seed: 61})
	load := newWorkload(tb, 3)
	p := load.startCovered()
	stop := func(i int, path string) {
		t.Helper()
		name := load.users[i].UserPrincipalName
		tb.mediator.Remove(name)
		tb.wantStatus(http.StatusServiceUnavailable, "POST", path, fmt.Sprintf(`{"email":%q,"status":"False"}`, name))
	}
	removed := func(i int) func() bool {
		return func() bool {
			status, _ := tb.get("/api/users/" + load.users[i].UserPrincipalName)
			return status == http.StatusNotFound && tb.covered()[load.users[i].ID] == 0
		}
	}
	server.Kill()
	stop(0, "/monitor")
	server.Restart()
	tb.eventually("the user is removed when Redis is back", removed(0))

	server.Kill()
	p.Kill()
	p = tb.start("serve")
	tb.eventually("the program answers without Redis", tb.hasStatus("/healthz", http.StatusOK))
	stop(1, "/monitor/")
	server.Restart()
	tb.eventually("the user is removed when Redis is reached", removed(1))
	tb.wantStatus(http.StatusOK, "GET", "/api/users/"+load.users[2].UserPrincipalName, "") // who was not stopped
	p.stop()
}

// TestResponsesBeforeRedisIsReached makes requests before the program could check the schema.
func TestResponsesBeforeRedisIsReached(t *testing.T) {
	server := redistest.Start(t)
	tb := newTestbed(t, server.URL(), graphsim.Config{Seed: 64})
	server.Kill()
	p := tb.start("serve")
	tb.eventually("the program answers without Redis", tb.hasStatus("/healthz", http.StatusOK))
	tests := map[string]struct {
		method, path string
		status       int
	}{
		"handshake":                     {http.MethodPost, "/graph/notifications?validationToken=a+b", http.StatusOK},
		"invalid handshake":             {http.MethodPost, "/graph/lifecycle?validationToken=%zz", http.StatusBadRequest},
		"notifications":                 {http.MethodPost, "/graph/notifications", http.StatusServiceUnavailable},
		"parameter with a similar name": {http.MethodPost, "/graph/notifications?xvalidationToken=1", http.StatusServiceUnavailable},
		"API":                           {http.MethodGet, "/api/openapi.json", http.StatusServiceUnavailable},
		"API with a validationToken":    {http.MethodGet, "/api/openapi.json?validationToken=1", http.StatusServiceUnavailable},
		"liveness":                      {http.MethodGet, "/healthz/", http.StatusOK},
		"readiness":                     {http.MethodGet, "/readyz", http.StatusServiceUnavailable},
		"metrics with a trailing slash": {http.MethodGet, "/metrics/", http.StatusOK},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { tb.in(t).wantStatus(tt.status, tt.method, tt.path, "") })
	}
	p.stop()
}

// TestStopRejectedByLoadShedding pauses Redis, so that requests stay in flight until one source
// reaches its limit. A stop that is rejected then must still take effect.
func TestStopRejectedByLoadShedding(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	tb := newTestbed(t, server.URL(), graphsim.Config{Seed: 65})
	load := newWorkload(tb, 1)
	p := tb.start("serve")
	load.waitDelivered()
	name := load.users[0].UserPrincipalName
	tb.mediator.Remove(name)
	stop := func(name string) int {
		status, _ := tb.ask("POST", "/monitor", "application/json", fmt.Sprintf(`{"email":%q,"status":"False"}`, name))
		return status
	}
	server.Pause()
	var requests sync.WaitGroup
	var answered atomic.Int32
	for i := range 300 {
		requests.Go(func() {
			stop(fmt.Sprintf("nobody%d@contoso.example", i))
			answered.Add(1)
		})
	}
	tb.eventually("the first requests are rejected", func() bool { return answered.Load() > 0 })
	if status := stop(name); status != http.StatusServiceUnavailable {
		t.Errorf("stop over the limit = %d, want 503", status)
	}
	server.Resume()
	tb.eventually("the user is removed when Redis answers", tb.hasStatus("/api/users/"+name, http.StatusNotFound))
	requests.Wait()
	p.stop()
}
