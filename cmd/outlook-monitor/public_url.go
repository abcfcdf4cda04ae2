package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

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

	mu      sync.Mutex
	url     string        // empty: none; guarded by mu
	changed chan struct{} // closed when url changes; guarded by mu
}

func newPublicURL(settings config.Settings) *publicURL {
	return &publicURL{
		tunnel: settings.Tunnel.Kind != config.NoTunnel, url: settings.PublicURL.Reveal(), changed: make(chan struct{}),
	}
}

func (p *publicURL) set(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if url != p.url {
		close(p.changed)
		p.url, p.changed = url, make(chan struct{})
	}
}

// get returns the URL, and a channel that is closed when it changes.
func (p *publicURL) get() (url string, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url, p.changed
}

// follow calls set with the URLs for subscriptions, now and after each change, until ctx ends.
// It does not call set before a tunnel is open: the tunnel may get the same URL again, and
// subscriptions are kept until then.
func (p *publicURL) follow(ctx context.Context, set func(subscribe.URLs), interval time.Duration, log *slog.Logger) error {
	for {
		public, changed := p.get()
		if public != "" {
			base, err := config.NewURL(public).Parse()
			if err != nil {
				return fmt.Errorf("PUBLIC_URL: %w", err)
			}
			set(subscribe.URLs{
				Notification: base.JoinPath(webhook.NotificationPath).String(), Lifecycle: base.JoinPath(webhook.LifecyclePath).String(),
			})
		} else if !p.tunnel {
			log.WarnContext(ctx, "PUBLIC_URL is not set: no subscriptions, mailboxes are only polled", "interval", interval.String())
			set(subscribe.URLs{})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
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
