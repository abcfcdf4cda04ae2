package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/tunnel"
	"outlook-monitor/internal/webhook"
)

// examinedGraph is Graph as the doctor asks it.
type examinedGraph struct {
	*graph.Client
	logsInAs graph.Config
}

// Grant says what the token allows.
func (g examinedGraph) Grant(ctx context.Context) (doctor.Grant, error) {
	grant, err := g.Client.Grant(ctx)
	return doctor.Grant(grant), err
}

// CredentialExpires says when the certificate that logs in ends.
func (g examinedGraph) CredentialExpires() (time.Time, error) { return g.logsInAs.CertificateExpires() }

// Read reads one mailbox.
func (g examinedGraph) Read(ctx context.Context, id ooo.ObjectID) (ooo.Setting, error) {
	reading := g.Client.Read(ctx, []ooo.ObjectID{id}, nil)[0]
	return reading.Setting, reading.Err
}

// examinedRedis is Redis as the doctor asks it.
type examinedRedis struct{ *store.Store }

// Describe says what Redis is, what is wrong with how it is set up and what it refuses.
func (r examinedRedis) Describe(ctx context.Context) (doctor.RedisFacts, error) {
	report, err := r.Inspect(ctx)
	if err == nil {
		err = r.Check(ctx)
	}
	facts := doctor.RedisFacts{
		Server: report.Server, Form: report.Form, Keeping: report.Persistence, Policy: report.Policy, Memory: report.Memory,
	}
	if errors.Is(err, store.ErrNoMessages) {
		facts.Limit, err = err.Error(), nil
	}
	for _, unfit := range []error{
		store.ErrTooOld, store.ErrReplica, store.ErrOneOfACluster, store.ErrNewerSchema, store.ErrOlderSchema, store.ErrRefused,
	} {
		if errors.Is(err, unfit) {
			err = fmt.Errorf("%w: %w", doctor.ErrRedisUnfit, err)
			break
		}
	}
	for _, f := range report.Findings {
		fault := doctor.Fault{Problem: f.Problem, Remedy: f.Remedy}
		if len(f.Servers) > 0 {
			fault.Problem += " (" + strings.Join(f.Servers, ", ") + ")"
		}
		if f.Eviction {
			facts.Evicted = append(facts.Evicted, fault)
		} else {
			facts.Loss = append(facts.Loss, fault)
		}
	}
	return facts, err
}

// askAgent returns the URL of the tunnel that leads to LISTEN_ADDR.
func (p *patient) askAgent(ctx context.Context) (string, error) {
	_, port, err := net.SplitHostPort(p.settings.ListenAddr)
	if err != nil {
		return "", errors.New("LISTEN_ADDR has no port: write one such as :8080")
	}
	agent, err := tunnel.NewAgent(tunnel.AgentConfig{
		API: p.settings.Tunnel.AgentURL.Reveal(), Port: port, Opened: func(string) {},
	})
	if err != nil {
		return "", err
	}
	return agent.URL(ctx)
}

// standIn answers Graph in place of a service that does not run.
type standIn struct {
	settings config.Settings
	log      *slog.Logger
}

// listen answers until stop is called.
func (s standIn) listen(ctx context.Context) (stop func(), err error) {
	l := server.Listener{}
	if s.settings.TLSCertFile != "" {
		certificate, err := server.NewCertificate(s.settings.TLSCertFile, s.settings.TLSKeyFile, s.log)
		if err != nil {
			return nil, err
		}
		l.TLS = certificate.TLS()
	} else if len(s.settings.ACMEDomains) > 0 {
		l.TLS = &tls.Config{MinVersion: tls.VersionTLS12} // the service's own come from ACME
	}
	receiver, err := webhook.New(webhook.Config{Leave: leaveNothing, Keys: noKeys, Tracer: noop.Tracer{}, Log: s.log})
	if err != nil {
		return nil, err
	}
	engine := api.NewEngine(s.log)
	receiver.Register(engine)
	if base, err := s.settings.PublicURL.Parse(); err == nil && strings.Trim(base.Path, "/") != "" {
		receiver.Register(engine.Group(base.Path)) // as the service does
	}
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

// leaveNothing stores no hint: without keys no notification is believed, and Graph
// sends those that come again when the service runs.
func leaveNothing(context.Context, ...ooo.Hint) error { return errNotServing }

var errNotServing = errors.New("the service does not run yet")

func noKeys(context.Context) (ooo.ClientStateKeys, error) {
	return ooo.ClientStateKeys{}, errNotServing
}
