package main

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/telemetry"
)

// gauges returns all gauges.
func (s *service) gauges(ctx context.Context) telemetry.Gauges {
	g := s.ownedGauges()
	pool := s.store.PoolStats()
	g.RedisUp = s.owners.InTime()
	g.PoolConnections = map[string]int{"idle": int(pool.IdleConns), "used": int(pool.TotalConns - pool.IdleConns)}
	g.PoolEvents = map[string]int{
		"hit": int(pool.Hits), "miss": int(pool.Misses), "timeout": int(pool.Timeouts), "stale": int(pool.StaleConns),
	}
	if report, err := s.store.Inspect(ctx); err == nil {
		g.RedisProblems = new(len(report.Findings))
	}
	g.Token, g.Certificates = s.graph.TokenExpires(), map[string]time.Time{}
	if expires, err := graphConfig(s.settings.Graph).CertificateExpires(); err == nil { // otherwise there is none, or the login logs the error
		g.Credential = expires
	}
	for name, expires := range s.expiry {
		g.Certificates[name] = expires()
	}
	return g
}

// ownedGauges returns the gauges of what this replica owns. It includes all states, so that none
// disappears with its last user.
func (s *service) ownedGauges() telemetry.Gauges {
	now := time.Now()
	g := telemetry.Gauges{
		Partitions: s.owners.Owned(), Waits: map[string]time.Duration{},
		States: map[string]int{string(ooo.Pending): 0, string(ooo.Watching): 0, string(ooo.Unknown): 0},
		Deliveries: map[string]int{
			string(ooo.DeliveryNone): 0, string(ooo.DeliveryPending): 0, string(ooo.DeliveryDelivered): 0, string(ooo.DeliveryRefused): 0,
		},
		Waiting: map[string]int{}, Lag: map[string]time.Duration{},
	}
	if len(resources(s.settings)) > 0 {
		g.Uncovered = new(int)
		g.Subscriptions = map[string]int{
			string(ooo.SubscriptionCreating): 0, string(ooo.SubscriptionLive): 0, string(ooo.SubscriptionFailed): 0,
			string(ooo.SubscriptionRemoved): 0, subscriptionExpired: 0,
		}
	}
	for _, name := range []string{ooo.GraphWait, ooo.DirectoryWait, ooo.PresenceWait, ooo.SubscriptionWait} {
		g.Waits[name] = s.owners.Wait(name)
	}
	reads, windows, lookups := s.poller.Backlog(now)
	for work, b := range map[string]schedule.Backlog{
		"read": reads, "window": windows, "lookup": lookups,
		"deliver": s.deliverer.Backlog(now), "subscribe": s.subscriber.Backlog(now),
	} {
		g.Waiting[work], g.Lag[work] = b.Waiting, b.Lag
	}
	for m := range s.registry.All() {
		s.countMailbox(&g, m, now)
	}
	return g
}

// subscriptionExpired is the state of a live subscription whose time is up.
const subscriptionExpired = "expired"

// countMailbox adds one mailbox.
func (s *service) countMailbox(g *telemetry.Gauges, m *ooo.Mailbox, now time.Time) {
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
	if read := s.registry.LastRead(m.ID); m.Condition == ooo.Watching && m.Monitored() && !read.IsZero() {
		g.Unread = max(g.Unread, now.Sub(read))
	}
	if g.Uncovered == nil {
		return
	}
	for _, sub := range m.Subscriptions {
		state := string(sub.State)
		switch live := sub.State == ooo.SubscriptionLive; {
		case live && !sub.ExpiresAt.After(now):
			state = subscriptionExpired
		case live && (g.FirstExpiry.IsZero() || sub.ExpiresAt.Before(g.FirstExpiry)):
			g.FirstExpiry = sub.ExpiresAt
		}
		g.Subscriptions[state]++
	}
	if m.Monitored() && m.Summary(&m.Addresses[0]).Uncovered(len(resources(s.settings)), now) {
		*g.Uncovered++
	}
}
