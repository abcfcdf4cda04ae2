package mediatorsim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// monitorTimeout is how long the mediator waits for the monitor.
const monitorTimeout = 10 * time.Second

// newClient returns a client that shows redirects instead of following them.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// SetMonitorURL says where the monitor is. A user and password in the URL become
// Basic auth, unless there is a [Config.MonitorToken].
func (s *Server) SetMonitorURL(base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.monitor = base
}

// Add puts users into the table without telling the monitor.
func (s *Server) Add(emails ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, email := range emails {
		if !slices.Contains(s.table, email) {
			s.table = append(s.table, email)
		}
	}
}

// Monitor asks the monitor to start or stop with a user and returns the status of
// its answer. The user is in the table before a start is asked for, and no longer
// in it before a stop is, whatever the answer. A setup that is under way does not
// start it again.
func (s *Server) Monitor(ctx context.Context, email string, on bool) (status int, err error) {
	if on {
		s.Add(email)
		return s.post(ctx, email, true)
	}
	s.Remove(email)
	s.telling.Lock()
	defer s.telling.Unlock()
	return s.post(ctx, email, false)
}

// repost tells the monitor of a user of the table, unless it has left meanwhile.
func (s *Server) repost(ctx context.Context, email string) (status int, err error) {
	s.telling.Lock()
	defer s.telling.Unlock()
	if !s.knows(email) {
		return http.StatusOK, nil
	}
	return s.post(ctx, email, true)
}

// Remove takes a user out of the table without telling the monitor.
func (s *Server) Remove(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = slices.DeleteFunc(s.table, func(e string) bool { return e == email })
}

// knows says whether a user is in the table, in this very spelling.
func (s *Server) knows(email string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.table, email)
}

// post asks the monitor to start or stop with one user.
func (s *Server) post(ctx context.Context, email string, on bool) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
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
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// word is how the mediator writes a bool.
func word(is bool) string {
	if is {
		return "True"
	}
	return "False"
}
