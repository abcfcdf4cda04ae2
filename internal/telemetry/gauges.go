package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Gauges describes what this replica owns, and what it depends on, now.
type Gauges struct {
	Partitions, Mailboxes int
	Addresses             int            // monitored addresses, including those not found in the directory yet
	States                map[string]int // addresses by state
	Deliveries            map[string]int // addresses by the delivery of their newest state
	Away                  int            // addresses whose user is out of office

	// Undelivered is how long the oldest undelivered state has been waiting. Unread is the
	// time since the oldest last read, of the mailboxes that can be read. 0 if there is
	// none.
	Undelivered, Unread time.Duration

	Covered       bool           // whether subscriptions are configured; if not, the next three are unused
	Subscriptions map[string]int // by state
	Uncovered     int            // mailboxes that are not unknown but lack a live subscription
	FirstExpiry   time.Time      // of the live subscriptions; zero if there is none

	// Waits is how much longer Graph wants the whole app to pause, by scope.
	Waits map[string]time.Duration

	// Scheduled work, by kind.
	Waiting map[string]int           // entries, due or not
	Lag     map[string]time.Duration // how long the most overdue entry has been due; 0 if none is

	RedisUp         bool           // Redis answered the last ownership update
	RedisProblems   *int           // settings of Redis that may lose data; nil if unknown
	PoolConnections map[string]int // connections to Redis, by state
	PoolEvents      map[string]int // requests for one of them since the start, by result

	// When they expire; zero if unknown.
	Token, Credential time.Time            // for Graph, and what requests it
	Certificates      map[string]time.Time // by use
}

// scrapeTimeout is how long a scrape waits for an answer from Redis.
const scrapeTimeout = time.Second

// WatchGauges adds the gauges that read returns at each scrape, before its context ends. It
// may be called once.
func (m *Metrics) WatchGauges(read func(context.Context) Gauges) {
	m.registry.MustRegister(gaugesCollector{read})
}

type gaugesCollector struct{ read func(context.Context) Gauges }

// Describe implements prometheus.Collector. It sends nothing, which makes the collector
// unchecked.
func (gaugesCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c gaugesCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	g := c.read(ctx)
	labelled := func(kind prometheus.ValueType, name, help, label string, values map[string]float64) {
		desc := prometheus.NewDesc(namespace+"_"+name, help, []string{label}, nil)
		for labelValue, value := range values {
			out <- prometheus.MustNewConstMetric(desc, kind, value, labelValue)
		}
	}
	gauges := func(name, help, label string, values map[string]float64) {
		labelled(prometheus.GaugeValue, name, help, label, values)
	}
	gauge := func(name, help string, value float64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(namespace+"_"+name, help, nil, nil), prometheus.GaugeValue, value)
	}
	expiry := func(name, help string, at time.Time) {
		if !at.IsZero() {
			gauge(name, help, unix(at))
		}
	}
	gauge("owned_partitions", "Partitions that this replica owns; 64 over all replicas.", count(g.Partitions))
	gauge("mailboxes", "Mailboxes that this replica owns.", count(g.Mailboxes))
	gauge("addresses", "Monitored addresses that this replica owns.", count(g.Addresses))
	gauges("users", "Monitored users that this replica owns, by state.", "state", floats(g.States, count))
	gauge("users_away", "Monitored users that this replica owns who are out of office.", count(g.Away))
	gauges("users_by_delivery", "Monitored users that this replica owns, by the delivery of their newest state.", "delivery",
		floats(g.Deliveries, count))
	gauge("undelivered_seconds", "How long the oldest undelivered state has been waiting.", seconds(g.Undelivered))
	gauge("unread_seconds", "Time since the oldest last read, of the mailboxes that can be read.", seconds(g.Unread))
	gauges("graph_wait_seconds", "How much longer Graph wants the whole app to pause, by scope.", "scope", floats(g.Waits, seconds))
	gauges("backlog", "Work that this replica has scheduled, due or not.", "work", floats(g.Waiting, count))
	gauges("backlog_lag_seconds", "How long the most overdue work of this replica has been due.", "work", floats(g.Lag, seconds))
	up := 0
	if g.RedisUp {
		up = 1
	}
	gauge("redis_up", "Whether Redis has answered an ownership update of this replica within 2.5 s.", count(up))
	if g.RedisProblems != nil {
		gauge("redis_problems", "Settings of Redis that may lose data: eviction, no persistence.", count(*g.RedisProblems))
	}
	gauges("redis_pool_connections", "Connections to Redis.", "state", floats(g.PoolConnections, count))
	labelled(prometheus.CounterValue, "redis_pool_events_total", "Requests to the pool for a connection to Redis, by result.", "event",
		floats(g.PoolEvents, count))
	expiry("graph_token_expiry_timestamp_seconds", "When the current token for Graph expires, in seconds since 1970.", g.Token)
	expiry("credential_expiry_timestamp_seconds",
		"When the secret or certificate of the app registration expires, in seconds since 1970; absent if unknown.", g.Credential)
	gauges("certificate_expiry_timestamp_seconds", "When a certificate expires, in seconds since 1970.", "certificate",
		floats(g.Certificates, unix))
	if !g.Covered {
		return
	}
	gauges("subscriptions", "Subscriptions of the mailboxes that this replica owns, by state.", "state", floats(g.Subscriptions, count))
	gauge("uncovered_users", "Owned mailboxes, except unknown ones, that lack a live subscription.", count(g.Uncovered))
	expiry("subscription_expiry_timestamp_seconds", "When the first live subscription expires, in seconds since 1970.", g.FirstExpiry)
}

func count(n int) float64             { return float64(n) }
func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }
func unix(t time.Time) float64        { return float64(t.Unix()) }

// floats converts values, by label.
func floats[T any](values map[string]T, convert func(T) float64) map[string]float64 {
	converted := map[string]float64{}
	for label, value := range values {
		converted[label] = convert(value)
	}
	return converted
}
