package main

import (
	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/ui"
)

// operators is the operator's page and what it counts.
type operators struct {
	*ui.UI
	meter *ui.Meter
}

// openUI adds the operator's page to the engine that answers the API.
func (s *service) openUI(private *gin.Engine, access *server.Access) (err error) {
	settings := s.cfg.settings
	s.operators.UI, err = ui.New(ui.Config{
		Store: s.store, Leave: s.registry.Leave, API: private, Access: access, Token: settings.MonitorToken.Reveal(), Resources: len(s.covering()),
		Interval: settings.PollInterval, Version: telemetry.Build().Version, Meter: s.operators.meter, Log: s.log,
	})
	if err == nil {
		s.operators.Register(private)
	}
	return err
}

// covering are the resources that each user is to be covered for; none without a
// public address.
func (s *service) covering() []string {
	if s.cfg.settings.PublicURL.IsZero() && s.cfg.settings.Tunnel.Kind == config.NoTunnel {
		return nil
	}
	return s.cfg.settings.Resources
}
