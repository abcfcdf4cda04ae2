package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/front"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/ui"
	"outlook-monitor/internal/watch"
	"outlook-monitor/internal/webhook"
)

// serviceConfig is what a service is made of.
type serviceConfig struct {
	settings config.Settings
	log      *slog.Logger
	level    *slog.LevelVar // of log; nil: it can't be changed

	listener net.Listener   // public; nil: the settings' address
	roots    *x509.CertPool // trusted for Graph; nil: the system's
}

// service is the whole program: the rooms, tied together.
type service struct {
	cfg     serviceConfig
	log     *slog.Logger
	metrics *telemetry.Metrics
	tracing *telemetry.Tracing

	embedded *redisstore.Embedded // nil: Redis is elsewhere
	store    *redisstore.Store
	graph    *graph.Client
	states   *clientStates
	tokens   *webhook.Tokens       // nil: validation tokens can't be checked
	sealed   *webhook.Certificates // nil: no resource data is asked for

	listeners []front.Listener
	acme      *front.ACME // nil: certificates come from elsewhere
	tunnel    interface {
		Run(ctx context.Context) error
	} // nil: none
	public    publicAddress
	watcher   *watch.Watcher
	presence  *watch.PresenceSweep // nil: none
	deliverer *deliver.Deliverer
	syncer    *deliver.Syncer
	mediator  *deliver.Mediator
	private   *api.API
	operators operators

	calls      pulse       // of Graph
	handshakes pulse       // of Graph with PUBLIC_URL
	ready      atomic.Bool // Redis was reached and its schema is ours
	logged     atomic.Bool // a login worked once
}

