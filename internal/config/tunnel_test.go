package config_test

import (
	"strings"
	"testing"

	"outlook-monitor/internal/config"
)

func TestTunnels(t *testing.T) {
	agent := config.NewURL("http://127.0.0.1:4040")
	token := config.NewSecret("ngrok-token")
	tests := map[string]struct {
		env  env
		want config.Tunnel
	}{
		"none": {env{}, config.Tunnel{Kind: config.NoTunnel, AgentURL: agent}},
		"one of this process": {env{"TUNNEL": "Ngrok", "NGROK_AUTHTOKEN": "ngrok-token"},
			config.Tunnel{Kind: config.NgrokTunnel, NgrokToken: token, AgentURL: agent}},
		"one of this process needs no token of ours on loopback": {
			env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "ngrok-token", "MONITOR_TOKEN": "", "LISTEN_ADDR": "127.0.0.1:8080"},
			config.Tunnel{Kind: config.NgrokTunnel, NgrokToken: token, AgentURL: agent}},
		"a domain of one's own": {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "ngrok-token", "NGROK_URL": "https://monitor.ngrok.app/"},
			config.Tunnel{Kind: config.NgrokTunnel, NgrokToken: token, NgrokURL: "https://monitor.ngrok.app", AgentURL: agent}},
		"all paths": {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "ngrok-token", "TUNNEL_EXPOSE": "all"},
			config.Tunnel{Kind: config.NgrokTunnel, ExposeAll: true, NgrokToken: token, AgentURL: agent}},
		"one of an agent": {env{"TUNNEL": "agent", "NGROK_AGENT_URL": "http://localhost:4041/"},
			config.Tunnel{Kind: config.AgentTunnel, AgentURL: config.NewURL("http://localhost:4041")}},
		"one of an agent, private routes elsewhere": {
			env{"TUNNEL": "agent", "MONITOR_TOKEN": "", "LISTEN_ADDR": "127.0.0.1:8080", "PRIVATE_ADDR": "127.0.0.1:8081"},
			config.Tunnel{Kind: config.AgentTunnel, AgentURL: agent}},
		"one of an agent, open on purpose": {
			env{"TUNNEL": "agent", "MONITOR_TOKEN": "", "ALLOW_ANONYMOUS": "true"},
			config.Tunnel{Kind: config.AgentTunnel, AgentURL: agent}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := needed()
			for variable, value := range tt.env {
				e = e.with(variable, value)
			}
			got := settings(t, e).Tunnel
			if got.Kind != tt.want.Kind || got.ExposeAll != tt.want.ExposeAll || got.NgrokURL != tt.want.NgrokURL ||
				got.NgrokToken.Reveal() != tt.want.NgrokToken.Reveal() || got.AgentURL.Reveal() != tt.want.AgentURL.Reveal() {
				t.Errorf("Tunnel = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestTunnelMistakesSayWhatToWrite(t *testing.T) {
	local := env{"MONITOR_TOKEN": "", "LISTEN_ADDR": "127.0.0.1:8080"}
	ngrok := env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "very-secret-token"}
	tests := map[string]struct {
		env  []env
		name string
		says string
	}{
		"a kind that is none":          {[]env{{"TUNNEL": "tailscale"}}, "TUNNEL", "none, ngrok or agent"},
		"a tunnel and a public URL":    {[]env{ngrok, {"PUBLIC_URL": "https://monitor.example"}}, "TUNNEL", "set either"},
		"no token of ngrok's":          {[]env{{"TUNNEL": "ngrok"}}, "NGROK_AUTHTOKEN", "dashboard.ngrok.com"},
		"a token in two lines":         {[]env{ngrok, {"NGROK_AUTHTOKEN": "very-secret\ntoken"}}, "NGROK_AUTHTOKEN", "one line"},
		"a domain without https":       {[]env{ngrok, {"NGROK_URL": "monitor.ngrok.app"}}, "NGROK_URL", "https://"},
		"an agent that is no URL":      {[]env{{"TUNNEL": "agent", "NGROK_AGENT_URL": "4040"}}, "NGROK_AGENT_URL", "http://127.0.0.1:4040"},
		"paths that are none":          {[]env{ngrok, {"TUNNEL_EXPOSE": "some"}}, "TUNNEL_EXPOSE", "graph or all"},
		"an agent that leads inside":   {[]env{local, {"TUNNEL": "agent"}}, "MONITOR_TOKEN", "from the internet to 127.0.0.1:8080"},
		"all paths open to the world":  {[]env{local, ngrok, {"TUNNEL_EXPOSE": "all"}}, "MONITOR_TOKEN", "PRIVATE_ADDR"},
		"open to all machines already": {[]env{{"MONITOR_TOKEN": "", "TUNNEL": "agent"}}, "MONITOR_TOKEN", "can be reached from other machines"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := needed()
			for _, more := range tt.env {
				for variable, value := range more {
					e = e.with(variable, value)
				}
			}
			found := mistakes(t, e)
			line, ok := found[tt.name]
			if !ok || len(found) != 1 || !strings.Contains(line, tt.says) || strings.Contains(line, "very-secret") {
				t.Errorf("mistakes = %v, want %s alone, saying %q and no secret", found, tt.name, tt.says)
			}
		})
	}
}
