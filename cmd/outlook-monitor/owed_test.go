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

// TestAStopWhileRedisIsAwayIsCarriedOut stops users that a mediator does not name
// again, while Redis is away and while it was never reached.
func TestAStopWhileRedisIsAwayIsCarriedOut(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := world(t, server.URL(), graphsim.Config{Seed: 61})
	c := newCrowd(w, 3)
	p := c.begin()
	stop := func(i int, path string) {
		t.Helper()
		name := c.users[i].UserPrincipalName
		w.mediator.Remove(name)
		if status, _ := w.post(path, fmt.Sprintf(`{"email":%q,"status":"False"}`, name)); status != http.StatusServiceUnavailable {
			t.Errorf("stop while Redis is away = %d, want 503", status)
		}
	}
	gone := func(i int) func() bool {
		return func() bool {
			status, _ := w.get("/api/users/" + c.users[i].UserPrincipalName)
			return status == http.StatusNotFound && w.covered()[c.users[i].ID] == 0
		}
	}
	server.Kill()
	stop(0, "/monitor")
	server.Restart()
	w.eventually("the stop is carried out when Redis is back", gone(0))

	server.Kill()
	p.Kill()
	p = w.start("serve")
	w.eventually("the program answers without Redis", func() bool {
		status, _ := w.get("/healthz")
		return status == http.StatusOK
	})
	stop(1, "/monitor/")
	server.Restart()
	w.eventually("the stop is carried out when Redis is reached", gone(1))
	if status, _ := w.get("/api/users/" + c.users[2].UserPrincipalName); status != http.StatusOK {
		t.Errorf("a user who was not stopped = %d, want 200", status)
	}
	p.stop()
}

// TestWhatIsAnsweredBeforeRedisWasReached asks a program that does not know yet
// whether what is stored is its own.
func TestWhatIsAnsweredBeforeRedisWasReached(t *testing.T) {
	server := redistest.Start(t)
	w := world(t, server.URL(), graphsim.Config{Seed: 64})
	server.Kill()
	p := w.start("serve")
	w.eventually("the program answers without Redis", func() bool {
		status, _ := w.get("/healthz")
		return status == http.StatusOK
	})
	tests := map[string]struct {
		method, path string
		status       int
	}{
		"a handshake":                          {http.MethodPost, "/graph/notifications?validationToken=a+b", http.StatusOK},
		"a handshake that is none of Graph's":  {http.MethodPost, "/graph/lifecycle?validationToken=%zz", http.StatusBadRequest},
		"notifications":                        {http.MethodPost, "/graph/notifications", http.StatusServiceUnavailable},
		"what only looks like a handshake":     {http.MethodPost, "/graph/notifications?xvalidationToken=1", http.StatusServiceUnavailable},
		"the API":                              {http.MethodGet, "/api/openapi.json", http.StatusServiceUnavailable},
		"the API, with Graph's word":           {http.MethodGet, "/api/openapi.json?validationToken=1", http.StatusServiceUnavailable},
		"whether it lives":                     {http.MethodGet, "/healthz/", http.StatusOK},
		"whether it is ready":                  {http.MethodGet, "/readyz", http.StatusServiceUnavailable},
		"its metrics, with a slash at the end": {http.MethodGet, "/metrics/", http.StatusOK},
	}
	for name, tt := range tests {
		if status, answer := w.ask(tt.method, tt.path, "application/json", ""); status != tt.status {
			t.Errorf("%s: answer = %d %q, want %d", name, status, answer, tt.status)
		}
	}
	p.stop()
}

// TestAStopThatFindsNoPlaceIsCarriedOut has Redis hang, so that whoever asks waits
// and holds a place, until there is none left for one source.
func TestAStopThatFindsNoPlaceIsCarriedOut(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := world(t, server.URL(), graphsim.Config{Seed: 65})
	c := newCrowd(w, 1)
	p := w.start("serve")
	c.settle()
	name := c.users[0].UserPrincipalName
	w.mediator.Remove(name)
	stop := func(name string) int {
		status, _ := w.post("/monitor", fmt.Sprintf(`{"email":%q,"status":"False"}`, name))
		return status
	}
	server.Pause()
	var asking sync.WaitGroup
	var answered atomic.Int32
	for i := range 300 {
		asking.Go(func() {
			stop(fmt.Sprintf("nobody%d@contoso.example", i))
			answered.Add(1)
		})
	}
	w.eventually("some find no place", func() bool { return answered.Load() > 0 })
	if status := stop(name); status != http.StatusServiceUnavailable {
		t.Errorf("stop while all places are taken = %d, want 503", status)
	}
	server.Resume()
	w.eventually("the stop is carried out when Redis answers", func() bool {
		status, _ := w.get("/api/users/" + name)
		return status == http.StatusNotFound
	})
	asking.Wait()
	p.stop()
}
