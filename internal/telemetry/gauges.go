package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Gauges describe what this replica owns, as of now.
type Gauges struct {
	Partitions, Mailboxes int
	Addresses             int            // monitored, those not yet found in the directory included
	States                map[string]int // addresses by state
	Deliveries            map[string]int // addresses by how far the delivery of their newest state got
	Away                  int            // addresses whose user is out of office

	// Undelivered is how long the oldest state has waited for its delivery; Unread is
	// how long ago the mailbox with the oldest read was read, of those that can be
	// read. 0 if there is none.
	Undelivered, Unread time.Duration

	Covered       bool           // subscriptions are asked for, so what follows means something
	Subscriptions map[string]int // by state
	Uncovered     int            // mailboxes that lack a live subscription
	FirstExpiry   time.Time      // of the live ones; zero if there is none

	// Waits is how much longer Graph wants the whole app to pause, by scope.
	Waits map[string]time.Duration

	// Backlog is what is scheduled, by kind of work.
	Backlog map[string]QueueState
}

// QueueState is how full and how late a timed queue is.
type QueueState struct {
	Waiting int           // entries, due or not
	Lag     time.Duration // how long the most overdue one has been due; 0 if none is
}

// WatchGauges adds the gauges that read returns at each scrape; read answers from
// memory. WatchGauges may be called once.
func (m *Metrics) WatchGauges(read func() Gauges) {
	c := &gaugesCollector{read: read}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
		c.all = append(c.all, d)
		return d
	}
	c.partitions = desc("owned_partitions", "Partitions that this replica owns; 64 over all replicas.")
	c.mailboxes = desc("mailboxes", "Mailboxes that this replica owns.")
	c.addresses = desc("addresses", "Monitored addresses that this replica owns.")
	c.users = desc("users", "Monitored users that this replica owns, by state.", "state")
	c.away = desc("users_away", "Monitored users that this replica owns who are out of office.")
	c.deliveries = desc("users_by_delivery", "Monitored users that this replica owns, by the delivery of their newest state.", "delivery")
	c.undelivered = desc("undelivered_seconds", "How long the oldest undelivered state has been waiting.")
	c.unread = desc("unread_seconds", "Time since the oldest last read, of the mailboxes that can be read.")
	c.subscriptions = desc("subscriptions", "Subscriptions of the mailboxes that this replica owns, by state.", "state")
	c.uncovered = desc("uncovered_users", "Mailboxes that this replica owns and that lack a live subscription.")
	c.expiry = desc("subscription_expiry_timestamp_seconds", "When the first live subscription expires, in seconds since 1970.")
	c.waits = desc("graph_wait_seconds", "How much longer Graph wants the whole app to pause, by what has to pause.", "scope")
	c.backlog = desc("backlog", "Work that this replica has scheduled, due or not.", "work")
	c.lag = desc("backlog_lag_seconds", "How long the most overdue work of this replica has been due.", "work")
	m.registry.MustRegister(c)
}

type gaugesCollector struct {
	read func() Gauges
	all  []*prometheus.Desc

	partitions, mailboxes, addresses, users, away, deliveries, undelivered, unread *prometheus.Desc
	subscriptions, uncovered, expiry, waits, backlog, lag                          *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *gaugesCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.all {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *gaugesCollector) Collect(out chan<- prometheus.Metric) {
	g := c.read()
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	each := func(desc *prometheus.Desc, counts map[string]int) {
		for label, n := range counts {
			gauge(desc, float64(n), label)
		}
	}
	gauge(c.partitions, float64(g.Partitions))
	gauge(c.mailboxes, float64(g.Mailboxes))
	gauge(c.addresses, float64(g.Addresses))
	each(c.users, g.States)
	gauge(c.away, float64(g.Away))
	each(c.deliveries, g.Deliveries)
	gauge(c.undelivered, max(g.Undelivered, 0).Seconds())
	gauge(c.unread, max(g.Unread, 0).Seconds())
	for scope, left := range g.Waits {
		gauge(c.waits, max(left, 0).Seconds(), scope)
	}
	for work, q := range g.Backlog {
		gauge(c.backlog, float64(q.Waiting), work)
		gauge(c.lag, max(q.Lag, 0).Seconds(), work)
	}
	if !g.Covered {
		return
	}
	each(c.subscriptions, g.Subscriptions)
	gauge(c.uncovered, float64(g.Uncovered))
	if !g.FirstExpiry.IsZero() {
		gauge(c.expiry, float64(g.FirstExpiry.Unix()))
	}
}
