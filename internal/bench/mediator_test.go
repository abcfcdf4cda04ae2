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

// delivery is a state that the mediator acknowledged.
type delivery struct {
	status, message string
	at              time.Time // of arrival
}

// mediator acknowledges every state.
type mediator struct {
	*httptest.Server

	mu      sync.Mutex
	known   map[string]bool // by address; guarded by mu
	onState func(address string, state delivery)
}

func startMediator(t testing.TB) *mediator {
	t.Helper()
	m := &mediator{known: map[string]bool{}, onState: func(string, delivery) {}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/setstatus", m.setStatus)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"result":"True"}`)
	})
	m.Server = httptest.NewServer(mux)
	t.Cleanup(m.Close)
	return m
}

func (m *mediator) setStatus(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	var call struct{ Email, Status, Message string }
	if json.NewDecoder(r.Body).Decode(&call) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	state := delivery{call.Status, call.Message, at}
	m.mu.Lock()
	m.known[call.Email] = true
	onState := m.onState
	m.mu.Unlock()
	onState(call.Email, state)
	_, _ = io.WriteString(w, `{"result":"True"}`)
}

// setOnState sets a callback for all states.
func (m *mediator) setOnState(onState func(address string, state delivery)) {
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
