package ui_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/ui"
)

// world is the store and the API in memory.
type world struct {
	mu        sync.Mutex
	users     []ooo.User // guarded by mu, as all below
	news      []ooo.FeedEntry
	queries   []ooo.Query
	hints     []ooo.Hint
	beats     []ooo.Replica
	left      []string
	loads     []ooo.LoadAt
	now       time.Time
	err       error
	api       []string // requests that the API got, with their token
	token     string
	resources int
	loopback  bool // without a token, only loopback names are answered
}

func (w *world) Find(_ context.Context, q ooo.Query) (ooo.Page, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queries = append(w.queries, q)
	page := ooo.Page{Total: len(w.users), Counts: map[ooo.Filter]int{ooo.FilterAll: len(w.users)}}
	if q.Limit > 0 {
		page.Users = w.users
	}
	return page, w.err
}

func (w *world) User(_ context.Context, address string) (ooo.User, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.users {
		if u.Folded() == ooo.FoldAddress(address) {
			return u, w.err
		}
	}
	return ooo.User{}, ooo.ErrNotMonitored
}

func (w *world) RecentFeed(context.Context, int) ([]ooo.FeedEntry, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.news, place(len(w.news)), w.err
}

func (w *world) FeedAfter(_ context.Context, from string) ([]ooo.FeedEntry, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.news[min(len(from), len(w.news)):], place(len(w.news)), w.err
}

// place is after the first n news.
func place(n int) string { return strings.Repeat("x", n) }

func (w *world) leave(_ context.Context, hints ...ooo.Hint) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hints = append(w.hints, hints...)
	return w.err
}

func (w *world) ReportLoad(_ context.Context, r ooo.Replica) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beats = append(w.beats, r)
	return w.err
}

func (w *world) ReportStop(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = append(w.left, id)
	return w.err
}

func (w *world) Replicas(context.Context) ([]ooo.Replica, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.beats, w.err
}

func (w *world) Loads(context.Context) ([]ooo.LoadAt, time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.loads, w.now, w.err
}

// ServeHTTP is the API.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, cookie := r.Header["Cookie"]
	w.api = append(w.api, r.Method+" "+r.URL.EscapedPath()+"?"+r.URL.RawQuery+" "+r.Header.Get("Authorization")+map[bool]string{true: " cookie"}[cookie])
	_, _ = io.WriteString(rw, `{"from":"api"}`)
}

func (w *world) tell(kind ooo.EventKind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.news = append(w.news, ooo.FeedEntry{Event: ooo.Event{At: time.Now(), Kind: kind}, Address: "ann@contoso.example", Name: "Ann"})
}

// page is the page over w.
func (w *world) page(t *testing.T) (*ui.UI, http.Handler) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	u, err := ui.New(ui.Config{
		Store: w, Replicas: w, Leave: w.leave, API: w, Token: w.token, Resources: w.resources, Interval: 2 * time.Second, Version: "v1", Meter: ui.NewMeter(), Log: log,
		Access: server.NewAccess(server.AccessConfig{Token: w.token, AnyHost: !w.loopback, Wrong: func() {}, Log: log}),
	})
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.UseRawPath, engine.UnescapePathValues = true, false
	u.Register(engine)
	return u, engine
}

// serve runs the page and returns its base URL.
func (w *world) serve(t *testing.T) string {
	t.Helper()
	_, handler := w.page(t)
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv.URL
}

// request is one call with what is said in its headers.
type request struct {
	method, path, body string
	header             map[string]string
}

var client = http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (r request) open(t *testing.T, base string) *http.Response {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), r.method, base+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.header {
		q.Header.Set(name, value)
	}
	response, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func (r request) send(t *testing.T, base string) (*http.Response, string) {
	t.Helper()
	response := r.open(t, base)
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

// lines reads a feed until it has n events of news, and returns their data and
// the last id.
func lines(t *testing.T, response *http.Response, n int) (data []string, id string) {
	t.Helper()
	event := ""
	for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
		name, value, _ := strings.Cut(scanner.Text(), ": ")
		switch {
		case name == "event":
			event = value
		case name == "id":
			id = value
		case name == "data" && event == "news":
			data = append(data, value)
		case name == "data" && len(data) >= n:
			return data, id
		}
	}
	t.Fatalf("the feed ended after %d events, want %d", len(data), n)
	return nil, ""
}
