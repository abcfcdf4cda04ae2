package mediatorsim

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/schedule"
)

// SetMonitorURL sets the base URL of the monitor. A user and password in the URL become
// Basic auth, unless there is a [Config.MonitorToken].
func (s *Server) SetMonitorURL(base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.monitorURL = base
}

// Add adds users without a call to the monitor.
func (s *Server) Add(emails ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, email := range emails {
		if !slices.Contains(s.users, email) {
			s.users = append(s.users, email)
		}
	}
}

// Remove removes a user without a call to the monitor.
func (s *Server) Remove(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = slices.DeleteFunc(s.users, func(e string) bool { return e == email })
}

// knows reports whether a user exists in exactly this spelling.
func (s *Server) knows(email string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.users, email)
}

// Monitor asks the monitor to start or stop monitoring a user and returns the HTTP status.
// It adds or removes the user before the request, whatever the answer. A setup in progress
// does not start a stopped user again.
func (s *Server) Monitor(ctx context.Context, email string, on bool) (status int, err error) {
	if on {
		s.Add(email)
		return s.post(ctx, email, true)
	}
	s.Remove(email)
	s.posting.Lock()
	defer s.posting.Unlock()
	return s.post(ctx, email, false)
}

// Setups returns how often POST /api/setup was called.
func (s *Server) Setups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setups
}

// DelaySetup delays the beginning of each POST /api/setup from now on.
func (s *Server) DelaySetup(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setupDelay = d
}

// setup handles POST /api/setup. It fails if the monitor does not answer, not if the
// monitor refuses a user.
func (s *Server) setup(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.setups++
	users, delay := slices.Clone(s.users), s.setupDelay
	s.mu.Unlock()
	schedule.Sleep(r.Context(), delay)
	for _, email := range users {
		status, err := s.postUser(r.Context(), email)
		if err != nil {
			s.cfg.Log.WarnContext(r.Context(), "user not posted to the monitor", "err", err)
			answer(w, http.StatusOK, false)
			return
		}
		if status/100 != 2 {
			s.cfg.Log.WarnContext(r.Context(), "monitor refused a user", "status", status)
		}
	}
	answer(w, http.StatusOK, true)
}

// postUser asks the monitor to start monitoring a user, unless the user was removed.
func (s *Server) postUser(ctx context.Context, email string) (status int, err error) {
	s.posting.Lock()
	defer s.posting.Unlock()
	if !s.knows(email) {
		return http.StatusOK, nil
	}
	return s.post(ctx, email, true)
}

// post asks the monitor to start or stop monitoring a user.
func (s *Server) post(ctx context.Context, email string, on bool) (status int, err error) {
	body, _ := json.Marshal(map[string]string{"email": email, "status": boolText(on)}) // never fails for strings
	s.mu.Lock()
	base := strings.TrimSuffix(s.monitorURL, "/")
	s.mu.Unlock()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/monitor", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	if s.cfg.MonitorToken != "" {
		request.Header.Set("Authorization", "Bearer "+s.cfg.MonitorToken)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// boolText returns a bool as the mediator writes it.
func boolText(b bool) string {
	if b {
		return "True"
	}
	return "False"
}
