package main

import (
	"context"
	"net"
	"net/url"
	"sync/atomic"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/tunnel"
	"outlook-monitor/internal/webhook"
)

// publicURL is the URL under which Graph reaches the service. That of a tunnel is known only
// after the start, and may change.
type publicURL struct {
	tunnel  bool                    // the URL is a tunnel's
	open    atomic.Bool             // the URL leads here now, as far as is known
	current atomic.Pointer[url.URL] // nil: none
}

func newPublicURL(settings config.Settings) *publicURL {
	p := &publicURL{tunnel: settings.Tunnel.Used()}
	p.set(settings.PublicURL.Reveal())
	return p
}

// set sets the URL, which the settings or the tunnel have validated. An empty one means that there
// is none any more: subscriptions keep the last one, because a tunnel may open with it again.
func (p *publicURL) set(text string) {
	p.open.Store(text != "")
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		p.current.Store(u)
	}
}

// forGraph returns the URLs for subscriptions: empty ones without a public URL, and nil before a
// tunnel is open, because the tunnel may get the same URL again: subscriptions are kept until then.
func (p *publicURL) forGraph() *subscribe.URLs {
	base := p.current.Load()
	switch {
	case base != nil:
		return &subscribe.URLs{
			Notification: base.JoinPath(webhook.NotificationPath).String(), Lifecycle: base.JoinPath(webhook.LifecyclePath).String(),
		}
	case p.tunnel:
		return nil
	}
	return &subscribe.URLs{}
}

// addTunnel adds the tunnel to the public listener, unless TUNNEL is none. Unless TUNNEL_EXPOSE is
// all, only Graph's paths are reachable through it; for that of an agent, addTunnel replaces the
// handler of the listener.
func (s *service) addTunnel(receiver *webhook.Receiver) {
	l, t := &s.listeners[0], s.settings.Tunnel
	exposed := l.Handler
	if !t.ExposeAll {
		graphOnly := api.NewEngine(s.log)
		registerReceiver(receiver, graphOnly, s.settings.PublicURL)
		exposed = graphOnly
	} else if t.Used() && s.settings.PrivateAddr == "" {
		s.log.Warn("TUNNEL_EXPOSE is all: the internet reaches the private paths through the tunnel",
			"token_needed", !s.settings.MonitorToken.IsZero())
	}
	switch t.Kind {
	case config.NgrokTunnel:
		ngrok := &tunnel.Ngrok{
			Open: tunnel.Account{Token: t.NgrokToken.Reveal(), URL: t.NgrokURL}.Open,
			Serve: func(ctx context.Context, ln net.Listener) error {
				return server.Serve(ctx, server.Listener{Listener: ln, Handler: exposed}, s.log)
			},
			OnChange: s.public.set, Log: s.log,
		}
		s.workers = append(s.workers, ngrok.Run)
	case config.AgentTunnel:
		l.Handler = tunnel.Fence(l.Handler, exposed)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		agent := &tunnel.Agent{API: t.AgentURL.Reveal(), Port: port, OnChange: s.public.set, Log: s.log}
		s.workers = append(s.workers, agent.Run)
	}
}
