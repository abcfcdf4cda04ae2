package telemetry

import (
	"context"
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Gauges are what this replica owns, and what it depends on, now. Each field is a metric, a map one
// with a label; the name of a counter ends with _total. Unknown values are absent: nil, and zero
// times.
type Gauges struct {
	Partitions int            `name:"owned_partitions" help:"Partitions that this replica owns; 64 over all replicas."`
	Mailboxes  int            `name:"mailboxes" help:"Mailboxes that this replica owns."`
	Addresses  int            `name:"addresses" help:"Monitored addresses that this replica owns."` // also those not found in the directory yet
	States     map[string]int `name:"users" label:"state" help:"Monitored users that this replica owns, by state."`
	Away       int            `name:"users_away" help:"Monitored users that this replica owns who are out of office."`
	Deliveries map[string]int `name:"users_by_delivery" label:"delivery" help:"Monitored users that this replica owns, by the delivery of their newest state."`

	Undelivered time.Duration `name:"undelivered_seconds" help:"How long the oldest undelivered state has been waiting."`
	Unread      time.Duration `name:"unread_seconds" help:"Time since the oldest last read, of the mailboxes that can be read."`

	// Absent if no subscriptions are configured.
	Subscriptions map[string]int `name:"subscriptions" label:"state" help:"Subscriptions of the mailboxes that this replica owns, by state."`
	Uncovered     *int           `name:"uncovered_users" help:"Owned mailboxes, except unknown ones, that lack a live subscription."`
	FirstExpiry   time.Time      `name:"subscription_expiry_timestamp_seconds" help:"When the first live subscription expires, in seconds since 1970."`

	Waits   map[string]time.Duration `name:"graph_wait_seconds" label:"scope" help:"How much longer Graph wants the whole app to pause, by scope."`
	Waiting map[string]int           `name:"backlog" label:"work" help:"Work that this replica has scheduled, due or not."`
	Lag     map[string]time.Duration `name:"backlog_lag_seconds" label:"work" help:"How long the most overdue work of this replica has been due."`

	RedisUp         bool           `name:"redis_up" help:"Whether Redis has answered an ownership update of this replica within 2.5 s."`
	RedisProblems   *int           `name:"redis_problems" help:"Settings of Redis that may lose data: eviction, no persistence."`
	PoolConnections map[string]int `name:"redis_pool_connections" label:"state" help:"Connections to Redis."`
	PoolEvents      map[string]int `name:"redis_pool_events_total" label:"event" help:"Requests to the pool for a connection to Redis, by result."`

	Token        time.Time            `name:"graph_token_expiry_timestamp_seconds" help:"When the current token for Graph expires, in seconds since 1970."`
	Credential   time.Time            `name:"credential_expiry_timestamp_seconds" help:"When the secret or certificate of the app registration expires, in seconds since 1970; absent if unknown."`
	Certificates map[string]time.Time `name:"certificate_expiry_timestamp_seconds" label:"certificate" help:"When a certificate expires, in seconds since 1970."`
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
	for field, value := range reflect.ValueOf(c.read(ctx)).Fields() {
		name, kind := namespace+"_"+field.Tag.Get("name"), prometheus.GaugeValue
		if strings.HasSuffix(name, "_total") {
			kind = prometheus.CounterValue
		}
		send := func(desc *prometheus.Desc, value reflect.Value, label ...string) {
			if n, known := number(value); known {
				out <- prometheus.MustNewConstMetric(desc, kind, n, label...)
			}
		}
		if value.Kind() != reflect.Map {
			send(prometheus.NewDesc(name, field.Tag.Get("help"), nil, nil), value)
			continue
		}
		desc := prometheus.NewDesc(name, field.Tag.Get("help"), []string{field.Tag.Get("label")}, nil)
		for label, value := range value.Seq2() {
			send(desc, value, label.String())
		}
	}
}

// number converts a value, and reports whether it is known.
func number(value reflect.Value) (n float64, known bool) {
	switch v := value.Interface().(type) {
	case int:
		return float64(v), true
	case *int:
		if v == nil {
			return 0, false
		}
		return float64(*v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case time.Duration:
		return max(v, 0).Seconds(), true
	case time.Time:
		return float64(v.Unix()), !v.IsZero()
	}
	panic("telemetry: a gauge of an unknown type")
}
