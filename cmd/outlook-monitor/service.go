package main

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/ui"
	"outlook-monitor/internal/webhook"
)

// serviceConfig is what a service is made of.
type serviceConfig struct {
	settings config.Settings
	log      *slog.Logger
	level    *slog.LevelVar // of log

	listener net.Listener   // public; nil: the settings' address
	roots    *x509.CertPool // trusted for Graph; nil: the system's
}

// service is the whole program: the packages, wired together.
type service struct {
	cfg     serviceConfig
	log     *slog.Logger
	metrics *telemetry.Metrics
	tracing *telemetry.Tracing

	embedded *store.Embedded // nil: Redis is elsewhere
	store    *store.Store
	graph    *graph.Client
	states   *clientStates

	redisLogin *graph.TokenSource    // nil: REDIS_URL has the password
	tokens     *webhook.Tokens       // nil: validation tokens can't be checked
	sealed     *webhook.Certificates // nil: no resource data is asked for

	owners     *partition.Owners
	table      atomic.Pointer[store.Owners] // as the last round found it; nil: none yet
	registry   *mailbox.Registry
	poller     *poll.Poller
	deliverer  *deliver.Deliverer
	subscriber *subscribe.Subscriber
	syncer     *deliver.Syncer
	mediator   *deliver.Mediator

	listeners []server.Listener
	acme      *server.ACME // nil: certificates come from elsewhere
	tunnel    interface {
		Run(ctx context.Context) error
	} // nil: none
	public    publicAddress
	private   *api.API
	operators operators

	answers    answers     // of Graph
	handshakes callStatus  // of Graph with PUBLIC_URL
	ready      atomic.Bool // Redis was reached and its schema is ours
	loggedIn   atomic.Bool // a login worked once
}

// newService makes everything and listens; nothing runs yet and no call is made.
func newService(cfg serviceConfig) (*service, error) {
	build := telemetry.Build()
	s := &service{cfg: cfg, log: cfg.log, metrics: telemetry.NewMetrics(build), tracing: telemetry.NewTracing(build), operators: operators{meter: ui.NewMeter()}}
	for _, open := range []func() error{s.openTracing, s.openStore, s.openGraph, s.openTrust, s.openMediator, s.openCore, s.openListeners, s.openTunnel} {
		if err := open(); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	s.watchCore()
	return s, nil
}

// Run serves until ctx ends, and returns once everything in flight is finished and
// all partitions are released. What brings work stops first: the listeners. Then the
// workers stop starting, the partitions are drained and released, and at last the
// connections and the registry that they needed end.
func (s *service) Run(ctx context.Context) error {
	build := telemetry.Build()
	context.AfterFunc(ctx, func() { s.log.InfoContext(ctx, "stopping", "cause", context.Cause(ctx)) })
	s.log.InfoContext(ctx, "started", "version", build.Version, "revision", build.Revision, "go", build.GoVersion,
		"listen", addresses(s.listeners), "graph", s.graph.Endpoint(), "public_url", s.cfg.settings.PublicURL)

	under, stop := context.WithCancel(context.WithoutCancel(ctx))
	var connections errgroup.Group
	connections.Go(func() error { return s.graph.Run(under) })
	connections.Go(func() error { return s.registry.Run(under, s.poller, s.deliverer, s.subscriber) })
	if s.redisLogin != nil {
		connections.Go(func() error { return s.redisLogin.Run(under) })
	}
	if s.tokens != nil {
		connections.Go(func() error { return s.tokens.Run(under) })
	}
	if s.sealed != nil {
		connections.Go(func() error { return s.sealed.Run(under) })
	}

	work, working := errgroup.WithContext(ctx)
	for _, l := range s.listeners {
		work.Go(func() error { return server.Serve(working, l, s.log) })
	}
	if s.tunnel != nil {
		work.Go(func() error { return s.tunnel.Run(working) })
	}
	work.Go(func() error { return s.work(working) })
	err := work.Wait()
	stop()
	return errors.Join(err, connections.Wait(), s.close())
}

func addresses(listeners []server.Listener) (all []string) {
	for _, l := range listeners {
		all = append(all, l.Addr().String())
	}
	return all
}

// work waits for Redis, then joins the other replicas and works on the mailboxes
// that this one owns.
func (s *service) work(ctx context.Context) error {
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
	g.Go(func() error { return s.owners.Run(ctx, s.registry) })
	g.Go(func() error { return s.poller.Run(ctx) })
	g.Go(func() error { return s.deliverer.Run(ctx) })
	g.Go(func() error { return s.subscriber.Run(ctx) })
	g.Go(func() error { return s.followPublicURL(ctx) })
	g.Go(func() error { return s.syncer.Run(ctx) })
	g.Go(func() error { return s.private.Run(ctx) })
	g.Go(func() error { return s.operators.Run(ctx) })
	g.Go(func() error { return s.askGraph(ctx) })
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
		s.store.Close()
	}
	if s.embedded != nil {
		s.embedded.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(append(errs, s.tracing.Close(ctx))...)
}

// checks are the dependencies that /readyz reports. The mediator may be away for hours
// without harm, and Graph too once a login has worked: then the service still takes
// requests and notifications, and must be reached.
func (s *service) checks() []api.Check {
	return []api.Check{
		{Name: "redis", Required: true, Probe: s.probeRedis},
		{Name: "graph", Required: true, Excused: s.loggedIn.Load, Probe: func(ctx context.Context) (string, error) {
			if err := s.graph.Token(ctx); err != nil {
				return "", err
			}
			s.loggedIn.Store(true)
			return "", s.answers.problem()
		}},
		{Name: "mediator", Probe: func(ctx context.Context) (string, error) { return "", s.mediator.Reach(ctx) }},
		{Name: "public_url", Probe: s.probePublic},
	}
}
