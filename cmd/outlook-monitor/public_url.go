package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"

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
	tunnel bool // the URL is a tunnel's

	mu  sync.Mutex
	url string // empty: none; guarded by mu
}

func newPublicURL(settings config.Settings) *publicURL {
	return &publicURL{tunnel: settings.Tunnel.Kind != config.NoTunnel, url: settings.PublicURL.Reveal()}
}

func (p *publicURL) set(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.url = url
}

func (p *publicURL) get() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url
}

// forGraph returns the URLs for subscriptions: empty ones without a public URL, and nil before a
// tunnel is open, because the tunnel may get the same URL again: subscriptions are kept until then.
func (p *publicURL) forGraph() (*subscribe.URLs, error) {
	public := p.get()
	switch {
	case public == "" && p.tunnel:
		return nil, nil
	case public == "":
		return &subscribe.URLs{}, nil
	}
	base, err := config.NewURL(public).Parse()
	if err != nil {
		return nil, fmt.Errorf("PUBLIC_URL: %w", err)
	}
	return &subscribe.URLs{
		Notification: base.JoinPath(webhook.NotificationPath).String(), Lifecycle: base.JoinPath(webhook.LifecyclePath).String(),
	}, nil
}

// newTunnel returns the task that runs the tunnel to a listener, nil if TUNNEL is none.
// Unless TUNNEL_EXPOSE is all, only Graph's paths are reachable through the tunnel.
func newTunnel(settings config.Settings, l *server.Listener, receiver *webhook.Receiver, public *publicURL, log *slog.Logger) task {
	t, exposed := settings.Tunnel, l.Handler
	if !t.ExposeAll {
		graphOnly := api.NewEngine(log)
		registerReceiver(receiver, graphOnly, settings.PublicURL)
		exposed = graphOnly
	}
	switch t.Kind {
	case config.NgrokTunnel:
		ngrok := &tunnel.Ngrok{
			Open: tunnel.Account{Token: t.NgrokToken.Reveal(), URL: t.NgrokURL}.Open,
			Serve: func(ctx context.Context, ln net.Listener) error {
				return server.Serve(ctx, server.Listener{Listener: ln, Handler: exposed}, log)
			},
			Opened: public.set, Log: log,
		}
		return ngrok.Run
	case config.AgentTunnel:
		l.Handler = server.Fence(l.Handler, exposed)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		agent := &tunnel.Agent{API: t.AgentURL.Reveal(), Port: port, Opened: public.set, Log: log}
		return agent.Run
	}
	return nil
}
