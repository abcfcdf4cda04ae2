package mediatorsim

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"outlook-monitor/internal/schedule"
)

const maxBody = 1 << 20 // bytes

// Call is a POST /api/setstatus. If its body is malformed, only the readable fields are set.
type Call struct {
	At        time.Time // of arrival
	Email     string
	Status    string // True or False
	Message   string
	WebhookID string
	Answered  int // HTTP status; 0: not yet, or the caller gave up
}

// State is the last state that the mediator acknowledged for a user.
type State struct{ Status, Message string }

// Reaction replaces the normal answer to a call.
type Reaction struct {
	Status int           // 0: the normal status
	Delay  time.Duration // before the answer, unless the caller gives up
}

// Answer makes react choose the answers to well-formed calls. With nil later calls are
// answered normally.
func (s *Server) Answer(react func(Call) Reaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.react = react
}

// Calls returns all calls in the order of arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// State returns the last acknowledged state of a user.
func (s *Server) State(email string) (State, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, ok := s.states[email]
	return state, ok
}

// setStatus handles POST /api/setstatus.
func (s *Server) setStatus(w http.ResponseWriter, r *http.Request) {
	call := Call{At: time.Now(), WebhookID: r.Header.Get("Webhook-Id")}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	wellFormed := call.parse(r.Header, body) && err == nil
	s.mu.Lock()
	number, react := len(s.calls), s.react
	s.calls = append(s.calls, call)
	s.mu.Unlock()

	status := http.StatusBadRequest
	if wellFormed {
		var reaction Reaction
		if react != nil {
			reaction = react(call)
		}
		status = s.statusOf(r.Context(), call, reaction)
	}
	call.Answered = status
	s.mu.Lock()
	s.calls[number] = call
	if status/100 == 2 {
		s.states[call.Email] = State{call.Status, call.Message}
	}
	s.mu.Unlock()
	s.cfg.Received(call)
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	answer(w, status, status/100 == 2)
}

// parse sets the fields of the body and reports whether it is well-formed: exactly three
// strings, with an email and the status True or False.
func (c *Call) parse(header http.Header, body []byte) bool {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return false
	}
	c.Email, _ = fields["email"].(string)
	c.Status, _ = fields["status"].(string)
	message, ok := fields["message"].(string)
	c.Message = message
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return kind == "application/json" && ok && len(fields) == 3 &&
		c.Email != "" && (c.Status == "True" || c.Status == "False")
}

// statusOf waits as the reaction demands and returns the HTTP status of the answer, or 0 if
// the caller has given up.
func (s *Server) statusOf(ctx context.Context, call Call, reaction Reaction) int {
	schedule.Sleep(ctx, reaction.Delay)
	switch {
	case ctx.Err() != nil:
		return 0
	case reaction.Status != 0:
		return reaction.Status
	case !s.knows(call.Email):
		return http.StatusNotFound
	}
	return http.StatusOK
}

func answer(w http.ResponseWriter, status int, result bool) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"result": boolText(result)})
}
