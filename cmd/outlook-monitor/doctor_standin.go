package main

import (
	"context"
	"crypto/tls"
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

var errNotServing = errors.New("the service does not run yet")

// standIn answers Graph in place of a service that does not run.
type standIn struct {
	settings config.Settings
	log      *slog.Logger
}

// listen answers until stop is called.
func (s standIn) listen(ctx context.Context) (stop func(), err error) {
	l := server.Listener{}
	if s.settings.TLSCertFile != "" {
		certificate, err := server.NewCertificate(server.CertificateConfig{
			Setting: "TLS", CertFile: s.settings.TLSCertFile, KeyFile: s.settings.TLSKeyFile, Log: s.log,
		})
		if err != nil {
			return nil, err
		}
		l.TLS = certificate.TLS()
	} else if len(s.settings.ACMEDomains) > 0 {
		l.TLS = &tls.Config{MinVersion: tls.VersionTLS12} // the service's own come from ACME
	}
	receiver := webhook.New(webhook.Config{
		Ready:  func() bool { return true },
		Public: server.NewPublic(server.PublicConfig{Concurrency: 16, Refused: func(int) {}, Log: s.log}),
		// Without keys no notification is believed, and Graph sends those that come again
		// when the service runs.
		Keys:    func(context.Context) (ooo.ClientStateKeys, error) { return ooo.ClientStateKeys{}, errNotServing },
		Counted: func(string, int) {}, Answered: func(time.Duration) {}, Log: s.log,
	})
	engine := api.NewEngine(s.log)
	registerReceiver(receiver, engine, s.settings.PublicURL)
	l.Handler = engine
	var listening net.ListenConfig
	if l.Listener, err = listening.Listen(ctx, "tcp", s.settings.ListenAddr); err != nil {
		return nil, err
	}
	under, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(under, l, s.log) // what can't be served is seen from outside
	}()
	return func() { cancel(); <-ended }, nil
}
