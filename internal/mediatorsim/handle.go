package mediatorsim

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"
)

// handler is the old mediator's API.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "VMO MEDIATOR") })
	mux.HandleFunc("POST /api/setup", s.setup)
	mux.HandleFunc("POST /api/setstatus", s.setStatus)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.cfg.Token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// setup posts all users to the monitor, one after the other, and then answers.
func (s *Server) setup(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.setups++
	table := slices.Clone(s.table)
	s.mu.Unlock()
	for _, email := range table {
		if _, err := s.post(r.Context(), email, true); err != nil {
			s.cfg.Log.Warn("the monitor could not be told of a user", "err", err)
			answer(w, http.StatusOK, "False")
			return
		}
	}
	answer(w, http.StatusOK, "True")
}

func answer(w http.ResponseWriter, status int, result string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"result": result})
}

// setStatus takes one state.
func (s *Server) setStatus(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		answer(w, http.StatusBadRequest, "no body")
		return
	}
	var brought map[string]string
	if json.Unmarshal(body, &brought) != nil || len(brought) != 3 || brought["email"] == "" ||
		brought["status"] != "True" && brought["status"] != "False" {
		answer(w, http.StatusBadRequest, "not email, status and message")
		return
	}
	call := Call{
		At: at, Email: brought["email"], Status: brought["status"], Message: brought["message"],
		WebhookID: r.Header.Get("Webhook-Id"), Trace: r.Header.Get("Traceparent"),
	}
	s.mu.Lock()
	react := s.react
	known := slices.Contains(s.table, call.Email)
	s.mu.Unlock()
	var reaction Reaction
	if react != nil {
		reaction = react(call)
	}
	if reaction.Delay > 0 {
		select {
		case <-time.After(reaction.Delay):
		case <-r.Context().Done():
		}
	}
	switch {
	case s.signer != nil && s.signer.Verify(body, r.Header) != nil:
		call.Answered = http.StatusUnauthorized
	case reaction.Cut:
	case reaction.Status != 0:
		call.Answered = reaction.Status
	case !known:
		call.Answered = http.StatusNotFound
	default:
		call.Answered = http.StatusOK
	}
	s.note(call)
	if call.Answered == 0 {
		panic(http.ErrAbortHandler)
	}
	if reaction.RetryAfter != "" {
		w.Header().Set("Retry-After", reaction.RetryAfter)
	}
	answer(w, call.Answered, map[bool]string{true: "True", false: "False"}[call.Answered/100 == 2])
}

// note remembers a call and tells of it.
func (s *Server) note(call Call) {
	s.mu.Lock()
	s.calls = append(s.calls, call)
	if call.Answered/100 == 2 {
		s.states[call.Email] = State{call.Status, call.Message}
	}
	s.mu.Unlock()
	s.cfg.Received(call)
}
