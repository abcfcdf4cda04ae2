package bench_test

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/programtest"
)

// mediator acknowledges every state.
type mediator struct {
	URL string

	mu      sync.Mutex
	known   map[string]bool           // by address; guarded by mu
	waiting map[string]chan time.Time // by message; guarded by mu
}

func startMediator(t testing.TB) *mediator {
	t.Helper()
	m := &mediator{known: map[string]bool{}, waiting: map[string]chan time.Time{}}
	m.URL = programtest.Serve(t, m)
	return m
}

func (m *mediator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	if r.URL.Path == "/api/setstatus" {
		var call struct{ Email, Message string }
		if json.NewDecoder(r.Body).Decode(&call) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		m.mu.Lock()
		m.known[call.Email] = true
		if arrived := m.waiting[call.Message]; arrived != nil {
			arrived <- at
			delete(m.waiting, call.Message)
		}
		m.mu.Unlock()
	}
	_, _ = io.WriteString(w, `{"result":"True"}`)
}

// arrival returns a channel for the time when a message arrives.
func (m *mediator) arrival(message string) <-chan time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	arrived := make(chan time.Time, 1)
	m.waiting[message] = arrived
	return arrived
}

// stateCount returns the number of users with a state.
func (m *mediator) stateCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.known)
}
