package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/telemetry"
)

// devMediatorCmd runs the stand-in mediator alone, for development with scripts/dev.
type devMediatorCmd struct {
	Addr  string        `name:"addr" default:"127.0.0.1:5000" help:"Address to listen on."`
	Token config.Secret `name:"monitor-token" env:"MONITOR_TOKEN" placeholder:"SECRET" help:"The service's MONITOR_TOKEN."`
	URL   config.Secret `name:"monitor-url" env:"OUTLOOK_MONITOR_URL" placeholder:"URL" help:"Private address of the service; default ${default_server}."`
	Users []string      `arg:"" optional:"" name:"email" help:"Users that the service is asked to monitor."`
}

// received describes the state in a call to the mediator.
func received(call mediatorsim.Call) string {
	if call.Status == "True" {
		return fmt.Sprintf("is out of office: %q", printable(call.Message))
	}
	return "is in the office"
}

// Run serves until ctx ends and prints each state that it receives.
func (c *devMediatorCmd) Run(ctx context.Context, out io.Writer, errs stderr) error {
	monitor := c.URL.Reveal()
	if monitor == "" {
		monitor = defaultServer
	}
	mediator, err := mediatorsim.New(mediatorsim.Config{
		Addr: c.Addr, MonitorURL: monitor, MonitorToken: c.Token.Reveal(),
		Log: telemetry.NewLogger(errs, slog.LevelWarn, "text"),
		Received: func(call mediatorsim.Call) {
			fmt.Fprintf(out, "mediator: %s  %s %s (answered %d %s)\n", call.At.Format("15:04:05.000"),
				printable(call.Email), received(call), call.Answered, http.StatusText(call.Answered))
		},
	})
	if err != nil {
		return err
	}
	mediator.Add(c.Users...)
	if _, err := fmt.Fprintf(out, "mediator: listens at %s with %s\n", mediator.URL(), plural(len(c.Users), "user")); err != nil {
		return err
	}
	return mediator.Run(ctx)
}
