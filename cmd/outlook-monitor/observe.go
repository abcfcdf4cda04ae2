package main

import (
	"context"
	"crypto/tls"
	"os"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/telemetry"
)

// openTracing decides where spans go, by OpenTelemetry's own variables.
func (s *service) openTracing() error {
	tracing, err := telemetry.OpenTracing(context.Background(), telemetry.Build(), os.Getenv, s.metrics.Exported, s.log)
	if err != nil {
		return usage{"outlook-monitor: " + err.Error()}
	}
	s.tracing = tracing
	return nil
}

// timed measures how fast Graph is answered: it judges by that how fast to send.
func (s *service) timed(c *gin.Context) {
	began := time.Now()
	c.Next()
	s.metrics.Answered(time.Since(began))
}

// watchCore adds the metrics that are read when Prometheus asks.
func (s *service) watchCore() {
	s.metrics.WatchGauges(s.gauges)
	s.metrics.WatchRedis(s.owners.InTime)
	s.metrics.WatchPool(func() telemetry.Pool {
		p := s.store.Pool()
		return telemetry.Pool{Total: int(p.TotalConns), Idle: int(p.IdleConns),
			Hits: p.Hits, Misses: p.Misses, Timeouts: p.Timeouts, Stale: p.StaleConns}
	})
	s.metrics.WatchProblems(rarely(time.Minute, func(ctx context.Context) (int, error) {
		report, err := s.store.Inspect(ctx)
		return len(report.Findings), err
	}))
}

// gauges describes what this replica owns. Every state that there may be is there, so
// that none disappears with its last user.
func (s *service) gauges() telemetry.Gauges {
	now := time.Now()
	resources := len(s.covering())
	g := telemetry.Gauges{
		Partitions: s.owners.Owned(), Covered: resources > 0, Waits: map[string]time.Duration{},
		States: map[string]int{}, Deliveries: map[string]int{}, Subscriptions: map[string]int{}, Backlog: map[string]telemetry.QueueState{},
	}
	for _, state := range []ooo.Condition{ooo.Pending, ooo.Watching, ooo.Unknown} {
		g.States[string(state)] = 0
	}
	for _, state := range []ooo.DeliveryState{ooo.DeliveryNone, ooo.DeliveryPending, ooo.DeliveryDelivered, ooo.DeliveryRefused} {
		g.Deliveries[string(state)] = 0
	}
	for _, state := range []ooo.SubscriptionState{ooo.SubscriptionCreating, ooo.SubscriptionLive, ooo.SubscriptionFailed,
		ooo.SubscriptionRemoved, expiredSubscription} {
		g.Subscriptions[string(state)] = 0
	}
	for _, name := range []string{poll.GraphWait, poll.DirectoryWait, poll.PresenceWait, subscribe.WaitName} {
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
		s.count(&g, m, resources, now)
	}
	return g
}

// expiredSubscription is the state of one whose time is up and that nobody has
// renewed.
const expiredSubscription ooo.SubscriptionState = "expired"

// count adds one mailbox.
func (s *service) count(g *telemetry.Gauges, m *ooo.Mailbox, resources int, now time.Time) {
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
			state = expiredSubscription
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
	if len(m.Addresses) > 0 && !m.ID.Unresolved() && live < resources {
		g.Uncovered++
	}
}

// watchLogin adds the metrics of what expires if nobody renews it.
func (s *service) watchLogin(cfg graph.Config) {
	credential := rarely(time.Minute, func(context.Context) (time.Time, error) { return cfg.CertificateExpires() })
	s.metrics.WatchLogin(s.graph.TokenExpires, func() time.Time {
		expires, err := credential(context.Background())
		if err != nil { // none, or the login says so
			return time.Time{}
		}
		return expires
	})
}

// expiry returns when the certificate that a listener shows ends.
func expiry(listener *tls.Config) func() time.Time {
	return func() time.Time {
		shown, err := listener.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil || shown.Leaf == nil {
			return time.Time{}
		}
		return shown.Leaf.NotAfter
	}
}

// rarely returns ask such that it is asked at most once in each interval; in
// between, what it answered last is good enough.
func rarely[T any](interval time.Duration, ask func(context.Context) (T, error)) func(context.Context) (T, error) {
	var mu sync.Mutex
	var asked time.Time
	var answer T
	var failed error
	return func(ctx context.Context) (T, error) {
		mu.Lock()
		defer mu.Unlock()
		if asked.IsZero() || failed != nil || time.Since(asked) > interval {
			answer, failed = ask(ctx)
			asked = time.Now()
		}
		return answer, failed
	}
}
