package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// pulse remembers whether calls of something work.
type pulse struct {
	mu    sync.Mutex
	err   error     // of the last call; nil: it worked; guarded by mu
	since time.Time // of the first of a row of failures; guarded by mu
}

func (p *pulse) worked() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.since = nil, time.Time{}
}

func (p *pulse) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err = err; p.since.IsZero() {
		p.since = time.Now()
	}
}

// trouble is what is wrong, since when; nil if the last call worked.
func (p *pulse) trouble() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%w, since %s", p.err, p.since.UTC().Format(time.RFC3339))
}

var errNoAnswer = errors.New("Microsoft Graph does not answer")

// graphAnswered hears of every call of Graph. That it is refused for what it
// asks, or asked to wait, is an answer.
func (s *service) graphAnswered(operation string, status int, took time.Duration) {
	s.metrics.GraphAnswered(operation, status, took)
	s.operators.meter.Called(status)
	switch {
	case status == 0:
		s.calls.failed(errNoAnswer)
	case status >= http.StatusInternalServerError, status == http.StatusUnauthorized:
		s.calls.failed(fmt.Errorf("Microsoft Graph answers %d", status))
	default:
		s.calls.worked()
	}
}
