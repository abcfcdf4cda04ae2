package main

import (
	"context"
	"io"
	stdlog "log"
	"log/slog"
	"strings"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/telemetry"
)

// serveCmd is the service.
type serveCmd struct {
	CheckConfig bool `name:"check-config" help:"Check the settings, print what would be used, and exit: 0, or 2 with all mistakes. Nothing is connected to."`

	config.Serve
}

// Run serves until ctx ends.
func (c *serveCmd) Run(ctx context.Context, getenv environment, out io.Writer) error {
	settings, err := c.Settings(getenv)
	if err != nil {
		return usage{mistakes(err)}
	}
	if c.CheckConfig {
		return c.checkConfig(settings, getenv, out)
	}
	level := new(slog.LevelVar)
	level.Set(settings.LogLevel)
	log := telemetry.NewLogger(out, level, settings.LogFormat)
	// net/http reports odd peers to its own log, with what they sent.
	stdlog.SetOutput(io.Discard)
	s, err := newService(serviceConfig{settings: settings, log: log, level: level})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// mistakes lists all that is wrong with the settings, a line each.
func mistakes(err error) string {
	lines := strings.Split(err.Error(), "\n")
	return "outlook-monitor: fix these settings (outlook-monitor serve --help lists all):\n  " + strings.Join(lines, "\n  ")
}
