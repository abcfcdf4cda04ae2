package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"outlook-monitor/internal/schedule"
)

// callStatus remembers whether calls of something work.
type callStatus struct {
	mu    sync.Mutex
	err   error     // of the last call; nil: it worked; guarded by mu
	since time.Time // of the first of a row of failures; guarded by mu
}

func (s *callStatus) worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.since = nil, time.Time{}
}

func (s *callStatus) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; s.since.IsZero() {
		s.since = time.Now()
	}
}

// problem is what is wrong, since when; nil if the last call worked.
func (s *callStatus) problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	return fmt.Errorf("%w, since %s", s.err, s.since.UTC().Format(time.RFC3339))
}

// answers remembers how Graph answers.
type answers struct {
	callStatus
	mu   sync.Mutex
	last time.Time // answer to an accepted token; guarded by mu
}

func (a *answers) accepted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = time.Now()
}

// sinceAccepted returns how long ago Graph answered an accepted token; negative: never.
func (a *answers) sinceAccepted() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last.IsZero() {
		return -1
	}
	return time.Since(a.last)
}

var errNoAnswer = errors.New("Microsoft Graph does not answer")

// graphAnswered hears of every call of Graph. That it refuses what was asked, or
// asks to wait, is an answer.
func (s *service) graphAnswered(operation string, status int, took time.Duration) {
	s.metrics.GraphAnswered(operation, status, took)
	s.operators.meter.Called(status)
	if operation != "login" && status != 0 && status != http.StatusUnauthorized {
		s.answers.accepted()
	}
	switch {
	case status == 0:
		s.answers.failed(errNoAnswer)
	case status >= http.StatusInternalServerError, status == http.StatusUnauthorized:
		s.answers.failed(fmt.Errorf("Microsoft Graph answers %d", status))
	default:
		s.answers.worked()
	}
}

// quietTime is how long a replica may go without an answer of Graph before it asks
// for one.
const quietTime = 5 * time.Second

// askGraph asks Graph a small question where nothing else does, so that the replicas
// know of each other who can read: one without mailboxes, or one that gave its
// partitions away because it could not, finds its way back. A replica that is alone
// need not know.
func (s *service) askGraph(ctx context.Context) error {
	for schedule.Sleep(ctx, time.Second) {
		if since := s.answers.sinceAccepted(); since >= 0 && since < quietTime || s.alone() {
			continue
		}
		_ = s.graph.Ping(ctx) // graphAnswered hears of it
		schedule.Sleep(ctx, quietTime-time.Second)
	}
	return nil
}
