package main

import (
	"testing"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/subscribe"
)

// Subscriptions stay as they are until a tunnel is open, because it may get its last URL again.
func TestURLsForGraph(t *testing.T) {
	settings := func(tunnel config.TunnelKind, url string) config.Settings {
		return config.Settings{Tunnel: config.Tunnel{Kind: tunnel}, PublicURL: config.NewURL(url)}
	}
	for name, tt := range map[string]struct {
		settings config.Settings
		opened   string // by the tunnel; empty: not open
		want     *subscribe.URLs
	}{
		"no URL":        {settings(config.NoTunnel, ""), "", &subscribe.URLs{}},
		"closed tunnel": {settings(config.AgentTunnel, ""), "", nil},
		"open tunnel": {settings(config.AgentTunnel, ""), "https://a.example",
			&subscribe.URLs{Notification: "https://a.example/graph/notifications", Lifecycle: "https://a.example/graph/lifecycle"}},
		"URL with a path": {settings(config.NoTunnel, "https://a.example/om%2F1"), "",
			&subscribe.URLs{Notification: "https://a.example/om%2F1/graph/notifications", Lifecycle: "https://a.example/om%2F1/graph/lifecycle"}},
	} {
		public := newPublicURL(tt.settings)
		if tt.opened != "" {
			public.set(tt.opened)
		}
		got := public.forGraph()
		if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
			t.Errorf("%s: forGraph = %+v, want %+v", name, got, tt.want)
		}
	}
}
