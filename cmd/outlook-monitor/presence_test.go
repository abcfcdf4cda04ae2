package main_test

import (
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// TestPresenceMakesUpForASlowPoll has no subscriptions and hardly a poll.
func TestPresenceMakesUpForASlowPoll(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 71})
	w.env["POLL_INTERVAL"], w.env["PRESENCE_SWEEP"] = "1h", "true"
	delete(w.env, "PUBLIC_URL")
	w.join("ann")
	w.mediator.Add(addressOf("ann"))
	w.start("serve")
	w.tells("ann", false)
	w.eventually("presence was asked for", func() bool { return w.sim.Stats().Calls["presence"]["200"] > 0 })
	w.leave("ann", true)
	w.tells("ann", true)
	w.leave("ann", false)
	w.tells("ann", false)
	_, history := w.get("/api/users/" + addressOf("ann") + "/history")
	if n := strings.Count(history, `"source":"presence"`); n < 2 {
		t.Errorf("history = %s, want two changes seen by presence, got %d", history, n)
	}
	_, metrics := w.get("/metrics")
	for _, want := range []string{`outlook_monitor_changes_total{source="presence"} 2`, "outlook_monitor_presence_hinted_total 2"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics don't tell %s", want)
		}
	}
}
