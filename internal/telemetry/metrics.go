package telemetry

import (
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "outlook_monitor"

// Metrics are the metrics of this process that are counted as things happen; [Gauges] are the
// others. They may be used concurrently. Labels are separated by spaces, and buckets names one of
// those below.
type Metrics struct {
	Reads     Counter   `name:"reads_total" labels:"outcome" help:"Reads of mailboxes, by outcome."`
	ReadLag   Histogram `name:"read_lag_seconds" buckets:"lag" help:"How long after it was due a read began."`
	Changes   Counter   `name:"changes_total" labels:"source" help:"Changes in who is out of office or in the text spoken, by what caused the read."`
	Detection Histogram `name:"detection_seconds" labels:"source" buckets:"change" help:"From the hint that caused the read to the saved change."`

	Pushes   Counter   `name:"push_changes_total" labels:"announced" help:"Changes that a notification announced: first, or late, after the poll had found them."`
	PushLead Histogram `name:"push_lead_seconds" buckets:"lag" help:"How much sooner than the poll a notification led to a change."`
	PushLate Histogram `name:"push_late_seconds" buckets:"change" help:"How long after the poll found a change the notification for it arrived."`

	Notifications Counter   `name:"notifications_total" labels:"verdict" help:"Notification items received from Graph, by verdict."`
	Refused       Counter   `name:"refused_requests_total" labels:"status" help:"Requests rejected for their source, its rate, their body, too many at once, or a wrong token, by the status of the answer."`
	Answered      Histogram `name:"notification_answer_seconds" buckets:"answer" help:"How long this service took to answer a request from Graph."`

	GraphRequests Counter   `name:"graph_requests_total" labels:"operation status" help:"Requests to Graph and its login endpoint, by HTTP status; none: no answer."`
	GraphSeconds  Histogram `name:"graph_request_seconds" labels:"operation" buckets:"call" help:"How long Graph and its login endpoint took to answer."`

	Steps Counter `name:"subscription_steps_total" labels:"action reason outcome" help:"Steps that reconcile subscriptions, by outcome."`
	Swept Counter `name:"swept_subscriptions_total" labels:"found" help:"Subscriptions compared with Graph's list, by result."`

	Deliveries     Counter   `name:"deliveries_total" labels:"outcome" help:"Delivery attempts, by outcome."`
	AttemptSeconds Histogram `name:"delivery_attempt_seconds" buckets:"call" help:"How long the mediator took to answer."`
	Delivery       Histogram `name:"delivery_seconds" labels:"source" buckets:"change" help:"From the saved change to the mediator's acknowledgement, by what caused the read."`
	Syncs          Counter   `name:"mediator_syncs_total" labels:"outcome" help:"Requests to the mediator for all its users."`

	RedisCommands Counter   `name:"redis_commands_total" labels:"command outcome" help:"Commands sent to Redis, by outcome."`
	RedisSeconds  Histogram `name:"redis_command_seconds" labels:"command" buckets:"redis" help:"How long Redis took to answer."`

	Spans          Counter `name:"exported_spans_total" labels:"outcome" help:"Spans sent to the OTLP endpoint, or lost because it did not accept them."`
	Damaged        Counter `name:"damaged_entries_total" labels:"kind" help:"Entries in Redis that can't be read and were skipped."`
	UnknownHints   Counter `name:"unknown_hints_total" labels:"kind" help:"Hints removed because their mailbox is not monitored."`
	Partitions     Counter `name:"partition_changes_total" labels:"change" help:"Partitions that this replica acquired or lost."`
	PresenceCalls  Counter `name:"presence_calls_total" help:"Requests for the presence of up to 650 users each."`
	PresenceHinted Counter `name:"presence_hinted_total" help:"Mailboxes that were read at once because the presence of their user changed."`

	registry *prometheus.Registry
}

// Buckets, in seconds. A read is due every two seconds and may be late by a tenth of that;
// after an outage, by minutes. Graph considers an answer slow from 3 s on, and too slow
// from 10 s on.
var buckets = map[string][]float64{
	"lag":    {.005, .01, .025, .05, .1, .2, .5, 1, 2, 5, 15, 60, 300},
	"call":   {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	"change": {.01, .025, .05, .1, .25, .5, 1, 2, 3, 5, 10, 30, 120, 600, 3600},
	"redis":  {.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1, 2},
	"answer": {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3, 10},
}

// Counter counts by the values of its labels.
type Counter struct{ vec *prometheus.CounterVec }

// Add adds n, at least 0.
func (c Counter) Add(n int, labels ...string) {
	c.vec.WithLabelValues(labels...).Add(float64(max(n, 0)))
}

// Histogram measures durations by the values of its labels.
type Histogram struct{ vec *prometheus.HistogramVec }

// Observe adds a duration, at least 0.
func (h Histogram) Observe(d time.Duration, labels ...string) {
	h.vec.WithLabelValues(labels...).Observe(max(d, 0).Seconds())
}

// NewMetrics returns metrics in a new registry, with those of the process, of the Go
// runtime and of the build.
func NewMetrics(build BuildInfo) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	for field, value := range reflect.ValueOf(m).Elem().Fields() {
		if !field.IsExported() {
			continue
		}
		name, help, labels := field.Tag.Get("name"), field.Tag.Get("help"), strings.Fields(field.Tag.Get("labels"))
		switch metric := value.Addr().Interface().(type) {
		case *Counter:
			metric.vec = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
			m.registry.MustRegister(metric.vec)
			_, _ = metric.vec.GetMetricWithLabelValues() // without labels it is 0 from the start
		case *Histogram:
			metric.vec = prometheus.NewHistogramVec(prometheus.HistogramOpts{
				Namespace: namespace, Name: name, Help: help, Buckets: buckets[field.Tag.Get("buckets")],
			}, labels)
			m.registry.MustRegister(metric.vec)
			_, _ = metric.vec.GetMetricWithLabelValues()
		}
	}
	buildInfo := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help: "Version of this program; always 1."}, []string{"version", "revision", "go_version"})
	buildInfo.WithLabelValues(build.Version, build.Revision, build.GoVersion).Set(1)
	m.registry.MustRegister(buildInfo, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Outcome returns the value of a label outcome.
func Outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}
