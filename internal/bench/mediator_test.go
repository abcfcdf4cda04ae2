package bench_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// told is what the mediator acknowledged last for a user.
type told struct {
	status, message string
	at              time.Time // of arrival
}

// mediator takes every state as fast as it can, or as slowly as it is asked to.
type mediator struct {
	*httptest.Server
	delay atomic.Int64 // nanoseconds

	mu    sync.Mutex
	known map[string]told // by address; guarded by mu
	heard func(address string, state told)
}

func startMediator(t testing.TB) *mediator {
	t.Helper()
	m := &mediator{known: map[string]told{}, heard: func(string, told) {}}
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
	if d := time.Duration(m.delay.Load()); d > 0 {
		time.Sleep(d)
	}
	state := told{call.Status, call.Message, at}
	m.mu.Lock()
	m.known[call.Email] = state
	heard := m.heard
	m.mu.Unlock()
	heard(call.Email, state)
	_, _ = io.WriteString(w, `{"result":"True"}`)
}

// listen has everything that is told passed on.
func (m *mediator) listen(heard func(address string, state told)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = heard
}

// states counts the users that it was told about.
func (m *mediator) states() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.known)
}

func (m *mediator) state(address string) told {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[address]
}
