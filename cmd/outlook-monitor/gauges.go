package main

import (
	"context"
	"sync"
	"time"

	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/telemetry"
)

// gaugeSource reads the gauges of what this replica owns when Prometheus scrapes.
type gaugeSource struct {
	owners     *partition.Owners
	registry   *mailbox.Registry
	poller     *poll.Poller
	deliverer  *deliver.Deliverer
	subscriber *subscribe.Subscriber
	resources  int // subscriptions that each mailbox should have
}

// read returns all states, so that none disappears with its last user.
func (s gaugeSource) read() telemetry.Gauges {
	now := time.Now()
	g := telemetry.Gauges{
		Partitions: s.owners.Owned(), Covered: s.resources > 0, Waits: map[string]time.Duration{},
		States: map[string]int{}, Deliveries: map[string]int{}, Subscriptions: map[string]int{}, Backlog: map[string]telemetry.QueueState{},
	}
	for _, state := range []ooo.Condition{ooo.Pending, ooo.Watching, ooo.Unknown} {
		g.States[string(state)] = 0
	}
	for _, state := range []ooo.DeliveryState{ooo.DeliveryNone, ooo.DeliveryPending, ooo.DeliveryDelivered, ooo.DeliveryRefused} {
		g.Deliveries[string(state)] = 0
	}
	for _, state := range []ooo.SubscriptionState{ooo.SubscriptionCreating, ooo.SubscriptionLive, ooo.SubscriptionFailed,
		ooo.SubscriptionRemoved, subscriptionExpired} {
		g.Subscriptions[string(state)] = 0
	}
	for _, name := range []string{ooo.GraphWait, ooo.DirectoryWait, ooo.PresenceWait, ooo.SubscriptionWait} {
		g.Waits[name] = s.owners.Wait(name)
	}
	reads, windows, lookups := s.poller.Backlog(now)
	for work, b := range map[string]schedule.Backlog{
		"read": reads, "window": windows, "lookup": lookups,
		"deliver": s.deliverer.Backlog(now), "subscribe": s.subscriber.Backlog(now),
	} {
		g.Backlog[work] = telemetry.QueueState{Waiting: b.Waiting, Lag: b.Lag}
	}
	for m := range s.registry.All() {
		s.count(&g, m, now)
	}
	return g
}

// subscriptionExpired is the state of a live subscription whose time is up.
const subscriptionExpired ooo.SubscriptionState = "expired"

// count adds one mailbox.
func (s gaugeSource) count(g *telemetry.Gauges, m *ooo.Mailbox, now time.Time) {
	if !m.ID.Unresolved() {
		g.Mailboxes++
	}
	for i := range m.Addresses {
		a := &m.Addresses[i]
		g.Addresses++
		g.States[string(m.Condition)]++
		g.Deliveries[string(a.Delivery.State)]++
		if m.State != nil && m.State.Away {
			g.Away++
		}
		if a.Delivery.State == ooo.DeliveryPending {
			g.Undelivered = max(g.Undelivered, now.Sub(a.QueuedAt))
		}
	}
	if read := s.registry.LastRead(m.ID); m.Condition == ooo.Watching && len(m.Addresses) > 0 && !read.IsZero() {
		g.Unread = max(g.Unread, now.Sub(read))
	}
	live := 0
	for _, sub := range m.Subscriptions {
		state := sub.State
		if state == ooo.SubscriptionLive && !sub.ExpiresAt.After(now) {
			state = subscriptionExpired
		}
		g.Subscriptions[string(state)]++
		if state != ooo.SubscriptionLive {
			continue
		}
		live++
		if g.FirstExpiry.IsZero() || sub.ExpiresAt.Before(g.FirstExpiry) {
			g.FirstExpiry = sub.ExpiresAt
		}
	}
	if len(m.Addresses) > 0 && !m.ID.Unresolved() && live < s.resources {
		g.Uncovered++
	}
}

// watchStore adds the metrics of Redis that are read when Prometheus scrapes.
func watchStore(metrics *telemetry.Metrics, s *store.Store, inTime func() bool) {
	metrics.WatchRedis(inTime)
	metrics.WatchPool(func() telemetry.Pool {
		p := s.PoolStats()
		return telemetry.Pool{Total: int(p.TotalConns), Idle: int(p.IdleConns),
			Hits: p.Hits, Misses: p.Misses, Timeouts: p.Timeouts, Stale: p.StaleConns}
	})
	metrics.WatchProblems(cached(time.Minute, func(ctx context.Context) (int, error) {
		report, err := s.Inspect(ctx)
		return len(report.Findings), err
	}))
}

// watchLogin adds the expiry of tokens and of the login certificate.
func watchLogin(metrics *telemetry.Metrics, client *graph.Client, cfg graph.Config) {
	credential := cached(time.Minute, func(context.Context) (time.Time, error) { return cfg.CertificateExpires() })
	metrics.WatchLogin(client.TokenExpires, func() time.Time {
		expires, err := credential(context.Background())
		if err != nil { // there is none, or the login logs the error
			return time.Time{}
		}
		return expires
	})
}

// cached returns a read that reuses its last value for interval. Errors are not reused.
func cached[T any](interval time.Duration, read func(context.Context) (T, error)) func(context.Context) (T, error) {
	var mu sync.Mutex
	var readAt time.Time
	var value T
	var err error
	return func(ctx context.Context) (T, error) {
		mu.Lock()
		defer mu.Unlock()
		if readAt.IsZero() || err != nil || time.Since(readAt) > interval {
			value, err = read(ctx)
			readAt = time.Now()
		}
		return value, err
	}
}
