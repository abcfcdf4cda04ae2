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
	"outlook-monitor/internal/redisstore"
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

// timed measures how fast Graph is answered: by that it judges how fast to send.
func (s *service) timed(c *gin.Context) {
	began := time.Now()
	c.Next()
	s.metrics.Answered(time.Since(began))
}

// tracer is tracing as the rooms see it.
type tracer struct{ *telemetry.Tracing }

// Begin implements [ooo.Tracer].
func (t tracer) Begin(ctx context.Context, name, parent string, at time.Time) (context.Context, ooo.Span) {
	return t.Tracing.Begin(ctx, name, parent, at)
}

// tracer returns what makes spans; nil if they would go nowhere.
func (s *service) tracer() ooo.Tracer {
	if !s.tracing.Exports() {
		return nil
	}
	return tracer{s.tracing}
}

// watchStore adds the metrics that are asked of Redis when Prometheus asks.
func (s *service) watchStore() {
	s.metrics.WatchBoard(func(ctx context.Context) (telemetry.Board, error) {
		monitored, depths, err := s.store.Depths(ctx)
		board := telemetry.Board{Monitored: monitored}
		for _, d := range depths {
			board.Queues = append(board.Queues, telemetry.QueueState{
				Queue: string(d.Queue), Depth: d.Users, Lag: d.Lag})
		}
		return board, err
	})
	s.metrics.WatchCensus(s.census)
	s.metrics.WatchPool(func() telemetry.Pool {
		p := s.store.Pool()
		return telemetry.Pool{Total: int(p.TotalConns), Idle: int(p.IdleConns),
			Hits: p.Hits, Misses: p.Misses, Timeouts: p.Timeouts, Stale: p.StaleConns}
	})
	s.metrics.WatchProblems(rarely(time.Minute, func(ctx context.Context) (int, error) {
		findings, err := s.store.Inspect(ctx)
		return len(findings), err
	}))
}

// census turns the store's into the metrics'. Every state that there may be is
// told, so that none disappears with its last user.
func (s *service) census(ctx context.Context) (telemetry.Census, error) {
	resources := s.covering()
	c, err := s.store.Census(ctx, resources)
	if err != nil {
		return telemetry.Census{}, err
	}
	t := telemetry.Census{
		States: map[string]int{}, Deliveries: map[string]int{}, Subscriptions: map[string]int{}, Held: map[string]time.Duration{},
		Away: c.Away, Covered: len(resources) > 0, Uncovered: c.Uncovered, FirstExpiry: c.FirstExpiry,
	}
	for _, state := range []ooo.Condition{ooo.Pending, ooo.Watching, ooo.Unknown} {
		t.States[string(state)] = c.Conditions[state]
	}
	for _, state := range []ooo.DeliveryState{ooo.DeliveryNone, ooo.DeliveryPending, ooo.DeliveryDelivered, ooo.DeliveryRefused} {
		t.Deliveries[string(state)] = c.Deliveries[state]
	}
	for _, state := range []ooo.SubscriptionState{ooo.SubscriptionCreating, ooo.SubscriptionLive, ooo.SubscriptionFailed,
		ooo.SubscriptionRemoved, redisstore.ExpiredSubscription} {
		t.Subscriptions[string(state)] = c.Subscriptions[state]
	}
	for q, until := range c.Holds {
		t.Held[string(q)] = max(until.Sub(c.At), 0)
	}
	if !c.PendingSince.IsZero() {
		t.Undelivered = c.At.Sub(c.PendingSince)
	}
	if !c.ReadAt.IsZero() {
		t.Unread = c.At.Sub(c.ReadAt)
	}
	return t, nil
}

// watchLogin adds the metrics of what ends some day if nobody renews it.
func (s *service) watchLogin(cfg graph.Config) {
	credential := rarely(time.Minute, func(context.Context) (time.Time, error) { return cfg.CertificateExpires() })
	s.metrics.WatchLogin(s.graph.TokenExpires, func() time.Time {
		expires, err := credential(context.Background())
		if err != nil { // none, or the login tells of it
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
