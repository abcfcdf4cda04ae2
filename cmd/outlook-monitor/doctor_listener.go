package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

var errNotServing = errors.New("the service is not running")

// listenForDoctor serves Graph's paths at LISTEN_ADDR, while the service is not running, until
// stop is called. It has no certificate from ACME: the doctor then makes no handshake.
func listenForDoctor(ctx context.Context, settings config.Settings) (stop func(), err error) {
	settings.ACMEDomains = nil
	log := slog.New(slog.DiscardHandler)
	l := server.Listener{}
	if l.TLS, err = (&service{settings: settings, log: log, expiry: map[string]func() time.Time{}}).newTLS(); err != nil {
		return nil, err
	}
	receiver := webhook.New(webhook.Config{
		Ready:  func() bool { return true },
		Public: server.NewPublic(server.PublicConfig{Concurrency: 16, Refused: func(int) {}, Log: log}),
		// Without keys the receiver answers 503 to notifications, so Graph sends them again.
		Keys:    func(context.Context) (ooo.ClientStateKeys, error) { return ooo.ClientStateKeys{}, errNotServing },
		Counted: func(string, int) {}, Answered: func(time.Duration) {}, Log: log,
	})
	engine := api.NewEngine(log)
	registerReceiver(receiver, engine, settings.PublicURL)
	l.Handler = engine
	if l.Listener, err = new(net.ListenConfig).Listen(ctx, "tcp", settings.ListenAddr); err != nil {
		return nil, err
	}
	serveCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(serveCtx, l, log) // the checks notice if it fails
	}()
	return func() { cancel(); <-ended }, nil
}
