package main

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/ui"
	"outlook-monitor/internal/webhook"
)

// newService creates all parts, each from those above it, and opens the listeners. It makes
// no calls and starts nothing.
func newService(cfg serviceConfig) (_ *service, err error) {
	settings, log, build := cfg.settings, cfg.log, telemetry.Build()
	s := &service{log: log, ready: new(atomic.Bool)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()

	// Metrics and traces.
	metrics := telemetry.NewMetrics(build)
	seen := &observer{metrics: metrics, meter: ui.NewMeter()}
	tracing, err := telemetry.OpenTracing(context.Background(), build, metrics.Exported, log)
	if err != nil {
		return nil, settingError(err)
	}
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return tracing.Close(ctx)
	})

	// Clients of Redis, Graph and the mediator.
	if err := s.openStore(cfg, metrics); err != nil {
		return nil, err
	}
	keys := newClientStates(settings.ClientStateKeys, s.store)
	login := graphConfig(settings.Graph)
	login.RootCAs, login.Observe, login.Log = cfg.roots, seen.graphAnswered, log
	graphClient, err := graph.New(login)
	if err != nil {
		return nil, settingError(err)
	}
	tokens := newTokens(settings.Graph, graphClient.AuthorityHost(), cfg.roots, log)
	expiry := map[string]func() time.Time{} // of certificates, by use
	certificates, err := newCertificates(settings, expiry, log)
	if err != nil {
		return nil, err
	}
	mediator, err := newMediator(settings, tracing)
	if err != nil {
		return nil, err
	}

	// Ownership of mailboxes, and the work on those of this replica.
	var syncer *deliver.Syncer // created below, because it needs owners
	life := rand.Text()
	owners := partition.New(partition.Config{
		Life: life, Store: s.store, Settings: settingsDigest(settings), Fingerprint: fingerprint(settings),
		Answered: seen.sinceAccepted, Ping: graphClient.Ping,
		OnRollback: func(ctx context.Context) {
			// Users may have been added or removed since the older data was stored.
			keys.restore(ctx, log)
			syncer.RequestSync()
		},
		Log: log,
	})
	registry := mailbox.New(mailbox.Config{
		Store: s.store, MayStart: owners.MayStart, Interval: settings.PollInterval,
		OnTable: owners.Refresh, OnPartition: metrics.PartitionChanged,
		OnUnknownHint: func(kind ooo.HintKind) { metrics.UnknownHint(string(kind)) }, Log: log,
	})
	deliverer := deliver.New(deliver.Config{
		Registry: registry, Mediator: mediator, InTime: owners.InTime, Concurrency: settings.DeliveryConcurrency,
		OnAttempt: seen.attempted, Tracer: tracing.Tracer(), Log: log,
	})
	polling := poll.Config{
		Registry: registry, Graph: graphClient, Policy: policy(settings), Interval: settings.PollInterval,
		InTime: owners.InTime, Share: owners.Share, Wait: owners.Wait, SetWait: owners.SetWait, BeginDelivery: deliverer.BeginDelivery,
		OnRead: seen.read, OnChange: seen.changed, OnLateNotification: metrics.AnnouncedLate, OnSweep: metrics.PresenceSwept,
		Tracer: tracing.Tracer(), Log: log,
	}
	if settings.PresenceSweep {
		polling.Presences = graphClient.Presences
	}
	poller := poll.New(polling)
	public := newPublicURL(settings)
	if public.current.Load() == nil && !public.tunnel {
		log.Warn("PUBLIC_URL is not set: no subscriptions, mailboxes are only polled", "interval", settings.PollInterval.String())
	}
	subscriber := subscribe.New(subscribe.Config{
		Registry: registry, Owners: owners, Graph: graphClient, Resources: settings.Resources, Lifetime: settings.Lifetime,
		URLs: public.forGraph, Keys: keys.keys, Certificate: certificates.Current, ReadNow: poller.ReadNow,
		Records: s.store.Load, SweepInterval: settings.SweepInterval, OnStep: seen.stepped, OnSweep: seen.swept, Log: log,
	})
	syncer = deliver.NewSyncer(deliver.SyncConfig{
		Mediator: mediator, Mark: s.store.SetSync, Pending: func() string { return owners.Table().SyncMark },
		OwnsPartition0: owners.OwnsPartition0, Clear: s.store.ClearSync, OnSync: metrics.Synced, Log: log,
	})

	// Requests of Graph, the mediator and operators.
	receiver := webhook.New(webhook.Config{
		Ready: s.ready.Load, LeaveHints: registry.LeaveHints, Keys: keys.keys, Tokens: tokens, Certificates: certificates,
		Public:  newPublic(settings, metrics, log),
		Counted: metrics.Notified, Answered: metrics.Answered, Tracer: tracing.Tracer(), Log: log,
	})
	access := newAccess(settings, metrics, log)
	checks := (&dependencies{
		store: s.store, embedded: settings.RedisURL.IsZero(), ready: s.ready, graph: graphClient, mediator: mediator, public: public, seen: seen,
	}).checks()
	private := api.New(api.Config{
		Wishes: s.store, Users: s.store, LeaveHints: registry.LeaveHints, Directory: graphClient, Wait: owners.Wait, SetWait: owners.SetWait,
		Sync: syncer.Sync, RequestSync: syncer.RequestSync, Ready: s.ready.Load, Checks: checks,
		Metrics: metrics.Handler(), Access: access, Log: log, Level: cfg.level,
	})
	engines := newEngines(settings, log)
	page := ui.New(ui.Config{
		Store: s.store, Replicas: s.store, Ready: s.ready.Load, API: engines.private, Access: access,
		Token: settings.MonitorToken.Reveal(), Resources: len(resources(settings)), Interval: settings.PollInterval,
		Replica: life, Version: build.Version, Meter: seen.meter, Log: log,
	})
	registerReceiver(receiver, engines.public, settings.PublicURL)
	private.Register(engines.private)
	page.Register(engines.private)
	tlsConfig, acme, err := newTLS(settings, s.store, expiry, log)
	if err != nil {
		return nil, err
	}
	if err := s.listen(cfg, engines, tlsConfig); err != nil {
		return nil, err
	}
	tunnel := newTunnel(settings, &s.listeners[0], receiver, public, log)

	gauges := &gaugeSource{
		owners: owners, registry: registry, poller: poller, deliverer: deliverer, subscriber: subscriber,
		resources: len(resources(settings)), store: s.store,
		problems: cached(time.Minute, func(ctx context.Context) (int, error) {
			report, err := s.store.Inspect(ctx)
			return len(report.Findings), err
		}),
		token:        graphClient.TokenExpires,
		credential:   cached(time.Minute, func(context.Context) (time.Time, error) { return login.CertificateExpires() }),
		certificates: expiry,
	}
	metrics.WatchGauges(gauges.scrape)

	s.started = []any{"version", build.Version, "revision", build.Revision, "go", build.GoVersion,
		"listen", addresses(s.listeners), "graph", graphClient.Endpoint(), "public_url", settings.PublicURL}
	s.base = append(s.base, graphClient.Run,
		func(ctx context.Context) error { return registry.Run(ctx, poller, deliverer, subscriber) },
		// Reading the gauges takes the locks of the owners, the registry and the queues, so it
		// never returns in a deadlock.
		watchdog(func() { gauges.owned() }, log))
	if tokens != nil {
		s.base = append(s.base, tokens.Run)
	}
	if certificates != nil {
		s.base = append(s.base, certificates.Run)
	}
	if tunnel != nil {
		s.incoming = append(s.incoming, tunnel)
	}
	s.workers = []task{
		func(ctx context.Context) error { return owners.Run(ctx, registry) },
		poller.Run, deliverer.Run, subscriber.Run, syncer.Run, private.Run, page.Run,
	}
	if acme != nil {
		s.workers = append(s.workers, acme.Run)
	}
	return s, nil
}
