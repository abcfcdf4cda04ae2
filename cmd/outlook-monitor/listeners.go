package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/ui"
	"outlook-monitor/internal/webhook"
)

// notificationsAtOnce limits the requests of Graph's that are worked on.
const notificationsAtOnce = 256

// engines answer requests. With PRIVATE_ADDR they are two, and everything but Graph's
// requests is answered at that address alone.
type engines struct {
	public, private *gin.Engine
	prefixes        []string // below which Graph's paths are
	graphPaths      []string
}

func newEngines(settings config.Settings, ready *atomic.Bool, log *slog.Logger) *engines {
	e := &engines{prefixes: graphPrefixes(settings.PublicURL)}
	for _, prefix := range e.prefixes {
		e.graphPaths = append(e.graphPaths, path.Join(prefix, webhook.NotificationPath), path.Join(prefix, webhook.LifecyclePath))
	}
	e.public = newEngine(ready, e.graphPaths, log)
	if e.private = e.public; settings.PrivateAddr != "" {
		e.private = newEngine(ready, nil, log)
	}
	return e
}

// graphPrefixes returns the paths below which Graph's requests arrive: a proxy may pass
// the path of PUBLIC_URL on, or remove it.
func graphPrefixes(publicURL config.URL) []string {
	prefixes := []string{"/"}
	if base, err := publicURL.Parse(); err == nil && strings.Trim(base.Path, "/") != "" {
		prefixes = append(prefixes, base.Path)
	}
	return prefixes
}

// newEngine returns an engine that answers 503 to whatever needs Redis until its schema
// is known to be ours. A handshake on Graph's paths does not need it.
func newEngine(ready *atomic.Bool, graphPaths []string, log *slog.Logger) *gin.Engine {
	e := api.NewEngine(log)
	e.Use(func(c *gin.Context) {
		switch strings.TrimSuffix(c.Request.URL.Path, "/") {
		case "/healthz", "/readyz", "/metrics":
		case "/monitor": // says so itself, and keeps what was asked for
		default:
			handshake := slices.Contains(graphPaths, c.Request.URL.Path) && webhook.IsHandshake(c.Request.URL.RawQuery)
			if !ready.Load() && !handshake {
				c.Header("Retry-After", "1")
				c.Header("Connection", "close") // or the server would wait for the body
				c.AbortWithStatusJSON(http.StatusServiceUnavailable, gin.H{"error": "Redis is out of reach: try again"})
			}
		}
	})
	return e
}

// register adds all routes. Answers to Graph are timed: it judges by that how fast to
// send.
func (e *engines) register(receiver *webhook.Receiver, private *api.API, page *ui.UI, metrics *telemetry.Metrics) {
	timed := func(c *gin.Context) {
		began := time.Now()
		c.Next()
		metrics.Answered(time.Since(began))
	}
	for _, prefix := range e.prefixes {
		receiver.Register(e.public.Group(prefix, timed))
	}
	private.Register(e.private)
	page.Register(e.private)
}

// listen opens LISTEN_ADDR and, if it is set, PRIVATE_ADDR.
func (s *service) listen(cfg serviceConfig, e *engines, tlsConfig *tls.Config, metrics *telemetry.Metrics) (err error) {
	settings, ln := cfg.settings, cfg.listener
	if ln == nil {
		if ln, err = net.Listen("tcp", settings.ListenAddr); err != nil {
			return fmt.Errorf("listen: %w: choose another LISTEN_ADDR", err)
		}
	}
	s.closers = append(s.closers, ln.Close)
	s.listeners = append(s.listeners, server.Listener{
		Listener: ln, TLS: tlsConfig,
		Handler: server.Public(e.public, server.PublicConfig{
			Paths: e.graphPaths, Rate: settings.PublicRateLimit, Allow: settings.PublicAllow, Proxies: settings.TrustedProxies,
			Unread: webhook.IsHandshake, MaxBody: webhook.MaxBody, Concurrency: notificationsAtOnce,
			Refused: metrics.Refused, Log: s.log,
		}),
	})
	if settings.PrivateAddr == "" {
		return nil
	}
	if ln, err = net.Listen("tcp", settings.PrivateAddr); err != nil {
		return fmt.Errorf("listen: %w: choose another PRIVATE_ADDR", err)
	}
	s.closers = append(s.closers, ln.Close)
	s.listeners = append(s.listeners, server.Listener{Listener: ln, Handler: e.private})
	return nil
}
