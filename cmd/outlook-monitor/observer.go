package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/ui"
)

// observer has the callbacks of the other packages. It updates the metrics of Prometheus and
// of the operator's page, and records for /readyz whether calls succeed.
type observer struct {
	metrics *telemetry.Metrics
	meter   *ui.Meter

	graphCalls lastError
	handshakes lastError // of Graph with PUBLIC_URL

	accepted atomic.Pointer[time.Time] // when Graph last responded to an accepted token; nil: never
}

// graphCounted counts a request to Graph or its login endpoint. status is 0 if there was no answer.
func (o *observer) graphCounted(operation string, status int, took time.Duration) {
	code := "none"
	if status > 0 {
		code = strconv.Itoa(status)
	}
	o.metrics.GraphRequests.Add(1, operation, code)
	o.metrics.GraphSeconds.Observe(took, operation)
}

// graphAnswered is called after every call to Graph. Errors such as 403 and 429 count as
// answers.
func (o *observer) graphAnswered(operation string, status int, took time.Duration) {
	o.graphCounted(operation, status, took)
	if status == http.StatusTooManyRequests {
		o.meter.Throttled()
	}
	if operation != "login" && status != 0 && status != http.StatusUnauthorized {
		o.accepted.Store(new(time.Now()))
	}
	switch {
	case status == 0:
		o.graphCalls.set(errNoAnswer)
	case status >= http.StatusInternalServerError, status == http.StatusUnauthorized:
		o.graphCalls.set(fmt.Errorf("Microsoft Graph answers %d", status))
	default:
		o.graphCalls.set(nil)
	}
}

var errNoAnswer = errors.New("Microsoft Graph does not answer")

// sinceAccepted returns the time since Graph responded to an accepted token; negative: never.
func (o *observer) sinceAccepted() time.Duration {
	if at := o.accepted.Load(); at != nil {
		return time.Since(*at)
	}
	return -1
}

func (o *observer) read(outcome poll.Outcome, late time.Duration) {
	o.metrics.Reads.Add(1, string(outcome))
	o.metrics.ReadLag.Observe(late)
	o.meter.Read(late)
}

func (o *observer) changed(c poll.Change) {
	o.metrics.Changes.Add(1, string(c.Source))
	if c.Took > 0 { // there was a hint
		o.metrics.Detection.Observe(c.Took, string(c.Source))
	}
	if c.Source == ooo.SourceNotification {
		o.metrics.Pushes.Add(1, "first")
		o.metrics.PushLead.Observe(c.Lead)
	}
}

func (o *observer) announcedLate(by time.Duration) {
	o.metrics.Pushes.Add(1, "late")
	o.metrics.PushLate.Observe(by)
}

func (o *observer) notified(verdict string, n int) { o.metrics.Notifications.Add(n, verdict) }

func (o *observer) answered(took time.Duration) { o.metrics.Answered.Observe(took) }

func (o *observer) refused(status int) { o.metrics.Refused.Add(1, strconv.Itoa(status)) }

// attempted counts an attempt to deliver. since is the time from the saved change.
func (o *observer) attempted(state ooo.DeliveryState, source ooo.Source, took, since time.Duration) {
	o.metrics.Deliveries.Add(1, string(state))
	o.metrics.AttemptSeconds.Observe(took)
	if state == ooo.DeliveryDelivered {
		o.metrics.Delivery.Observe(since, string(source))
		o.meter.Delivered(since)
	}
}

func (o *observer) synced(err error) { o.metrics.Syncs.Add(1, telemetry.Outcome(err)) }

// redisAnswered counts a command. A script counts as one, and each command of a pipeline counts.
func (o *observer) redisAnswered(command string, took time.Duration, err error) {
	o.metrics.RedisCommands.Add(1, command, telemetry.Outcome(err))
	o.metrics.RedisSeconds.Observe(took, command)
}

func (o *observer) damaged(kind string) { o.metrics.Damaged.Add(1, kind) }

func (o *observer) unknownHint(kind ooo.HintKind) { o.metrics.UnknownHints.Add(1, string(kind)) }

func (o *observer) partitionChanged(change string) { o.metrics.Partitions.Add(1, change) }

func (o *observer) presenceSwept(calls, hinted int) {
	o.metrics.PresenceCalls.Add(calls)
	o.metrics.PresenceHinted.Add(hinted)
}

func (o *observer) stepped(step subscribe.Step, err error) {
	o.metrics.Steps.Add(1, string(step.Action), string(step.Reason), telemetry.Outcome(err))
	switch {
	case errors.Is(err, ooo.ErrHandshake):
		o.handshakes.set(ooo.ErrHandshake)
	case err == nil && (step.Action == subscribe.Create || step.Action == subscribe.Replace || step.Reason == subscribe.URLChanged):
		o.handshakes.set(nil)
	}
}

func (o *observer) swept(s subscribe.SweepResult) {
	for kind, n := range map[string]int{"known": s.Known, "lost": s.Lost, "surplus": s.Surplus, "foreign": s.Foreign} {
		o.metrics.Swept.Add(n, kind)
	}
}

// lastError is the error of the last call; nil: it succeeded.
type lastError struct{ atomic.Pointer[error] }

func (l *lastError) set(err error) { l.Store(&err) }

func (l *lastError) get() error {
	if err := l.Load(); err != nil {
		return *err
	}
	return nil
}
