package bench_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// mediator acknowledges every state.
type mediator struct {
	*httptest.Server

	mu      sync.Mutex
	known   map[string]bool                    // by address; guarded by mu
	onState func(message string, at time.Time) // guarded by mu
}

func startMediator(t testing.TB) *mediator {
	t.Helper()
	m := &mediator{known: map[string]bool{}, onState: func(string, time.Time) {}}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
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
		onState := m.onState
		m.mu.Unlock()
		onState(call.Message, at)
	}
	_, _ = io.WriteString(w, `{"result":"True"}`)
}

// setOnState sets a callback for all states.
func (m *mediator) setOnState(onState func(message string, at time.Time)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.onState = onState
}

// stateCount returns the number of users with a state.
func (m *mediator) stateCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.known)
}
