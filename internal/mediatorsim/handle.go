package mediatorsim

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"
)

const maxBody = 1 << 20 // bytes

// handler is the old mediator's API.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.guarded(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "VMO MEDIATOR")
	}))
	mux.HandleFunc("POST /api/setup", s.guarded(s.setup))
	mux.HandleFunc("POST /api/setstatus", s.setStatus)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			panic(http.ErrAbortHandler)
		}
		defer s.inHand.Done()
		mux.ServeHTTP(w, r)
	})
}

// guarded demands the token.
func (s *Server) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.authorized(r) {
			answer(w, http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

func (s *Server) authorized(r *http.Request) bool {
	return s.cfg.Token == "" || r.Header.Get("Authorization") == "Bearer "+s.cfg.Token
}

// Setups returns how often POST /api/setup was asked.
func (s *Server) Setups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setups
}

// SlowSetup has each POST /api/setup from now on begin only after a time.
func (s *Server) SlowSetup(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = by
}

// setup posts all users to the monitor, one after the other, and then answers.
// What the monitor says of a user doesn't matter, that it answers does.
func (s *Server) setup(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.setups++
	table, slow := slices.Clone(s.table), s.slow
	s.mu.Unlock()
	time.Sleep(slow)
	for _, email := range table {
		status, err := s.repost(r.Context(), email)
		if err != nil {
			s.cfg.Log.WarnContext(r.Context(), "the monitor could not be told of a user", "err", err)
			say(w, http.StatusOK, "False")
			return
		}
		if status/100 != 2 {
			s.cfg.Log.WarnContext(r.Context(), "the monitor did not take a user", "status", status)
		}
	}
	answer(w, http.StatusOK)
}

// setStatus takes one state.
func (s *Server) setStatus(w http.ResponseWriter, r *http.Request) {
	call := Call{At: time.Now(), WebhookID: r.Header.Get("Webhook-Id"), Trace: r.Header.Get("Traceparent")}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	formed := call.read(r.Header, body) && err == nil
	call.Signed = s.signer != nil && s.signer.Verify(body, r.Header) == nil
	number := s.arrived(call)

	var reaction Reaction
	status := s.refusal(r, call, formed)
	if status == 0 {
		reaction = s.reaction(call)
		status = s.meet(r, call, reaction)
	}
	s.answered(number, status)
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	if reaction.RetryAfter != "" {
		w.Header().Set("Retry-After", reaction.RetryAfter)
	}
	answer(w, status)
}

// read fills in what the body brings and says whether it is a state: three
// strings, the second of them True or False.
func (c *Call) read(header http.Header, body []byte) bool {
	var brought map[string]any
	if json.Unmarshal(body, &brought) != nil {
		return false
	}
	strings := 0
	for name, field := range map[string]*string{"email": &c.Email, "status": &c.Status, "message": &c.Message} {
		if text, ok := brought[name].(string); ok {
			*field = text
			strings++
		}
	}
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return kind == "application/json" && strings == 3 && len(brought) == 3 &&
		c.Email != "" && (c.Status == "True" || c.Status == "False")
}

// refusal is the status for a call that is not even looked at; 0: it is.
func (s *Server) refusal(r *http.Request, call Call, formed bool) int {
	switch {
	case !s.authorized(r), s.signer != nil && !call.Signed:
		return http.StatusUnauthorized
	case !formed:
		return http.StatusBadRequest
	}
	return 0
}

func (s *Server) reaction(call Call) Reaction {
	s.mu.Lock()
	react := s.react
	s.mu.Unlock()
	if react == nil {
		return Reaction{}
	}
	return react(call)
}

// meet carries out a reaction and returns the status to answer with; 0: none,
// because that was wanted or the caller is gone.
func (s *Server) meet(r *http.Request, call Call, reaction Reaction) int {
	if reaction.Delay > 0 {
		timer := time.NewTimer(reaction.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	if reaction.Hang {
		<-r.Context().Done()
	}
	switch {
	case reaction.Cut, r.Context().Err() != nil:
		return 0
	case reaction.Status != 0:
		return reaction.Status
	case !s.knows(call.Email):
		return http.StatusNotFound
	}
	return http.StatusOK
}

// answer answers with the result that the status means.
func answer(w http.ResponseWriter, status int) { say(w, status, word(status/100 == 2)) }

func say(w http.ResponseWriter, status int, result string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"result": result})
}
