package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "outlook_monitor"

// Metrics are the metrics of this process. Its methods may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry

	reads, changes, pushes, notifications, refused, graphRequests, steps, swept, deliveries, syncs *prometheus.CounterVec
	redisCommands, spans, damaged, unknownHints, partitions                                        *prometheus.CounterVec
	presenceCalls, presenceHinted                                                                  prometheus.Counter
	readLag, pushLead, pushLate, answered, attemptSeconds                                          prometheus.Observer
	detection, graphSeconds, delivery, redisSeconds                                                *prometheus.HistogramVec
}

// Buckets, in seconds. A read is due every two seconds and may be late by a tenth of that;
// after an outage, by minutes. Graph considers an answer slow from 3 s on, and too slow
// from 10 s on.
var (
	lagBuckets    = []float64{.005, .01, .025, .05, .1, .2, .5, 1, 2, 5, 15, 60, 300}
	callBuckets   = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	changeBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2, 3, 5, 10, 30, 120, 600, 3600}
	redisBuckets  = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1, 2}
	answerBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3, 10}
)

// NewMetrics returns metrics in a new registry, with those of the process, of the Go
// runtime and of the build.
func NewMetrics(build BuildInfo) *Metrics {
	r := prometheus.NewRegistry()
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
		r.MustRegister(h)
		return h
	}
	buildInfo := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help: "Version of this program; always 1."}, []string{"version", "revision", "go_version"})
	buildInfo.WithLabelValues(build.Version, build.Revision, build.GoVersion).Set(1)
	r.MustRegister(buildInfo, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{
		registry:  r,
		reads:     counter("reads_total", "Reads of mailboxes, by outcome.", "outcome"),
		readLag:   histogram("read_lag_seconds", "How long after it was due a read began.", lagBuckets).WithLabelValues(),
		changes:   counter("changes_total", "Changes in who is out of office or in the text spoken, by what caused the read.", "source"),
		detection: histogram("detection_seconds", "From the hint that caused the read to the saved change.", changeBuckets, "source"),
		pushes: counter("push_changes_total",
			"Changes that a notification announced: first, or late, after the poll had found them.", "announced"),
		pushLead: histogram("push_lead_seconds",
			"How much sooner than the poll a notification led to a change.", lagBuckets).WithLabelValues(),
		pushLate: histogram("push_late_seconds",
			"How long after the poll found a change the notification for it arrived.", changeBuckets).WithLabelValues(),
		notifications: counter("notifications_total", "Notification items received from Graph, by verdict.", "verdict"),
		refused: counter("refused_requests_total",
			"Requests rejected for their source, its rate, their body, too many at once, or a wrong token, by the status of the answer.", "status"),
		answered: histogram("notification_answer_seconds",
			"How long this service took to answer a request from Graph.", answerBuckets).WithLabelValues(),
		graphRequests: counter("graph_requests_total",
			"Requests to Graph and its login endpoint, by HTTP status; none: no answer.", "operation", "status"),
		graphSeconds: histogram("graph_request_seconds",
			"How long Graph and its login endpoint took to answer.", callBuckets, "operation"),
		steps:          counter("subscription_steps_total", "Steps that reconcile subscriptions, by outcome.", "action", "reason", "outcome"),
		swept:          counter("swept_subscriptions_total", "Subscriptions compared with Graph's list, by result.", "found"),
		deliveries:     counter("deliveries_total", "Delivery attempts, by outcome.", "outcome"),
		attemptSeconds: histogram("delivery_attempt_seconds", "How long the mediator took to answer.", callBuckets).WithLabelValues(),
		delivery: histogram("delivery_seconds",
			"From the saved change to the mediator's acknowledgement, by what caused the read.", changeBuckets, "source"),
		syncs:         counter("mediator_syncs_total", "Requests to the mediator for all its users.", "outcome"),
		redisCommands: counter("redis_commands_total", "Commands sent to Redis, by outcome.", "command", "outcome"),
		redisSeconds:  histogram("redis_command_seconds", "How long Redis took to answer.", redisBuckets, "command"),
		spans:         counter("exported_spans_total", "Spans sent to the OTLP endpoint, or lost because it did not accept them.", "outcome"),
		damaged:       counter("damaged_entries_total", "Entries in Redis that can't be read and were skipped.", "kind"),
		unknownHints:  counter("unknown_hints_total", "Hints removed because their mailbox is not monitored.", "kind"),
		partitions:    counter("partition_changes_total", "Partitions that this replica acquired or lost.", "change"),
		presenceCalls: counter("presence_calls_total", "Requests for the presence of up to 650 users each.").WithLabelValues(),
		presenceHinted: counter("presence_hinted_total",
			"Mailboxes that were read at once because the presence of their user changed.").WithLabelValues(),
	}
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Read counts a read of a mailbox that began this late after it was due.
func (m *Metrics) Read(outcome string, late time.Duration) {
	m.reads.WithLabelValues(outcome).Inc()
	m.readLag.Observe(max(late, 0).Seconds())
}

// Changed counts a saved change. took is the time since the hint that caused the read; it
// is 0 if there was no hint, as for a poll.
func (m *Metrics) Changed(source string, took time.Duration) {
	m.changes.WithLabelValues(source).Inc()
	if took > 0 {
		m.detection.WithLabelValues(source).Observe(took.Seconds())
	}
}

// AnnouncedFirst counts a change that a notification announced before the poll found it.
// lead is how much sooner.
func (m *Metrics) AnnouncedFirst(lead time.Duration) {
	m.pushes.WithLabelValues("first").Inc()
	m.pushLead.Observe(lead.Seconds())
}

// AnnouncedLate counts a change that a notification announced after the poll had found it.
// by is how much later.
func (m *Metrics) AnnouncedLate(by time.Duration) {
	m.pushes.WithLabelValues("late").Inc()
	m.pushLate.Observe(by.Seconds())
}

// Notified counts n items received from Graph.
func (m *Metrics) Notified(verdict string, n int) {
	m.notifications.WithLabelValues(verdict).Add(float64(max(n, 0)))
}

// Refused counts a request that was rejected with status before it was handled.
func (m *Metrics) Refused(status int) { m.refused.WithLabelValues(strconv.Itoa(status)).Inc() }

// Answered counts an answered request from Graph.
func (m *Metrics) Answered(took time.Duration) { m.answered.Observe(took.Seconds()) }

// Exported counts n spans that were exported, or dropped if err is not nil.
func (m *Metrics) Exported(n int, err error) { m.spans.WithLabelValues(outcome(err)).Add(float64(n)) }

// GraphAnswered counts a request to Graph or its login endpoint. status is 0 if there was
// no answer.
func (m *Metrics) GraphAnswered(operation string, status int, took time.Duration) {
	code := "none"
	if status > 0 {
		code = strconv.Itoa(status)
	}
	m.graphRequests.WithLabelValues(operation, code).Inc()
	m.graphSeconds.WithLabelValues(operation).Observe(took.Seconds())
}

// Stepped counts a step that reconciles subscriptions.
func (m *Metrics) Stepped(action, reason string, err error) {
	m.steps.WithLabelValues(action, reason, outcome(err)).Inc()
}

// Swept counts n subscriptions with the same result of a sweep.
func (m *Metrics) Swept(found string, n int) { m.swept.WithLabelValues(found).Add(float64(max(n, 0))) }

// Attempted counts a delivery attempt. took is the duration of the call. since is the time
// from the saved change; it is recorded only if the mediator acknowledged the delivery.
func (m *Metrics) Attempted(outcome, source string, acknowledged bool, took, since time.Duration) {
	m.deliveries.WithLabelValues(outcome).Inc()
	m.attemptSeconds.Observe(took.Seconds())
	if acknowledged {
		m.delivery.WithLabelValues(source).Observe(max(since, 0).Seconds())
	}
}

// Synced counts a request to the mediator for all its users.
func (m *Metrics) Synced(err error) { m.syncs.WithLabelValues(outcome(err)).Inc() }

// RedisAnswered counts a command sent to Redis. A script counts as one command, and each
// command of a pipeline counts.
func (m *Metrics) RedisAnswered(command string, took time.Duration, err error) {
	m.redisCommands.WithLabelValues(command, outcome(err)).Inc()
	m.redisSeconds.WithLabelValues(command).Observe(took.Seconds())
}

// Damaged counts an entry in Redis that can't be read and was skipped.
func (m *Metrics) Damaged(kind string) { m.damaged.WithLabelValues(kind).Inc() }

// UnknownHint counts a hint that was removed because its mailbox is not monitored.
func (m *Metrics) UnknownHint(kind string) { m.unknownHints.WithLabelValues(kind).Inc() }

// PartitionChanged counts a partition that this replica acquired or lost.
func (m *Metrics) PartitionChanged(change string) { m.partitions.WithLabelValues(change).Inc() }

// PresenceSwept counts the calls of a presence sweep and the mailboxes that were read at once because of it.
func (m *Metrics) PresenceSwept(calls, hinted int) {
	m.presenceCalls.Add(float64(calls))
	m.presenceHinted.Add(float64(hinted))
}

func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}
