package main

import (
	"context"
	"errors"
	"fmt"
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

// checkConfig creates the whole service, but on free loopback ports, and prints the effective
// settings. It runs nothing and makes no calls.
func (c *serveCmd) checkConfig(settings config.Settings, getenv environment, out io.Writer) error {
	settings.ListenAddr = "127.0.0.1:0"
	if settings.PrivateAddr != "" {
		settings.PrivateAddr = "127.0.0.1:0"
	}
	s, err := newService(serviceConfig{settings: settings, log: slog.New(slog.DiscardHandler), level: new(slog.LevelVar)})
	if _, ok := errors.AsType[usageError](err); ok {
		return err
	}
	if err != nil {
		return usageError{mistakes(err)}
	}
	if err := s.close(); err != nil {
		return err
	}
	table := newTable(out)
	table.row("SETTING", "VALUE", "FROM")
	for _, setting := range c.Effective(getenv) {
		table.row(setting.Name, setting.Value, setting.From)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "\nThe settings are valid. outlook-monitor doctor checks them against Graph, Redis and the mediator.")
	return err
}
