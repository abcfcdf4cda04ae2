package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"outlook-monitor/internal/config"
)

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
