package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/subscribe"
)

// fingerprint tells services apart that must not share data: of another tenant, app
// or Graph.
func (s *service) fingerprint() string {
	g := s.cfg.settings.Graph
	endpoint, _, _ := graphConfig(g).Addresses() // settings that are wrong are told by graph.New
	return digest(g.TenantID, g.ClientID, endpoint)
}

// settingsDigest is the same for replicas whose settings have the same effect on
// mailboxes: during a rolling upgrade the newer ones win.
func (s *service) settingsDigest() string {
	settings := s.cfg.settings
	return digest(settings.PublicURL.Reveal(), strings.Join(settings.Resources, ","), settings.Lifetime.String(), s.policy().Tag(),
		strings.Join(settings.EncryptionCertFiles, ","))
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

func (s *service) policy() ooo.Policy {
	settings := s.cfg.settings
	return ooo.Policy{
		Scheduled: ooo.ScheduledMode(settings.Scheduled), Message: ooo.MessageSource(settings.Message), Limit: settings.MessageLimit,
	}
}

// redisScope is what a token for Azure Managed Redis is asked for, in every cloud.
const redisScope = "https://redis.azure.com/.default"

func (s *service) openStore() (err error) {
	url := s.cfg.settings.RedisURL.Reveal()
	if url == "" {
		if s.embedded, err = store.Embed(); err != nil {
			return fmt.Errorf("start the embedded Redis: %w", err)
		}
		url = s.embedded.URL()
		s.log.Warn("REDIS_URL is not set: Redis runs inside this process and its state is gone at exit")
	}
	cfg := store.Config{URL: url, Fingerprint: s.fingerprint(), Observe: s.metrics.RedisAnswered, Log: s.log}
	if s.cfg.settings.RedisEntra {
		login := graphConfig(s.cfg.settings.Graph)
		login.RootCAs, login.Observe, login.Log = s.cfg.roots, s.metrics.GraphAnswered, s.log.With("for", "redis")
		renewed := func(user, token string) { s.store.LogInAgain(user, token) }
		if s.redisLogin, err = graph.NewTokenSource(login, redisScope, renewed); err != nil {
			return usage{"outlook-monitor: " + err.Error()}
		}
		cfg.Token = s.redisLogin.Token
	}
	if s.store, err = store.Open(cfg); err != nil {
		return usage{"outlook-monitor: " + err.Error()}
	}
	s.states = newClientStates(s.cfg.settings.ClientStateKeys, s.store)
	return nil
}

// graphConfig is who logs in to which Graph.
func graphConfig(g config.Graph) graph.Config {
	return graph.Config{
		Cloud: g.Cloud, Endpoint: g.Endpoint, AuthorityHost: g.AuthorityHost,
		TenantID: g.TenantID, ClientID: g.ClientID,
		ClientSecret: g.ClientSecret.Reveal(), CertificatePath: g.CertificatePath,
		CertificatePassword: g.CertificatePassword.Reveal(), FederatedTokenFile: g.FederatedTokenFile,
		ManagedIdentity: g.Credential == config.ManagedIdentity, ManagedIdentityClientID: g.ClientID,
	}
}

func (s *service) openGraph() (err error) {
	cfg := graphConfig(s.cfg.settings.Graph)
	cfg.RootCAs, cfg.Observe, cfg.Log = s.cfg.roots, s.graphAnswered, s.log
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

// openCore makes what owns mailboxes and the workers on them.
func (s *service) openCore() (err error) {
	settings := s.cfg.settings
	s.owners, err = partition.New(partition.Config{
		Store: s.store, Settings: s.settingsDigest(), Fingerprint: s.fingerprint(), Answered: s.answers.sinceAccepted,
		OnTable: func(t store.Owners) { s.table.Store(&t) }, OnOlder: s.redisCameBackOlder, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.registry, err = mailbox.New(mailbox.Config{
		Store: s.store, MayStart: s.owners.MayStart, Interval: settings.PollInterval,
		OnWait: s.owners.ApplyWait, OnPartition: s.metrics.PartitionChanged, OnDamaged: s.metrics.Damaged,
		OnUnknownHint: func(kind ooo.HintKind) { s.metrics.UnknownHint(string(kind)) }, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.deliverer = deliver.New(deliver.Config{
		Registry: s.registry, Mediator: s.mediator, InTime: s.owners.InTime, Concurrency: settings.DeliveryConcurrency,
		Tracer: s.tracing.Tracer(), Log: s.log, OnAttempt: s.attempted,
	})
	if err := s.openPoller(); err != nil {
		return err
	}
	if err := subscribe.CheckResources(settings.Resources, s.sealed != nil); err != nil {
		return usage{"outlook-monitor: " + err.Error()}
	}
	s.subscriber = subscribe.New(subscribe.Config{
		Registry: s.registry, Owners: s.owners, Graph: s.graph, Resources: settings.Resources, Lifetime: settings.Lifetime,
		Keys: s.states.keys, Certificate: s.certificate, SetWait: s.setWait, ReadNow: s.poller.ReadNow, Records: s.store.Load,
		SweepEvery: settings.SweepInterval, OnStep: s.stepped, OnSweep: s.swept, Log: s.log,
	})
	s.syncer = deliver.NewSyncer(deliver.SyncConfig{
		Mediator: s.mediator, Mark: s.markSync, Pending: s.syncMark, First: s.owners.First, Clear: s.store.ClearSync,
		OnSync: s.metrics.Synced, Log: s.log,
	})
	return nil
}

func (s *service) openPoller() (err error) {
	settings := s.cfg.settings
	cfg := poll.Config{
		Registry: s.registry, Graph: s.graph, Policy: s.policy(), Interval: settings.PollInterval,
		Share: s.owners.Share, Replicas: s.owners.Replicas, Wait: s.owners.Wait, SetWait: s.setWait,
		BeginDelivery: s.deliverer.BeginDelivery,
		OnRead: func(outcome poll.Outcome, late time.Duration) {
			s.metrics.Read(string(outcome), late)
			s.operators.meter.Read(late)
		},
		OnChange: s.changed, OnLateNotification: s.metrics.AnnouncedLate, OnSweep: s.metrics.PresenceSwept,
		Tracer: s.tracing.Tracer(), Log: s.log,
	}
	if settings.PresenceSweep {
		cfg.Presences = s.graph.Presences
	}
	s.poller, err = poll.New(cfg)
	return err
}

// changed hears of each change that was recorded.
func (s *service) changed(c poll.Change) {
	s.metrics.Changed(string(c.Source), c.Took)
	if c.Source == ooo.SourceNotification {
		s.metrics.AnnouncedFirst(c.Lead)
	}
}

// attempted hears of each attempt to deliver a state.
func (s *service) attempted(state ooo.DeliveryState, source ooo.Source, took, since time.Duration) {
	delivered := state == ooo.DeliveryDelivered
	s.metrics.Delivered(string(state), string(source), delivered, took, since)
	if delivered {
		s.operators.meter.Delivered(since)
	}
}

// setWait lets all replicas wait as long as Graph asked the app to.
func (s *service) setWait(ctx context.Context, name string, d time.Duration) error {
	s.owners.ApplyWait(name, store.Wait{Until: time.Now().Add(d), Length: d})
	return s.store.SetWait(ctx, name, d)
}

// redisCameBackOlder puts back what only Redis knew and has the mediator asked for
// its users: some may have been added or removed since the older data was kept.
func (s *service) redisCameBackOlder(ctx context.Context) {
	if err := s.states.restore(ctx); err != nil {
		s.log.WarnContext(ctx, "clientState secret not restored in redis, retrying later", "err", err)
	}
	s.syncer.Owe()
}

// markSync leaves the mark that asks for a sync. Unless replace is set, one that is
// there stays.
func (s *service) markSync(ctx context.Context, mark string, replace bool) error {
	if replace {
		return s.store.SetSync(ctx, mark)
	}
	_, err := s.store.SwapOwners(ctx, store.Swap{Field: store.FieldSync, New: mark})
	return err
}

// syncMark returns the mark that asks for a sync, as the last round found it.
func (s *service) syncMark() string {
	if t := s.table.Load(); t != nil {
		return t.SyncMark
	}
	return ""
}

// alone says whether no other replica is in the table.
func (s *service) alone() bool {
	t := s.table.Load()
	return t == nil || len(t.Beats) < 2
}
