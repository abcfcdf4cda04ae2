package config

// TunnelKind is who opens the tunnel under whose URL Graph reaches the service.
type TunnelKind string

const (
	NoTunnel    TunnelKind = "none"
	NgrokTunnel TunnelKind = "ngrok" // this process
	AgentTunnel TunnelKind = "agent" // an ngrok agent on this machine
)

// Tunnel says how a service gets a public URL that has none of its own.
type Tunnel struct {
	Kind TunnelKind
	// ExposeAll lets callers through the tunnel to all paths, not to Graph's alone.
	ExposeAll bool

	NgrokToken Secret
	NgrokURL   string // a domain reserved at ngrok, as a URL; empty: ngrok chooses
	AgentURL   URL    // of the agent's local API
}

// tunnel reads what belongs to the tunnel. What it opens to the world must be
// guarded, even if the listener is on loopback.
func (r *reader) tunnel(l Listen) Tunnel {
	t := Tunnel{
		Kind:       TunnelKind(r.one("TUNNEL", "none", "ngrok", "agent")),
		ExposeAll:  r.one("TUNNEL_EXPOSE", "graph", "all") == "all",
		NgrokToken: r.secret("NGROK_AUTHTOKEN"),
		NgrokURL:   r.endpoint("NGROK_URL"),
	}
	if u, ok := r.base(r.get("NGROK_AGENT_URL"), "http://127.0.0.1:4040"); ok {
		t.AgentURL = NewURL(u.String())
	}
	if t.Kind != NgrokTunnel && t.Kind != AgentTunnel {
		return t
	}
	if r.get("PUBLIC_URL").text != "" {
		r.wrong("TUNNEL", "is %s and PUBLIC_URL is set too, but the tunnel's URL is used as PUBLIC_URL: set either", t.Kind)
	}
	if t.Kind == NgrokTunnel && t.NgrokToken.IsZero() && !r.mistaken("NGROK_AUTHTOKEN") {
		r.wrong("NGROK_AUTHTOKEN", "is not set, but TUNNEL is ngrok: copy it from https://dashboard.ngrok.com/get-started/your-authtoken")
	}
	open := t.ExposeAll || t.Kind == AgentTunnel
	if open && l.PrivateAddr == "" && l.MonitorToken.IsZero() && !l.AllowAnonymous && !r.mistaken("MONITOR_TOKEN") {
		r.wrong("MONITOR_TOKEN", "is not set, and the tunnel leads from the internet to %s: write a long random token, or set PRIVATE_ADDR", l.ListenAddr)
	}
	return t
}
