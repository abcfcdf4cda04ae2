package main

import (
	"context"
	"errors"
	"net"
	"sync"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/tunnel"
	"outlook-monitor/internal/webhook"
)

// publicAddress is the URL under which Graph reaches the service now. With a
// tunnel it comes late, and may change.
type publicAddress struct {
	mu    sync.Mutex
	url   string        // guarded by mu; empty: none
	moved chan struct{} // closed when url changes; guarded by mu
}

// set gives the address and tells those who wait for another.
func (p *publicAddress) set(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved != nil && url == p.url {
		return
	}
	if p.moved != nil {
		close(p.moved)
	}
	p.url, p.moved = url, make(chan struct{})
}

// now returns the address, and what is closed when it is another.
func (p *publicAddress) now() (url string, moved <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url, p.moved
}

func (p *publicAddress) get() string {
	url, _ := p.now()
	return url
}

// openTunnel makes the tunnel of the settings, if there is one, and says what is
// reached through it. It comes after the listeners.
func (s *service) openTunnel() (err error) {
	settings, way := s.cfg.settings.Tunnel, &s.listeners[0]
	s.public.set(s.cfg.settings.PublicURL.Reveal())
	paths := []string{webhook.NotificationPath, webhook.LifecyclePath}
	switch settings.Kind {
	case config.NgrokTunnel:
		handler := way.Handler
		if !settings.ExposeAll {
			handler = server.Only(handler, paths...)
		}
		s.tunnel, err = tunnel.NewNgrok(tunnel.NgrokConfig{
			Open: tunnel.Account{Token: settings.NgrokToken.Reveal(), URL: settings.NgrokURL}.Open,
			Serve: func(ctx context.Context, ln net.Listener) error {
				return server.Serve(ctx, server.Listener{Listener: ln, Handler: handler}, s.log)
			},
			Opened: s.public.set, Log: s.log,
		})
	case config.AgentTunnel:
		if !settings.ExposeAll {
			way.Handler = server.Fence(way.Handler, paths...)
		}
		_, port, _ := net.SplitHostPort(way.Addr().String())
		s.tunnel, err = tunnel.NewAgent(tunnel.AgentConfig{
			API: settings.AgentURL.Reveal(), Port: port, Opened: s.public.set, Log: s.log,
		})
	}
	return err
}

// probePublic says under which address Graph reaches the service, and whether it
// could lately.
func (s *service) probePublic(context.Context) (string, error) {
	public := s.public.get()
	switch {
	case public == "" && s.tunnel != nil:
		return "", errors.New("the tunnel is not open yet: the log says why")
	case public == "":
		return "not set: no subscriptions, mailboxes are only polled", nil
	}
	return config.NewURL(public).String(), s.handshakes.problem()
}
