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

// serveCmd runs the service.
type serveCmd struct {
	CheckConfig bool `name:"check-config" help:"Check the settings, print the effective ones, and exit: 0, or 2 with all mistakes. No connection is made."`

	config.Serve
}

// Run serves until ctx ends.
func (c *serveCmd) Run(ctx context.Context, getenv environment, out io.Writer) error {
	settings, err := readSettings(&c.Serve, getenv)
	if err != nil {
		return usageError{mistakes(err)}
	}
	if c.CheckConfig {
		return c.checkConfig(settings, getenv, out)
	}
	level := new(slog.LevelVar)
	level.Set(settings.LogLevel)
	log := telemetry.NewLogger(out, level, settings.LogFormat)
	// net/http logs malformed requests, with their content, to the standard logger.
	stdlog.SetOutput(io.Discard)
	s, err := newService(serviceConfig{settings: settings, log: log, level: level})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// mistakes formats the mistakes in the settings, one per line.
func mistakes(err error) string {
	lines := strings.Split(err.Error(), "\n")
	return "outlook-monitor: fix these settings (outlook-monitor serve --help lists all):\n  " + strings.Join(lines, "\n  ")
}
