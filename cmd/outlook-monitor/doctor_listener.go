package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/certs"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

var errNotServing = errors.New("the service is not running")

// doctorListener serves Graph's paths while the service is not running.
type doctorListener struct {
	settings config.Settings
	log      *slog.Logger
}

// listen serves LISTEN_ADDR until stop is called.
func (s doctorListener) listen(ctx context.Context) (stop func(), err error) {
	l := server.Listener{}
	if s.settings.TLSCertFile != "" {
		certificate, err := certs.NewFiles(certs.FilesConfig{
			CertFile: s.settings.TLSCertFile, KeyFile: s.settings.TLSKeyFile, Log: s.log,
		})
		if err != nil {
			return nil, err
		}
		l.TLS = certificate.TLS()
	} else if len(s.settings.ACMEDomains) > 0 {
		l.TLS = &tls.Config{MinVersion: tls.VersionTLS12} // without a certificate: the service's comes from ACME
	}
	receiver := webhook.New(webhook.Config{
		Ready:  func() bool { return true },
		Public: server.NewPublic(server.PublicConfig{Concurrency: 16, Refused: func(int) {}, Log: s.log}),
		// Without keys the receiver answers 503 to notifications, so Graph sends them again.
		Keys:    func(context.Context) (ooo.ClientStateKeys, error) { return ooo.ClientStateKeys{}, errNotServing },
		Counted: func(string, int) {}, Answered: func(time.Duration) {}, Log: s.log,
	})
	engine := api.NewEngine(s.log)
	registerReceiver(receiver, engine, s.settings.PublicURL)
	l.Handler = engine
	if l.Listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.settings.ListenAddr); err != nil {
		return nil, err
	}
	serveCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(serveCtx, l, s.log) // the checks notice if it fails
	}()
	return func() { cancel(); <-ended }, nil
}
