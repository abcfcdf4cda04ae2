package mediatorsim

import (
	"slices"
	"time"
)

// Call is an attempt at POST /api/setstatus. Of one that is no state at all,
// what could be read is there.
type Call struct {
	At        time.Time // of arrival
	Email     string
	Status    string // True or False
	Message   string
	WebhookID string
	Trace     string // traceparent
	Signed    bool   // with [Config.SigningSecret]; false without one
	Answered  int    // HTTP status; 0: not yet, or the caller never got one
}

// State is what the mediator acknowledged last for a user.
type State struct{ Status, Message string }

// Reaction is what a call meets instead of the usual answer.
type Reaction struct {
	Status     int           // 0: the usual
	RetryAfter string        // header; empty: none
	Delay      time.Duration // before anything else
	Hang       bool          // silence until the caller gives up or the mediator goes
	Cut        bool          // the connection ends without an answer
}

// Answer makes the calls that are well-formed, signed and authorized meet what
// react says; nil ends that. Calls that hang go on to hang.
func (s *Server) Answer(react func(Call) Reaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.react = react
}

// Calls returns every attempt to bring a state, in the order of arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// State returns what was acknowledged last for a user.
func (s *Server) State(email string) (State, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, ok := s.states[email]
	return state, ok
}

// arrived remembers a call and returns its number.
func (s *Server) arrived(call Call) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	return len(s.calls) - 1
}

// answered notes how a call was answered and tells of it.
func (s *Server) answered(number, status int) {
	s.mu.Lock()
	s.calls[number].Answered = status
	call := s.calls[number]
	if status/100 == 2 {
		s.states[call.Email] = State{call.Status, call.Message}
	}
	s.mu.Unlock()
	s.cfg.Received(call)
}
