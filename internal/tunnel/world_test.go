package tunnel_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// told is what a tunnel said: its URLs in order.
type told struct {
	mu   sync.Mutex
	urls []string
}

func (o *told) opened(url string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.urls = append(o.urls, url)
}

func (o *told) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.urls)
}

// lines is a log that is written and read at once.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// start runs something until the test ends, and checks that it ends well.
func start(t *testing.T, run func(ctx context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
}

// fakeAgent is the local API of an ngrok agent.
type fakeAgent struct {
	server *httptest.Server

	mu     sync.Mutex
	status int // guarded by mu, as below
	body   string
	asked  int
}

func newFakeAgent(t *testing.T) *fakeAgent {
	t.Helper()
	a := &fakeAgent{status: http.StatusOK, body: `{"tunnels":[],"uri":"/api/tunnels"}`}
	a.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked++
		if r.URL.Path != "/api/tunnels" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		fmt.Fprint(w, a.body)
	}))
	t.Cleanup(a.server.Close)
	return a
}

// answer sets what the agent says from now on, and returns once it has said so.
func (a *fakeAgent) answer(t *testing.T, status int, body string) {
	t.Helper()
	a.mu.Lock()
	a.status, a.body = status, body
	asked := a.asked
	a.mu.Unlock()
	eventually(t, "the agent is asked twice", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.asked >= asked+2
	})
}

// tunnels is what an agent lists: names, public URLs and addresses in turn.
func tunnels(all ...string) string {
	var list []string
	for t := range slices.Chunk(all, 3) {
		list = append(list, fmt.Sprintf(`{"name":%q,"uri":"/api/tunnels/x","public_url":%q,"proto":"https","config":{"addr":%q,"inspect":true},"metrics":{}}`, t[0], t[1], t[2]))
	}
	return `{"tunnels":[` + strings.Join(list, ",") + `],"uri":"/api/tunnels"}`
}
