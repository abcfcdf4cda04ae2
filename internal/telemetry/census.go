package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Census is how all users stand, by all replicas.
type Census struct {
	States     map[string]int // users by how much is known of them
	Deliveries map[string]int // users by how far their newest state got
	Away       int            // users who are out of office

	// Undelivered is how long the mediator has not known a state that is to be
	// delivered, of the user for whom that is longest; Unread, how long ago the
	// mailbox was last read of a user who can be read. 0 if there is none.
	Undelivered, Unread time.Duration

	Covered       bool           // there are subscriptions, so what follows means something
	Subscriptions map[string]int // by state
	Uncovered     int            // users in the directory who lack a live one
	FirstExpiry   time.Time      // of the live ones; zero if there is none

	// Held is for how much longer Graph wants each queue to be left alone.
	Held map[string]time.Duration
}

// WatchCensus adds the gauges that read returns at each scrape. Its context ends
// after a second, and read must then return. Without an answer they are absent.
// WatchCensus may be called once.
func (m *Metrics) WatchCensus(read func(context.Context) (Census, error)) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	m.registry.MustRegister(&censusCollector{
		read:          read,
		users:         desc("users", "Monitored users by how much is known of them, by all replicas.", "state"),
		away:          desc("users_away", "Monitored users who are out of office."),
		deliveries:    desc("users_by_delivery", "Monitored users by how far their newest state got on its way to the mediator.", "delivery"),
		undelivered:   desc("undelivered_seconds", "How long the oldest state that the mediator does not know yet has been waiting."),
		unread:        desc("unread_seconds", "How long ago the mailbox was read that has waited longest, of those that can be read."),
		subscriptions: desc("subscriptions", "Subscriptions of monitored users by how they stand with Graph.", "state"),
		uncovered:     desc("uncovered_users", "Users in the directory who lack a live subscription."),
		expiry:        desc("subscription_expiry_timestamp_seconds", "When the first live subscription ends, in seconds since 1970."),
		held:          desc("graph_hold_seconds", "For how much longer Graph wants the whole app to leave a queue alone.", "queue"),
	})
}

type censusCollector struct {
	read func(context.Context) (Census, error)

	users, away, deliveries, undelivered, unread *prometheus.Desc
	subscriptions, uncovered, expiry, held       *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *censusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.users, c.away, c.deliveries, c.undelivered, c.unread, c.subscriptions, c.uncovered, c.expiry, c.held} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *censusCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), boardTime)
	defer cancel()
	census, err := c.read(ctx)
	if err != nil {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	each := func(desc *prometheus.Desc, counts map[string]int) {
		for label, n := range counts {
			gauge(desc, float64(n), label)
		}
	}
	each(c.users, census.States)
	gauge(c.away, float64(census.Away))
	each(c.deliveries, census.Deliveries)
	gauge(c.undelivered, max(census.Undelivered, 0).Seconds())
	gauge(c.unread, max(census.Unread, 0).Seconds())
	for queue, left := range census.Held {
		gauge(c.held, max(left, 0).Seconds(), queue)
	}
	if !census.Covered {
		return
	}
	each(c.subscriptions, census.Subscriptions)
	gauge(c.uncovered, float64(census.Uncovered))
	if !census.FirstExpiry.IsZero() {
		gauge(c.expiry, float64(census.FirstExpiry.Unix()))
	}
}
