package main

import (
	"context"
	"io"
	stdlog "log"
	"strings"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/telemetry"
)

// serveCmd is the service.
type serveCmd struct{ config.Serve }

// Run serves until ctx ends.
func (c *serveCmd) Run(ctx context.Context, getenv environment, out io.Writer) error {
	settings, err := c.Settings(getenv)
	if err != nil {
		return usage{mistakes(err)}
	}
	log := telemetry.NewLogger(out, settings.LogLevel, settings.LogFormat)
	// net/http tells its own log of odd peers, with what they sent.
	stdlog.SetOutput(io.Discard)
	s, err := newService(serviceConfig{settings: settings, log: log})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// mistakes lists all that is wrong with the settings, a line each.
func mistakes(err error) string {
	lines := strings.Split(err.Error(), "\n")
	return "outlook-monitor: these settings must be mended (outlook-monitor serve --help lists all):\n  " + strings.Join(lines, "\n  ")
}
