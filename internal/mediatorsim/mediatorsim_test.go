package mediatorsim_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

const (
	ann = "Ann@contoso.example"
	bob = "bob@contoso.example"
)

// client opens a connection for each request, so that no connection from before an Away is
// reused.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// start runs a mediator until the test ends.
func start(t *testing.T, cfg mediatorsim.Config) *mediatorsim.Server {
	t.Helper()
	s, err := mediatorsim.New(cfg)
	must.NoError(t, err)
	await.Run(t, s.Run)
	return s
}

// send posts JSON and returns the answer, or status 0 if there is none.
func send(t *testing.T, url, body string, header ...string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	must.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	for pair := range slices.Chunk(header, 2) {
		request.Header.Set(pair[0], pair[1])
	}
	return programtest.Send(client, request)
}

// wantSetStatus sends a state with an empty message and checks the HTTP status; 0 is no answer.
func wantSetStatus(t *testing.T, s *mediatorsim.Server, email string, want int) {
	t.Helper()
	got, text := send(t, s.URL()+"/api/setstatus", `{"email":"`+email+`","status":"True","message":""}`)
	if got != want {
		t.Errorf("setstatus = %d %s, want %d", got, text, want)
	}
}

// monitor receives the users of the mediator.
type monitor struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string // Authorization, if any, and the body
}

// newMonitor returns a monitor that answers with handle.
func newMonitor(t *testing.T, handle http.HandlerFunc) *monitor {
	t.Helper()
	m := &monitor{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/monitor" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the monitor got %s %s with %s, want JSON posted to /monitor", r.Method, r.URL, r.Header.Get("Content-Type"))
		}
		m.mu.Lock()
		m.requests = append(m.requests, strings.TrimSpace(r.Header.Get("Authorization")+" "+string(body)))
		m.mu.Unlock()
		handle(w, r)
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *monitor) got() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.requests)
}

// posted returns the body that the mediator posts for a user.
func posted(email, status string) string {
	return `{"email":"` + email + `","status":"` + status + `"}`
}
