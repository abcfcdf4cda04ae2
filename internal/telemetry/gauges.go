package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Gauges describes what this replica owns now.
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
	Uncovered     int            // mailboxes that lack a live subscription
	FirstExpiry   time.Time      // of the live subscriptions; zero if there is none

	// Waits is how much longer Graph wants the whole app to pause, by scope.
	Waits map[string]time.Duration

	// Backlog is the scheduled work, by kind.
	Backlog map[string]QueueState
}

// QueueState describes a timed queue.
type QueueState struct {
	Waiting int           // entries, due or not
	Lag     time.Duration // how long the most overdue entry has been due; 0 if none is
}

// WatchGauges adds the gauges that read returns at each scrape. read must answer from
// memory. WatchGauges may be called once.
func (m *Metrics) WatchGauges(read func() Gauges) { m.registry.MustRegister(gaugesCollector{read}) }

type gaugesCollector struct{ read func() Gauges }

// Describe implements prometheus.Collector. It sends nothing, which makes the collector
// unchecked.
func (gaugesCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c gaugesCollector) Collect(out chan<- prometheus.Metric) {
	g := c.read()
	labelled := func(name, help, label string, values map[string]float64) {
		desc := prometheus.NewDesc(namespace+"_"+name, help, []string{label}, nil)
		for labelValue, value := range values {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labelValue)
		}
	}
	gauge := func(name, help string, value float64) {
		desc := prometheus.NewDesc(namespace+"_"+name, help, nil, nil)
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	gauge("owned_partitions", "Partitions that this replica owns; 64 over all replicas.", float64(g.Partitions))
	gauge("mailboxes", "Mailboxes that this replica owns.", float64(g.Mailboxes))
	gauge("addresses", "Monitored addresses that this replica owns.", float64(g.Addresses))
	labelled("users", "Monitored users that this replica owns, by state.", "state", floats(g.States))
	gauge("users_away", "Monitored users that this replica owns who are out of office.", float64(g.Away))
	labelled("users_by_delivery", "Monitored users that this replica owns, by the delivery of their newest state.", "delivery",
		floats(g.Deliveries))
	gauge("undelivered_seconds", "How long the oldest undelivered state has been waiting.", seconds(g.Undelivered))
	gauge("unread_seconds", "Time since the oldest last read, of the mailboxes that can be read.", seconds(g.Unread))
	waits, waiting, lags := map[string]float64{}, map[string]float64{}, map[string]float64{}
	for scope, left := range g.Waits {
		waits[scope] = seconds(left)
	}
	for work, q := range g.Backlog {
		waiting[work], lags[work] = float64(q.Waiting), seconds(q.Lag)
	}
	labelled("graph_wait_seconds", "How much longer Graph wants the whole app to pause, by scope.", "scope", waits)
	labelled("backlog", "Work that this replica has scheduled, due or not.", "work", waiting)
	labelled("backlog_lag_seconds", "How long the most overdue work of this replica has been due.", "work", lags)
	if !g.Covered {
		return
	}
	labelled("subscriptions", "Subscriptions of the mailboxes that this replica owns, by state.", "state", floats(g.Subscriptions))
	gauge("uncovered_users", "Mailboxes that this replica owns and that lack a live subscription.", float64(g.Uncovered))
	if !g.FirstExpiry.IsZero() {
		gauge("subscription_expiry_timestamp_seconds", "When the first live subscription expires, in seconds since 1970.",
			float64(g.FirstExpiry.Unix()))
	}
}

func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }

func floats(counts map[string]int) map[string]float64 {
	values := map[string]float64{}
	for label, n := range counts {
		values[label] = float64(n)
	}
	return values
}
