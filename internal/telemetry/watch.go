package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pool describes the connections to Redis.
type Pool struct {
	Total, Idle int // connections

	// Since the start: idle connections used, connections opened because none was idle,
	// waits that timed out, and stale connections closed.
	Hits, Misses, Timeouts, Stale uint32
}

// scrapeTimeout is how long a scrape waits for an answer from Redis.
const scrapeTimeout = time.Second

// WatchRedis adds whether Redis answered this replica's last ownership update. It may be
// called once.
func (m *Metrics) WatchRedis(answered func() bool) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "redis_up", Help: "Whether Redis answered this replica's last ownership update.",
	}, func() float64 {
		if answered() {
			return 1
		}
		return 0
	}))
}

// WatchPool adds the state of the pool, which read returns at each scrape. It may be called
// once.
func (m *Metrics) WatchPool(read func() Pool) {
	gauge := func(state string, value func(Pool) int) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "redis_pool_connections", Help: "Connections to Redis.",
			ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(value(read())) }))
	}
	gauge("idle", func(p Pool) int { return p.Idle })
	gauge("used", func(p Pool) int { return p.Total - p.Idle })
	count := func(event string, value func(Pool) uint32) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: namespace, Name: "redis_pool_events_total", Help: "Requests to the pool for a connection to Redis, by result.",
			ConstLabels: prometheus.Labels{"event": event},
		}, func() float64 { return float64(value(read())) }))
	}
	count("hit", func(p Pool) uint32 { return p.Hits })
	count("miss", func(p Pool) uint32 { return p.Misses })
	count("timeout", func(p Pool) uint32 { return p.Timeouts })
	count("stale", func(p Pool) uint32 { return p.Stale })
}

// WatchProblems adds the number of problems in the setup of Redis, which read counts at
// each scrape, within a second. The metric is absent without an answer. WatchProblems may
// be called once.
func (m *Metrics) WatchProblems(read func(context.Context) (int, error)) {
	m.registry.MustRegister(optionalGauge{
		prometheus.NewDesc(namespace+"_redis_problems", "Settings of Redis that may lose data: eviction, no persistence.", nil, nil),
		func() (float64, bool) {
			ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
			defer cancel()
			n, err := read(ctx)
			return float64(n), err == nil
		},
	})
}

// WatchLogin adds when the token for Graph and the credential that requests it expire.
// Each metric is absent while its time is zero, which means unknown. WatchLogin may be
// called once.
func (m *Metrics) WatchLogin(token, credential func() time.Time) {
	m.watchTime("graph_token_expiry_timestamp_seconds", "When the current token for Graph expires, in seconds since 1970.", nil, token)
	m.watchTime("credential_expiry_timestamp_seconds",
		"When the secret or certificate of the app registration expires, in seconds since 1970; absent if unknown.", nil, credential)
}

// WatchExpiry adds when a certificate expires. The metric is absent while the time is zero,
// which means unknown. WatchExpiry may be called once for each name.
func (m *Metrics) WatchExpiry(name string, expires func() time.Time) {
	m.watchTime("certificate_expiry_timestamp_seconds", "When a certificate expires, in seconds since 1970.",
		prometheus.Labels{"certificate": name}, expires)
}

func (m *Metrics) watchTime(name, help string, labels prometheus.Labels, at func() time.Time) {
	m.registry.MustRegister(optionalGauge{prometheus.NewDesc(namespace+"_"+name, help, nil, labels), func() (float64, bool) {
		t := at()
		return float64(t.Unix()), !t.IsZero()
	}})
}

// optionalGauge is a gauge that is absent while its value is unknown.
type optionalGauge struct {
	desc *prometheus.Desc
	read func() (value float64, ok bool)
}

// Describe implements prometheus.Collector.
func (g optionalGauge) Describe(out chan<- *prometheus.Desc) { out <- g.desc }

// Collect implements prometheus.Collector.
func (g optionalGauge) Collect(out chan<- prometheus.Metric) {
	if value, ok := g.read(); ok {
		out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, value)
	}
}
