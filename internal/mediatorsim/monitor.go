package mediatorsim

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// SetMonitorURL says where the monitor is. A user and password in the URL become
// Basic auth, unless there is a [Config.MonitorToken].
func (s *Server) SetMonitorURL(base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.monitor = base
}

// Add puts users into the table without a call to the monitor.
func (s *Server) Add(emails ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, email := range emails {
		if !slices.Contains(s.table, email) {
			s.table = append(s.table, email)
		}
	}
}

// Remove takes a user out of the table without a call to the monitor.
func (s *Server) Remove(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = slices.DeleteFunc(s.table, func(e string) bool { return e == email })
}

// knows reports whether a user is in the table, in this very spelling.
func (s *Server) knows(email string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.table, email)
}

// Monitor asks the monitor to start or stop with a user and returns the status of
// its answer. The user is in the table before a start is asked for, and no longer
// in it before a stop is, whatever the answer. A setup in progress does not start
// it again.
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

// SlowSetup has each POST /api/setup from now on begin only after a time.
func (s *Server) SlowSetup(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = by
}

// setup is POST /api/setup. What the monitor answers for a user doesn't matter,
// that it answers does.
func (s *Server) setup(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.setups++
	table, slow := slices.Clone(s.table), s.slow
	s.mu.Unlock()
	sleep(r.Context(), slow)
	for _, email := range table {
		status, err := s.postAgain(r.Context(), email)
		if err != nil {
			s.cfg.Log.WarnContext(r.Context(), "post a user to the monitor", "err", err)
			answer(w, http.StatusOK, false)
			return
		}
		if status/100 != 2 {
			s.cfg.Log.WarnContext(r.Context(), "monitor refused a user", "status", status)
		}
	}
	answer(w, http.StatusOK, true)
}

// postAgain posts a user of the table, unless it was removed meanwhile.
func (s *Server) postAgain(ctx context.Context, email string) (status int, err error) {
	s.posting.Lock()
	defer s.posting.Unlock()
	if !s.knows(email) {
		return http.StatusOK, nil
	}
	return s.post(ctx, email, true)
}

// post asks the monitor to start or stop with one user.
func (s *Server) post(ctx context.Context, email string, on bool) (status int, err error) {
	body, err := json.Marshal(map[string]string{"email": email, "status": word(on)})
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	base := strings.TrimSuffix(s.monitor, "/")
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

// word is how the mediator writes a bool.
func word(is bool) string {
	if is {
		return "True"
	}
	return "False"
}
