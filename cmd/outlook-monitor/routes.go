package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/webhook"
)

// openListeners makes the two rooms that listen and says who is reached where:
// with a private address, everything but Graph's callbacks is found there alone.
func (s *service) openListeners() error {
	settings := s.cfg.settings
	receiver, err := webhook.New(webhook.Config{
		Inbox: s.store, Keys: s.states.keys, Counted: s.metrics.Notified, Log: s.log,
	})
	if err != nil {
		return err
	}
	private, err := api.New(api.Config{
		Store: s.store, Directory: s.graph, Sync: s.syncer.Sync, Checks: s.checks(),
		Metrics: s.metrics.Handler(), Token: settings.MonitorToken.Reveal(), Log: s.log,
	})
	if err != nil {
		return err
	}

	public := s.engine()
	receiver.Register(public)
	if base, err := settings.PublicURL.Parse(); err == nil && strings.Trim(base.Path, "/") != "" {
		// A proxy may pass the path of PUBLIC_URL on or take it off.
		receiver.Register(public.Group(base.Path))
	}
	l := listener{Listener: s.cfg.listener, handler: public}
	if l.Listener == nil {
		if l.Listener, err = net.Listen("tcp", settings.ListenAddr); err != nil {
			return fmt.Errorf("listen: %w: choose another LISTEN_ADDR", err)
		}
	}
	s.listeners = append(s.listeners, l)
	if settings.TLSCertFile != "" {
		if s.listeners[0].tls, err = newCertificate(settings.TLSCertFile, settings.TLSKeyFile, s.log); err != nil {
			return err
		}
	}
	if settings.PrivateAddr == "" {
		private.Register(public)
		return nil
	}
	inside := s.engine()
	private.Register(inside)
	ln, err := net.Listen("tcp", settings.PrivateAddr)
	if err != nil {
		return fmt.Errorf("listen: %w: choose another PRIVATE_ADDR", err)
	}
	s.listeners = append(s.listeners, listener{Listener: ln, handler: inside})
	return nil
}

// engine returns an engine that says 503 to whatever needs Redis until its
// schema is known to be ours.
func (s *service) engine() *gin.Engine {
	e := api.NewEngine(s.log)
	e.Use(func(c *gin.Context) {
		switch c.Request.URL.Path {
		case "/healthz", "/readyz", "/metrics":
		default:
			if !s.ready.Load() {
				c.Header("Retry-After", "1")
				c.AbortWithStatusJSON(http.StatusServiceUnavailable, gin.H{"error": "Redis is out of reach: try again"})
			}
		}
	})
	return e
}
