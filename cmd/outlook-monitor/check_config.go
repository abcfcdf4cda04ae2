package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"outlook-monitor/internal/config"
)

// checkConfig makes the whole service as serve would, but on free ports of
// loopback, runs nothing of it, and prints what would be used. No call is made.
func (c *serveCmd) checkConfig(settings config.Settings, getenv environment, out io.Writer) error {
	settings.ListenAddr = "127.0.0.1:0"
	if settings.PrivateAddr != "" {
		settings.PrivateAddr = "127.0.0.1:0"
	}
	s, err := newService(serviceConfig{settings: settings, log: slog.New(slog.DiscardHandler), level: new(slog.LevelVar)})
	switch {
	case errors.Is(err, errUsage):
		return err
	case err != nil:
		return usage{mistakes(err)}
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
