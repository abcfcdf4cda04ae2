package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

// engines are the same engine, or with PRIVATE_ADDR two: then the public one serves only
// Graph's requests.
type engines struct{ public, private *gin.Engine }

func newEngines(settings config.Settings, log *slog.Logger) engines {
	e := engines{public: api.NewEngine(log)}
	if e.private = e.public; settings.PrivateAddr != "" {
		e.private = api.NewEngine(log)
	}
	return e
}

// registerReceiver adds the routes for Graph, also below the path of PUBLIC_URL, which a proxy
// may keep or remove.
func registerReceiver(receiver *webhook.Receiver, engine *gin.Engine, publicURL config.Secret) {
	receiver.Register(engine)
	if base, err := publicURL.Parse(); err == nil && strings.Trim(base.Path, "/") != "" {
		receiver.Register(engine.Group(base.Path))
	}
}

// listen opens the listeners of LISTEN_ADDR and PRIVATE_ADDR.
func (s *service) listen(cfg serviceConfig, e engines, tlsConfig *tls.Config) (err error) {
	settings, ln := cfg.settings, cfg.listener
	if ln == nil {
		if ln, err = net.Listen("tcp", settings.ListenAddr); err != nil {
			return fmt.Errorf("listen: %w: choose another LISTEN_ADDR", err)
		}
	}
	s.closers = append(s.closers, ln.Close)
	s.listeners = append(s.listeners, server.Listener{Listener: ln, TLS: tlsConfig, Handler: e.public})
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
