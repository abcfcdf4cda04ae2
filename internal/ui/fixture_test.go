package ui_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/ui"
)

// fixture is a fake store and API, and the configuration of the page.
type fixture struct {
	mu      sync.Mutex
	users   []ooo.User // guarded by mu, as all below
	news    []ooo.FeedEntry
	reports []ooo.Replica
	err     error
	api     []string // requests to the API, with their token

	token       string
	meter       *ui.Meter
	page        *ui.UI // set by serve, like meter
	wrongTokens atomic.Int32
}

func (f *fixture) Search(context.Context, ooo.Query) (ooo.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return ooo.Page{Users: f.users, Total: len(f.users), Counts: map[ooo.Filter]int{ooo.FilterAll: len(f.users)}}, f.err
}

func (f *fixture) RecentFeed(ctx context.Context, _ int) ([]ooo.FeedEntry, string, error) {
	return f.FeedAfter(ctx, "")
}

func (f *fixture) FeedAfter(_ context.Context, from string) ([]ooo.FeedEntry, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.news[min(len(from), len(f.news)):], position(len(f.news)), f.err
}

// position is the position after the first n entries.
func position(n int) string { return strings.Repeat("x", n) }

func (f *fixture) ReportLoad(_ context.Context, r ooo.Replica) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports = append(f.reports, r)
	return f.err
}

func (f *fixture) Reports(_ context.Context, age time.Duration) ([]ooo.Replica, time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	reports := slices.DeleteFunc(slices.Clone(f.reports), func(r ooo.Replica) bool { return now.Sub(r.SeenAt) > age })
	return reports, now, f.err
}

// ServeHTTP answers as the API.
func (f *fixture) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, cookie := r.Header["Cookie"]
	f.api = append(f.api, r.Method+" "+r.URL.EscapedPath()+"?"+r.URL.RawQuery+" "+r.Header.Get("Authorization")+map[bool]string{true: " cookie"}[cookie])
	_, _ = io.WriteString(rw, `{"from":"api"}`)
}

func (f *fixture) addEvent(kind ooo.EventKind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.news = append(f.news, ooo.FeedEntry{Event: ooo.Event{At: time.Now(), Kind: kind}, Address: "ann@contoso.example", Name: "Ann"})
}

// serve serves the page and returns its base URL.
func (f *fixture) serve(t *testing.T) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	f.meter = ui.NewMeter()
	f.page = ui.New(ui.Config{
		Store: f, Ready: func() bool { return true }, API: f, Token: f.token, Interval: 2 * time.Second,
		Replica: "life", Version: "v1", Meter: f.meter, Log: log,
		Access: server.NewAccess(server.AccessConfig{Token: f.token, AnyHost: true, Wrong: func() { f.wrongTokens.Add(1) }, Log: log}),
	})
	engine := api.NewEngine(log)
	f.page.Register(engine)
	return programtest.Serve(t, engine)
}

type request struct {
	method, path, body string
	header             map[string]string
}

var client = http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (r request) open(t *testing.T, base string) *http.Response {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), r.method, base+r.path, strings.NewReader(r.body))
	must.NoError(t, err)
	for name, value := range r.header {
		q.Header.Set(name, value)
	}
	response, err := client.Do(q)
	must.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func (r request) send(t *testing.T, base string) (*http.Response, string) {
	t.Helper()
	response := r.open(t, base)
	text, err := io.ReadAll(response.Body)
	must.NoError(t, err)
	return response, string(text)
}

// readFeed reads a feed up to the position after at least n entries, and returns their
// data and that position.
func readFeed(t *testing.T, response *http.Response, n int) (data []string, id string) {
	t.Helper()
	event := ""
	for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
		name, value, _ := strings.Cut(scanner.Text(), ":")
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
	t.Fatalf("the feed ended after %d entries, want %d", len(data), n)
	return nil, ""
}
