package main_test

import (
	"fmt"
	"net/http"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// TestStopDuringRedisOutage stops users, whom the mediator then no longer names, while Redis is
// unreachable, and before it was ever reached: then the program could not check the schema.
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
	for path, status := range map[string]int{
		"/api/openapi.json": http.StatusServiceUnavailable, "/api/openapi.json?validationToken=1": http.StatusServiceUnavailable,
		"/readyz": http.StatusServiceUnavailable, "/healthz/": http.StatusOK, "/metrics/": http.StatusOK,
	} {
		tb.wantStatus(status, "GET", path, "")
	}
	tb.wantStatus(http.StatusOK, "POST", "/graph/notifications?validationToken=a+b", "")
	tb.wantStatus(http.StatusServiceUnavailable, "POST", "/graph/notifications?xvalidationToken=1", "")
	stop(1, "/monitor/")
	server.Restart()
	tb.eventually("the user is removed when Redis is reached", removed(1))
	tb.wantStatus(http.StatusOK, "GET", "/api/users/"+load.users[2].UserPrincipalName, "") // who was not stopped
	p.stop()
}
