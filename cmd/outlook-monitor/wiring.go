package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/ui"
	"outlook-monitor/internal/webhook"
)

// newService creates all parts, each from those above it, and opens the listeners. It makes
// no calls and starts nothing.
func newService(cfg serviceConfig) (_ *service, err error) {
	settings, log, build := cfg.settings, cfg.log, telemetry.Build()
	s := &service{settings: settings, log: log, expiry: map[string]func() time.Time{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()

	// Metrics and traces.
	metrics := telemetry.NewMetrics(build)
	s.seen = &observer{metrics: metrics, meter: ui.NewMeter()}
	tracing, err := telemetry.OpenTracing(context.Background(), build, metrics.Spans, log)
	if err != nil {
		return nil, settingError(err)
	}
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return tracing.Close(ctx)
	})

	// Clients of Redis, Graph and the mediator.
	if err := s.openStore(cfg.roots); err != nil {
		return nil, err
	}
	keys := newClientStates(settings.ClientStateKeys, s.store)
	login := graphConfig(settings.Graph)
	login.RootCAs, login.Observe, login.Log = cfg.roots, s.seen.graphAnswered, log
	if s.graph, err = graph.New(login); err != nil {
		return nil, settingError(err)
	}
	tokens := s.newTokens(cfg.roots)
	certificates, err := s.newCertificates()
	if err != nil {
		return nil, err
	}
	s.mediator, err = deliver.NewMediator(deliver.MediatorConfig{
		URL: settings.MediatorURL.URL(), Token: settings.MediatorToken.Reveal(), SigningSecrets: reveal(settings.SigningSecrets),
		Transport: tracing.Transport(deliver.NewTransport()),
	})
	if err != nil {
		return nil, err
	}

	// Ownership of mailboxes, and the work on those of this replica.
	var syncer *deliver.Syncer // created below, because it needs owners
	life := rand.Text()
	s.owners = partition.New(partition.Config{
		Life: life, Store: s.store, Settings: settingsDigest(settings), Fingerprint: fingerprint(settings),
		Answered: s.seen.sinceAccepted, Ping: s.graph.Ping,
		OnRollback: func(ctx context.Context) {
			_ = keys.read(ctx)   // stores the secret again; Run retries
			syncer.RequestSync() // users may have been added or removed since the older data was stored
		},
		Log: log,
	})
	s.registry = mailbox.New(mailbox.Config{
		Store: s.store, MayStart: s.owners.MayStart, Interval: settings.PollInterval,
		OnTable: s.owners.Refresh, OnPartition: s.seen.partitionChanged, OnUnknownHint: s.seen.unknownHint, Log: log,
	})
	s.deliverer = deliver.New(deliver.Config{
		Registry: s.registry, Mediator: s.mediator, InTime: s.owners.InTime, Concurrency: settings.DeliveryConcurrency,
		OnAttempt: s.seen.attempted, Tracer: tracing.Tracer(), Log: log,
	})
	polling := poll.Config{
		Registry: s.registry, Graph: s.graph, Policy: policy(settings), Interval: settings.PollInterval,
		InTime: s.owners.InTime, Share: s.owners.Share, Wait: s.owners.Wait, SetWait: s.owners.SetWait, BeginDelivery: s.deliverer.BeginDelivery,
		OnRead: s.seen.read, OnChange: s.seen.changed, OnLateNotification: s.seen.announcedLate, OnSweep: s.seen.presenceSwept,
		Tracer: tracing.Tracer(), Log: log,
	}
	if settings.PresenceSweep {
		polling.Presences = s.graph.Presences
	}
	s.poller = poll.New(polling)
	s.public = newPublicURL(settings)
	if s.public.current.Load() == nil && !s.public.tunnel {
		log.Warn("PUBLIC_URL is not set: no subscriptions, mailboxes are only polled", "interval", settings.PollInterval.String())
	}
	s.subscriber = subscribe.New(subscribe.Config{
		Registry: s.registry, Owners: s.owners, Graph: s.graph, Resources: settings.Resources, Lifetime: settings.Lifetime,
		URLs: s.public.forGraph, Keys: keys.keys, Certificate: certificates.Current, ReadNow: s.poller.ReadNow,
		Records: s.store.Load, SweepInterval: settings.SweepInterval, OnStep: s.seen.stepped, OnSweep: s.seen.swept, Log: log,
	})
	syncer = deliver.NewSyncer(deliver.SyncConfig{
		Mediator: s.mediator, Mark: s.store.SetSync, Pending: func() string { return s.owners.Table().SyncMark },
		OwnsPartition0: s.owners.OwnsPartition0, Clear: s.store.ClearSync, OnSync: s.seen.synced, Log: log,
	})

	// Requests of Graph, the mediator and operators.
	receiver := webhook.New(webhook.Config{
		Ready: s.ready.Load, LeaveHints: s.registry.LeaveHints, Keys: keys.keys, Tokens: tokens, Certificates: certificates,
		Public: server.NewPublic(server.PublicConfig{
			Rate: settings.PublicRateLimit, Allow: settings.PublicAllow, Proxies: settings.TrustedProxies,
			Concurrency: 256, Refused: s.seen.refused, Log: log,
		}),
		Counted: s.seen.notified, Answered: s.seen.answered, Tracer: tracing.Tracer(), Log: log,
	})
	access := server.NewAccess(server.AccessConfig{
		Token: settings.MonitorToken.Reveal(), AnyHost: settings.AllowAnonymous, Proxies: settings.TrustedProxies,
		Wrong: func() { s.seen.refused(http.StatusUnauthorized) }, Log: log,
	})
	private := api.New(api.Config{
		Wishes: s.store, Users: s.store, LeaveHints: s.registry.LeaveHints, Directory: s.graph, Wait: s.owners.Wait, SetWait: s.owners.SetWait,
		Sync: syncer.Sync, RequestSync: syncer.RequestSync, Ready: s.ready.Load, Checks: s.checks(),
		Metrics: metrics.Handler(), Access: access, Log: log, Level: cfg.level,
	})
	engine := api.NewEngine(log) // of the public listener
	privateEngine := engine
	if settings.PrivateAddr != "" { // the public one then serves only Graph's requests
		privateEngine = api.NewEngine(log)
	}
	page := ui.New(ui.Config{
		Store: s.store, Ready: s.ready.Load, API: privateEngine, Access: access,
		Token: settings.MonitorToken.Reveal(), Resources: len(resources(settings)), Interval: settings.PollInterval,
		Replica: life, Version: build.Version, Meter: s.seen.meter, Log: log,
	})
	registerReceiver(receiver, engine, settings.PublicURL)
	private.Register(privateEngine)
	page.Register(privateEngine)
	tlsConfig, err := s.newTLS()
	if err != nil {
		return nil, err
	}
	public := server.Listener{Listener: cfg.listener, TLS: tlsConfig, Handler: engine}
	if err := s.listen("LISTEN_ADDR", settings.ListenAddr, public); err != nil {
		return nil, err
	}
	if settings.PrivateAddr != "" {
		if err := s.listen("PRIVATE_ADDR", settings.PrivateAddr, server.Listener{Handler: privateEngine}); err != nil {
			return nil, err
		}
	}
	s.addTunnel(receiver)

	metrics.WatchGauges(s.gauges)

	endpoint, _ := login.Addresses()
	s.started = []any{"version", build.Version, "revision", build.Revision, "go", build.GoVersion,
		"listen", addresses(s.listeners), "graph", endpoint, "public_url", settings.PublicURL}
	s.base = append(s.base, s.graph.Run,
		func(ctx context.Context) error { return s.registry.Run(ctx, s.poller, s.deliverer, s.subscriber) },
		// Reading the gauges takes the locks of the owners, the registry and the queues, so it
		// never returns in a deadlock.
		watchdog(func() { s.ownedGauges() }, log))
	s.workers = append(s.workers,
		func(ctx context.Context) error { return s.owners.Run(ctx, s.registry) },
		keys.Run, s.poller.Run, s.deliverer.Run, s.subscriber.Run, syncer.Run, private.Run, page.Run)
	return s, nil
}
