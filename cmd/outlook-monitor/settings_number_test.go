package main_test

import (
	"strconv"
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// TestSettingsNumber changes one setting at each start. The number of the settings grows if
// what they do outlives the replica.
func TestSettingsNumber(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	tb := newTestbed(t, server.URL(), graphsim.Config{Seed: 67})
	client := connect(t, server)
	want := 1
	for _, tt := range []struct {
		name, value string
		grows       bool
	}{
		{"POLL_INTERVAL", "3s", false},
		{"DELIVERY_CONCURRENCY", "9", false},
		{"SUBSCRIPTION_RESOURCES", "/users/{id}/messages", true},
		{"SUBSCRIPTION_LIFETIME", "100m", true},
		{"SCHEDULED", "always", true},
		{"MESSAGE", "internal", true},
		{"MESSAGE_LIMIT", "99", true},
		{"CLIENT_STATE_KEY", "first", true},
		{"CLIENT_STATE_KEY", "second first", true},
		{"CLIENT_STATE_KEY", "second", false},
		{"PUBLIC_URL", "", true},
	} {
		if tt.grows {
			want++
		}
		tb.env[tt.name] = tt.value
		p := tb.start("serve")
		tb.eventually("the replica has joined", func() bool { return strings.Contains(p.log.String(), "partitions acquired") })
		stored := client.HGet(t.Context(), "om:{om}:owners", "settings").Val()
		if number, _, _ := strings.Cut(stored, " "); number != strconv.Itoa(want) {
			t.Fatalf("number with %s=%s = %s, want %d", tt.name, tt.value, number, want)
		}
		p.stop()
	}
}
