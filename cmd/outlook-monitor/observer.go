package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
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

	graphCalls callStatus
	handshakes callStatus // of Graph with PUBLIC_URL

	accepted atomic.Pointer[time.Time] // when Graph last responded to an accepted token; nil: never
}

// graphAnswered is called after every call to Graph. Errors such as 403 and 429 count as
// answers.
func (o *observer) graphAnswered(operation string, status int, took time.Duration) {
	o.metrics.GraphAnswered(operation, status, took)
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
	o.metrics.Read(string(outcome), late)
	o.meter.Read(late)
}

func (o *observer) changed(c poll.Change) {
	o.metrics.Changed(string(c.Source), c.Took)
	if c.Source == ooo.SourceNotification {
		o.metrics.AnnouncedFirst(c.Lead)
	}
}

func (o *observer) attempted(state ooo.DeliveryState, source ooo.Source, took, since time.Duration) {
	delivered := state == ooo.DeliveryDelivered
	o.metrics.Attempted(string(state), string(source), delivered, took, since)
	if delivered {
		o.meter.Delivered(since)
	}
}

func (o *observer) stepped(step subscribe.Step, err error) {
	o.metrics.Stepped(string(step.Action), string(step.Reason), err)
	switch {
	case errors.Is(err, ooo.ErrHandshake):
		o.handshakes.set(ooo.ErrHandshake)
	case err == nil && (step.Action == subscribe.Create || step.Action == subscribe.Replace || step.Reason == subscribe.URLChanged):
		o.handshakes.set(nil)
	}
}

func (o *observer) swept(s subscribe.SweepResult) {
	for kind, n := range map[string]int{"known": s.Known, "lost": s.Lost, "surplus": s.Surplus, "foreign": s.Foreign} {
		o.metrics.Swept(kind, n)
	}
}

// callStatus records whether calls succeed.
type callStatus struct {
	mu    sync.Mutex
	err   error     // of the last call; nil: it succeeded; guarded by mu
	since time.Time // of the first failure in a row; guarded by mu
}

func (s *callStatus) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.since = time.Now()
	}
	s.err = err
}

// problem returns the error and since when it occurs; nil if the last call succeeded.
func (s *callStatus) problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	return fmt.Errorf("%w, since %s", s.err, s.since.UTC().Format(time.RFC3339))
}
