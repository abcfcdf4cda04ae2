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

// notificationsAtOnce limits the requests of Graph's that are worked on.
const notificationsAtOnce = 256

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
	access := server.NewAccess(server.AccessConfig{
		Token: settings.MonitorToken.Reveal(), AnyHost: settings.AllowAnonymous, Proxies: settings.TrustedProxies,
		Wrong: func() { s.metrics.Refused(http.StatusUnauthorized) }, Log: s.log,
	})
	s.private, err = api.New(api.Config{
		Store: s.store, Leave: s.registry.Leave, Directory: s.graph, Wait: s.owners.Wait, SetWait: s.setWait,
		Sync: s.syncer.Sync, Owe: s.syncer.Owe, Ready: s.ready.Load, Checks: s.checks(),
		Metrics: s.metrics.Handler(), Access: access, Log: s.log, Level: s.cfg.level,
	})
	if err != nil {
		return err
	}
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
	l := server.Listener{Listener: s.cfg.listener, Handler: server.Public(public, server.PublicConfig{
		Paths: guarded, Rate: settings.PublicRateLimit, Allow: settings.PublicAllow, Proxies: settings.TrustedProxies,
		Unread: webhook.IsHandshake, MaxBody: webhook.MaxBody, Concurrency: notificationsAtOnce,
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
		return s.openPrivate(public, access)
	}
	inside := s.engine()
	if err := s.openPrivate(inside, access); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", settings.PrivateAddr)
	if err != nil {
		return fmt.Errorf("listen: %w: choose another PRIVATE_ADDR", err)
	}
	s.listeners = append(s.listeners, server.Listener{Listener: ln, Handler: inside})
	return nil
}

// openPrivate adds what the mediator and operators use to an engine.
func (s *service) openPrivate(engine *gin.Engine, access *server.Access) error {
	s.private.Register(engine)
	return s.openUI(engine, access)
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
		switch called(c) {
		case "/healthz", "/readyz", "/metrics":
		case "/monitor": // says so itself, and keeps what was asked for
		default:
			handshake := slices.Contains(graphs, c.Request.URL.Path) && webhook.IsHandshake(c.Request.URL.RawQuery)
			if !s.ready.Load() && !handshake {
				c.Header("Retry-After", "1")
				c.Header("Connection", "close") // or the server would wait for the body
				c.AbortWithStatusJSON(http.StatusServiceUnavailable, gin.H{"error": "Redis is out of reach: try again"})
			}
		}
	})
	return e
}

// called is the path of a request without the slash that each may end in.
func called(c *gin.Context) string { return strings.TrimSuffix(c.Request.URL.Path, "/") }
