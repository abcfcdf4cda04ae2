package main

import (
	"testing"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/must"
)

// TestSettingsDigest changes one setting after the other. The digest changes if what the
// setting does outlives the replica.
func TestSettingsDigest(t *testing.T) {
	env := map[string]string{
		"AZURE_TENANT_ID": "contoso.example", "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": "secret", "LISTEN_ADDR": "127.0.0.1:0",
		"MEDIATOR_URL": "http://mediator.example", "PUBLIC_URL": "https://monitor.example",
	}
	digest := func() string {
		settings, err := new(config.Serve).Settings(func(name string) string { return env[name] })
		must.NoError(t, err)
		return settingsDigest(settings)
	}
	last := digest()
	for _, tt := range []struct {
		name, value string
		changes     bool
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
		env[tt.name] = tt.value
		now := digest()
		if (now != last) != tt.changes {
			t.Errorf("digest with %s=%s = %s, before %s, want a change: %t", tt.name, tt.value, now, last, tt.changes)
		}
		last = now
	}
}
