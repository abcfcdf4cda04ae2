package main_test

import (
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// TestPresenceSweep has no subscriptions and a poll that is too slow.
func TestPresenceSweep(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 71})
	tb.env["POLL_INTERVAL"], tb.env["PRESENCE_SWEEP"] = "1h", "true"
	delete(tb.env, "PUBLIC_URL")
	load := newWorkload(tb, 1)
	email := load.users[0].UserPrincipalName
	p := tb.start("serve")
	load.waitDelivered()
	tb.eventually("presences are read", func() bool { return tb.sim.Stats().Calls["presence"]["200"] > 0 })
	for _, replies := range []graphsim.AutomaticRepliesUpdate{outOfOffice, {Status: new("disabled")}} {
		tb.sim.SetReplies(email, replies)
		load.waitDelivered()
	}
	_, history := tb.get("/api/users/" + email + "/history")
	if n := strings.Count(history, `"source":"presence"`); n < 2 {
		t.Errorf("history = %s, want two changes with the source presence, got %d", history, n)
	}
	tb.waitForMetrics(`changes_total{source="presence"} 2`, "presence_hinted_total 2")
	if n := strings.Count(p.log.String(), "PUBLIC_URL is not set"); n != 1 {
		t.Errorf("the log says %d times that PUBLIC_URL is not set, want once", n)
	}
}
