package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/ui"
)

// observer has the callbacks of the other packages. It counts for Prometheus and for
// the operator's page, and remembers for /readyz whether calls work.
type observer struct {
	metrics *telemetry.Metrics
	meter   *ui.Meter

	graphCalls callStatus
	handshakes callStatus // of Graph with PUBLIC_URL

	mu       sync.Mutex
	accepted time.Time // when Graph last answered an accepted token; guarded by mu
}

// graphAnswered is called after every call of Graph. That it refuses what was asked, or
// asks to wait, is an answer.
func (o *observer) graphAnswered(operation string, status int, took time.Duration) {
	o.metrics.GraphAnswered(operation, status, took)
	o.meter.Called(status)
	if operation != "login" && status != 0 && status != http.StatusUnauthorized {
		o.mu.Lock()
		o.accepted = time.Now()
		o.mu.Unlock()
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

// sinceAccepted returns how long ago Graph answered an accepted token; negative: never.
func (o *observer) sinceAccepted() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.accepted.IsZero() {
		return -1
	}
	return time.Since(o.accepted)
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
	o.metrics.Delivered(string(state), string(source), delivered, took, since)
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
	for kind, n := range map[string]int{"known": s.Known, "lost": s.Lost, "adopted": s.Adopted, "surplus": s.Surplus, "foreign": s.Foreign} {
		o.metrics.Swept(kind, n)
	}
}

// callStatus remembers whether calls work.
type callStatus struct {
	mu    sync.Mutex
	err   error     // of the last call; nil: it worked; guarded by mu
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

// problem returns what is wrong and since when; nil if the last call worked.
func (s *callStatus) problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	return fmt.Errorf("%w, since %s", s.err, s.since.UTC().Format(time.RFC3339))
}

// quietTime is how long a replica may go without an answer of Graph before it asks for
// one.
const quietTime = 5 * time.Second

// askGraph asks Graph a small question where nothing else does, so that the replicas
// know of each other who can read: one without mailboxes, or one that released its
// partitions because it could not read, finds its way back. A replica that is alone
// need not know.
func askGraph(ctx context.Context, client *graph.Client, owners *partition.Owners, seen *observer) error {
	for schedule.Sleep(ctx, time.Second) {
		if since := seen.sinceAccepted(); since >= 0 && since < quietTime || len(owners.Table().Beats) < 2 {
			continue
		}
		_ = client.Ping(ctx) // the observer sees the result
		schedule.Sleep(ctx, quietTime-time.Second)
	}
	return nil
}
