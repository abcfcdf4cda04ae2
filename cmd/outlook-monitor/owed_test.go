package main_test

import (
	"net/http"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// TestAStopWhileRedisIsAwayIsCarriedOut stops users that a mediator does not name
// again, while Redis is away and while it was never reached.
func TestAStopWhileRedisIsAwayIsCarriedOut(t *testing.T) {
	server := redistest.Start(t)
	w := world(t, server.URL(), graphsim.Config{Seed: 61})
	c := newCrowd(w, 3)
	p := w.start("serve")
	c.settle()
	c.eventually("each user is covered once", c.coveredOnce)
	stop := func(i int) {
		t.Helper()
		w.mediator.Remove(c.users[i].UserPrincipalName)
		if status, _ := w.mediator.Monitor(t.Context(), c.users[i].UserPrincipalName, false); status != http.StatusServiceUnavailable {
			t.Errorf("stop while Redis is away = %d, want 503", status)
		}
	}
	gone := func(i int) func() bool {
		return func() bool {
			status, _ := w.ask(http.MethodGet, "/api/users/"+c.users[i].UserPrincipalName, "", "")
			return status == http.StatusNotFound && w.covered()[c.users[i].ID] == 0
		}
	}
	server.Kill()
	stop(0)
	server.Restart()
	w.eventually("the stop is carried out when Redis is back", gone(0))

	server.Kill()
	p.kill()
	p = w.start("serve")
	w.eventually("the program answers without Redis", func() bool {
		status, _ := w.ask(http.MethodGet, "/healthz", "", "")
		return status == http.StatusOK
	})
	stop(1)
	server.Restart()
	w.eventually("the stop is carried out when Redis is reached", gone(1))
	if status, _ := w.ask(http.MethodGet, "/api/users/"+c.users[2].UserPrincipalName, "", ""); status != http.StatusOK {
		t.Errorf("a user who was not stopped = %d, want 200", status)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}
