package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

// openListeners makes the two packages that answer and says which is reached where:
// with a private address, everything but Graph's callbacks is found there alone.
func (s *service) openListeners() error {
	settings := s.cfg.settings
	receiver, err := webhook.New(webhook.Config{
		Leave: s.registry.Leave, Keys: s.states.keys, Tokens: s.tokens, Certificates: s.sealed, Counted: s.metrics.Notified, Tracer: s.tracing.Tracer(), Log: s.log,
	})
	if err != nil {
		return err
	}
	private, err := api.New(api.Config{
		Store: s.store, Leave: s.registry.Leave, Directory: s.graph, Wait: s.owners.Wait, SetWait: s.setWait,
		Sync: s.syncer.Sync, Owe: s.syncer.Owe, Ready: s.ready.Load, Checks: s.checks(),
		Metrics: s.metrics.Handler(), Token: settings.MonitorToken.Reveal(), Hosts: s.hosts(), Log: s.log, Level: s.cfg.level,
	})
	if err != nil {
		return err
	}

	s.private = private

	groups, guarded := []string{"/"}, []string{webhook.NotificationPath, webhook.LifecyclePath}
	if base, err := settings.PublicURL.Parse(); err == nil && strings.Trim(base.Path, "/") != "" {
		// A proxy may pass the path of PUBLIC_URL on or take it off.
		groups = append(groups, base.Path)
		guarded = append(guarded, path.Join(base.Path, webhook.NotificationPath), path.Join(base.Path, webhook.LifecyclePath))
	}
	public := s.engine(guarded...)
	for _, group := range groups {
		receiver.Register(public.Group(group, s.timed))
	}
	open := http.Handler(public)
	if settings.PrivateAddr == "" {
		open = s.boundPrivate(public)
	}
	l := server.Listener{Listener: s.cfg.listener, Handler: server.Guard(s.boundGraph(open, guarded), server.GuardConfig{
		Paths: guarded, Rate: settings.PublicRateLimit, Allow: settings.PublicAllow, Proxies: settings.TrustedProxies,
		Refused: s.metrics.Refused, Log: s.log,
	})}
	if l.Listener == nil {
		if l.Listener, err = net.Listen("tcp", settings.ListenAddr); err != nil {
			return fmt.Errorf("listen: %w: choose another LISTEN_ADDR", err)
		}
	}
	s.listeners = append(s.listeners, l)
	if s.listeners[0].TLS, err = s.tls(); err != nil {
		return err
	}
	if settings.PrivateAddr == "" {
		private.Register(public)
		return s.openUI(public)
	}
	inside := s.engine()
	private.Register(inside)
	if err := s.openUI(inside); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", settings.PrivateAddr)
	if err != nil {
		return fmt.Errorf("listen: %w: choose another PRIVATE_ADDR", err)
	}
	s.listeners = append(s.listeners, server.Listener{Listener: ln, Handler: s.boundPrivate(inside)})
	return nil
}

// hosts says under which names the private paths answer: without a token only on
// loopback, or a page on another site could reach them through a name of its own that
// leads here; nil: any.
func (s *service) hosts() func(host string) bool {
	if !s.cfg.settings.MonitorToken.IsZero() || s.cfg.settings.AllowAnonymous {
		return func(string) bool { return true }
	}
	return api.LoopbackHost
}

// tls returns how the public listener speaks TLS; nil: not at all.
func (s *service) tls() (*tls.Config, error) {
	settings := s.cfg.settings
	switch {
	case settings.TLSCertFile != "":
		certificate, err := server.NewCertificate(settings.TLSCertFile, settings.TLSKeyFile, s.log)
		if err != nil {
			return nil, err
		}
		s.metrics.WatchExpiry("tls", expiry(certificate.TLS()))
		return certificate.TLS(), nil
	case len(settings.ACMEDomains) > 0:
		var err error
		s.acme, err = server.NewACME(server.ACMEConfig{
			Domains: settings.ACMEDomains, Email: settings.ACMEEmail, Directory: settings.ACMEDirectory, CAFile: settings.ACMECAFile,
			Vault: s.store.Vault("acme"), Log: s.log,
			Lock: func(ctx context.Context, name string) (func(context.Context) error, error) {
				return s.store.Lock(ctx, "acme:"+name, server.LockTime)
			},
		})
		if err != nil {
			return nil, err
		}
		return s.acme.TLS(), nil
	}
	return nil, nil
}

// engine returns an engine that says 503 to whatever needs Redis until its schema is
// known to be ours. A handshake on Graph's paths does not need it.
func (s *service) engine(graphs ...string) *gin.Engine {
	e := api.NewEngine(s.log)
	e.Use(func(c *gin.Context) {
		c.Next()
		if called(c) == "/monitor" && c.Writer.Status() == http.StatusServiceUnavailable {
			s.syncer.Owe()
		}
	}, func(c *gin.Context) {
		switch called(c) {
		case "/healthz", "/readyz", "/metrics":
		case "/monitor": // says so itself, and keeps what was asked for
		default:
			handshake := slices.Contains(graphs, c.Request.URL.Path) && webhook.IsHandshake(c.Request.URL.RawQuery)
			if !s.ready.Load() && !handshake {
				c.Header("Retry-After", "1")
				c.AbortWithStatusJSON(http.StatusServiceUnavailable, gin.H{"error": "Redis is out of reach: try again"})
			}
		}
	})
	return e
}

// called is the path of a request without the slash that each may end in.
func called(c *gin.Context) string { return strings.TrimSuffix(c.Request.URL.Path, "/") }