// newService makes everything and listens; nothing runs yet and no call is made.
func newService(cfg serviceConfig) (*service, error) {
	build := telemetry.Build()
	s := &service{cfg: cfg, log: cfg.log, metrics: telemetry.NewMetrics(build), tracing: telemetry.NewTracing(build), operators: operators{meter: ui.NewMeter()}}
	for _, make := range []func() error{s.openTracing, s.openStore, s.openGraph, s.openTrust, s.openMediator, s.openLoops, s.openListeners, s.openTunnel} {
		if err := make(); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

func (s *service) openStore() (err error) {
	url := s.cfg.settings.RedisURL.Reveal()
	if url == "" {
		if s.embedded, err = redisstore.Embed(); err != nil {
			return fmt.Errorf("start the embedded Redis: %w", err)
		}
		url = s.embedded.URL()
		s.log.Warn("REDIS_URL is not set: Redis runs inside this process and its state is gone at exit")
	}
	s.store, err = redisstore.Open(redisstore.Config{URL: url, Observe: s.metrics.RedisAnswered, Log: s.log})
	if err != nil {
		return usage{"outlook-monitor: " + err.Error()}
	}
	s.states = newClientStates(s.cfg.settings.ClientStateKeys, s.store)
	s.watchStore()
	return nil
}

func (s *service) openGraph() (err error) {
	g := s.cfg.settings.Graph
	cfg := graph.Config{
		Cloud: g.Cloud, Endpoint: g.Endpoint, AuthorityHost: g.AuthorityHost,
		TenantID: g.TenantID, ClientID: g.ClientID,
		ClientSecret: g.ClientSecret.Reveal(), CertificatePath: g.CertificatePath,
		CertificatePassword: g.CertificatePassword.Reveal(), FederatedTokenFile: g.FederatedTokenFile,
		ManagedIdentity: g.Credential == config.ManagedIdentity, ManagedIdentityClientID: g.ClientID,
		RootCAs: s.cfg.roots, Observe: s.graphAnswered, Log: s.log,
		LoginFailed: sync.OnceFunc(func() { s.log.Warn("no login to Microsoft Graph works: see outlook-monitor doctor") }),
	}
	if s.graph, err = graph.New(cfg); err != nil {
		return usage{"outlook-monitor: " + err.Error()}
	}
	s.watchLogin(cfg)
	return nil
}

func (s *service) openMediator() error {
	settings := s.cfg.settings
	base, err := settings.MediatorURL.Parse()
	if err != nil {
		return fmt.Errorf("MEDIATOR_URL: %w", err)
	}
	cfg := deliver.MediatorConfig{URL: base, Token: settings.MediatorToken.Reveal(), Transport: s.tracing.Transport(deliver.NewTransport())}
	for _, secret := range settings.SigningSecrets {
		cfg.SigningSecrets = append(cfg.SigningSecrets, secret.Reveal())
	}
	s.mediator, err = deliver.NewMediator(cfg)
	return err
}

func (s *service) openLoops() (err error) {
	settings := s.cfg.settings
	s.watcher, err = watch.New(watch.Config{
		Queue: s.store, Store: s.store, Graph: s.graph, Interval: settings.PollInterval, Tracer: s.tracer(), Log: s.log,
		Policy: ooo.Policy{Scheduled: ooo.ScheduledMode(settings.Scheduled), Message: ooo.MessageSource(settings.Message)},
		Looked: func(outcome watch.Outcome, late time.Duration) {
			s.metrics.Read(string(outcome), late)
			s.operators.meter.Read(late)
		},
		Late: s.metrics.AnnouncedLate,
		Noticed: func(n watch.Noticed) {
			took := time.Duration(0)
			if !n.Claim.MarkedAt.IsZero() {
				took = n.At.Sub(n.Claim.MarkedAt)
			}
			s.metrics.Changed(string(n.Claim.Source), took)
			if n.Claim.Source == ooo.SourceNotification {
				s.metrics.AnnouncedFirst(n.Claim.Lead)
			}
		},
	})
	if err != nil {
		return err
	}
	if settings.PresenceSweep {
		s.presence, err = watch.NewPresenceSweep(watch.PresenceConfig{
			Store: s.store, Presences: s.graph.Presences, Swept: s.metrics.PresenceSwept, Log: s.log,
		})
		if err != nil {
			return err
		}
	}
	s.deliverer, err = deliver.New(deliver.Config{
		Queue: s.store, Store: s.store, Mediator: s.mediator, Workers: settings.DeliveryConcurrency, Tracer: s.tracer(), Log: s.log,
		Told: func(r ooo.Receipt, took, since time.Duration) {
			s.metrics.Told(string(r.State), string(r.Parcel.Source), r.State == ooo.DeliveryDelivered, took, since)
			s.operators.told(r, since)
		},
	})
	if err != nil {
		return err
	}
	s.syncer, err = deliver.NewSyncer(deliver.SyncConfig{
		Mediator: s.mediator, Store: s.store, Synced: s.metrics.Synced, Restore: s.states.restore, Log: s.log,
	})
	return err
}

// covers is the store as the subscriber sees it.
type covers struct{ *redisstore.Store }

// SpendWrite takes one from the budget of subscription writes.
func (c covers) SpendWrite(ctx context.Context, kept float64) (time.Duration, error) {
	return c.Spend(ctx, redisstore.Budget{Name: "subscriptions", Rate: subscribe.WriteRate, Burst: subscribe.WriteBurst}, kept)
}

// Run serves until ctx ends, and returns once everything in hand is finished or
// given back. What stops first is what brings work: the listeners and the loops,
// in any order, because all that passes between them lies in Redis; then the
// connections that they needed.
func (s *service) Run(ctx context.Context) error {
	build := telemetry.Build()
	context.AfterFunc(ctx, func() { s.log.InfoContext(ctx, "stopping", "cause", context.Cause(ctx)) })
	s.log.InfoContext(ctx, "started", "version", build.Version, "revision", build.Revision, "go", build.GoVersion,
		"listen", addresses(s.listeners), "graph", s.graph.Endpoint(), "public_url", s.cfg.settings.PublicURL)

	under, stop := context.WithCancel(context.WithoutCancel(ctx))
	var connections errgroup.Group
	connections.Go(func() error { return s.store.Run(under) })
	connections.Go(func() error { return s.graph.Run(under) })
	if s.tokens != nil {
		connections.Go(func() error { return s.tokens.Run(under) })
	}
	if s.sealed != nil {
		connections.Go(func() error { return s.sealed.Run(under) })
	}
	if s.embedded != nil {
		connections.Go(func() error { return s.embedded.Run(under) })
	}

	work, working := errgroup.WithContext(ctx)
	for _, l := range s.listeners {
		work.Go(func() error { return front.Serve(working, l, s.log) })
	}
	if s.tunnel != nil {
		work.Go(func() error { return s.tunnel.Run(working) })
	}
	work.Go(func() error { return s.loops(working) })
	err := work.Wait()
	stop()
	return errors.Join(err, connections.Wait(), s.close())
}

func addresses(listeners []front.Listener) (all []string) {
	for _, l := range listeners {
		all = append(all, l.Addr().String())
	}
	return all
}

// loops waits for Redis and then runs what works on the queues.
func (s *service) loops(ctx context.Context) error {
	if err := s.store.Ready(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if err := s.inspect(ctx); err != nil {
		return err
	}
	s.ready.Store(true)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.watcher.Run(ctx) })
	if s.presence != nil {
		g.Go(func() error { return s.presence.Run(ctx) })
	}
	g.Go(func() error { return s.cover(ctx) })
	g.Go(func() error { return s.deliverer.Run(ctx) })
	g.Go(func() error { return s.syncer.Run(ctx) })
	g.Go(func() error { return s.private.Run(ctx) })
	g.Go(func() error { return s.operators.Run(ctx) })
	if s.acme != nil {
		g.Go(func() error { return s.acme.Run(ctx) })
	}
	return g.Wait()
}

// close gives back what newService took.
func (s *service) close() error {
	var errs []error
	for _, l := range s.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.embedded != nil {
		s.embedded.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(append(errs, s.tracing.Close(ctx))...)
}

// checks are the dependencies that /readyz tells of. The mediator may be away
// for hours without harm, and Graph too once a login has worked: then the
// service still takes requests and notifications, and must be reached.
func (s *service) checks() []api.Check {
	return []api.Check{
		{Name: "redis", Required: true, Probe: s.probeRedis},
		{Name: "graph", Required: true, Excused: s.logged.Load, Probe: func(ctx context.Context) (string, error) {
			if err := s.graph.Token(ctx); err != nil {
				return "", err
			}
			s.logged.Store(true)
			return "", s.calls.trouble()
		}},
		{Name: "mediator", Probe: func(ctx context.Context) (string, error) { return "", s.mediator.Reach(ctx) }},
		{Name: "public_url", Probe: s.probePublic},
	}
}
