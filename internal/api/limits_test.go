package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
)

func TestMainPage(t *testing.T) {
	const ok, failed = "EXCHANGE OOO MAIN PAGE : Mediator Server sync SUCCESSFUL.", "EXCHANGE OOO MAIN PAGE : Unable to sync with Mediator Server."
	tests := map[string]struct {
		request
		err   error
		body  string
		syncs int
	}{
		"GET":              {get("/"), nil, ok, 1},
		"GET, failed sync": {get("/"), errors.New("mediator unreachable"), failed, 1},
		"HEAD":             {head("/"), nil, "", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			syncs := 0
			f.sync = func(context.Context) error { syncs++; return tt.err }
			answer, body := tt.ask(handler(t, f))
			if answer.Code != 200 || body != tt.body || syncs != tt.syncs {
				t.Errorf("answer = %d %q after %d syncs, want 200 %q after %d", answer.Code, body, syncs, tt.body, tt.syncs)
			}
			if kind := answer.Header().Get("Content-Type"); tt.method == http.MethodGet && !strings.HasPrefix(kind, "text/plain") {
				t.Errorf("Content-Type = %q, want text/plain", kind)
			}
		})
	}
}

// TestMonitorDuringSync calls /monitor during a sync with several callers, as the mediator
// does.
func TestMonitorDuringSync(t *testing.T) {
	const callers = 5
	f := monitorFixture()
	var started sync.WaitGroup
	started.Add(callers)
	called := make(chan struct{})
	f.sync = func(ctx context.Context) error {
		started.Done()
		select {
		case <-called:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	h := handler(t, f)
	var syncs sync.WaitGroup
	for range callers {
		syncs.Go(func() {
			if _, body := get("/").ask(h); !strings.HasSuffix(body, "SUCCESSFUL.") {
				t.Errorf("answer = %q, want a successful sync", body)
			}
		})
	}
	started.Wait()
	if answer, body := monitor("bob@contoso.example", "True").ask(h); answer.Code != 200 {
		t.Errorf("monitor during a sync = %d %q, want 200", answer.Code, body)
	}
	close(called)
	syncs.Wait()
}

// hangingStore is a store and a directory that answer once release is closed.
type hangingStore struct {
	*fixture
	release chan struct{}
}

func (h hangingStore) Wish(ctx context.Context, address string) (ooo.Wish, error) {
	select {
	case <-h.release:
		return h.fixture.Wish(ctx, address)
	case <-ctx.Done():
		return ooo.Wish{}, ctx.Err()
	}
}

func (h hangingStore) Find(ctx context.Context, _ string) (ooo.Person, error) {
	<-ctx.Done()
	return ooo.Person{}, ctx.Err()
}

func TestAnswersInTime(t *testing.T) {
	tests := map[string]struct {
		request
		store  bool // hangs; otherwise the directory does
		status int
	}{
		"directory hangs":    {monitor("bob@contoso.example", "True"), false, 202},
		"store hangs, start": {monitor("bob@contoso.example", "True"), true, 503},
		"store hangs, stop":  {monitor("bob@contoso.example", "False"), true, 503},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := monitorFixture()
				var store wishesAndUsers = f
				var directory api.Directory = hangingStore{fixture: f}
				if tt.store {
					store, directory = hangingStore{fixture: f}, f
				}
				began := time.Now()
				answer, _ := tt.ask(over(t, f, store, directory))
				if took := time.Since(began); answer.Code != tt.status || took >= 8*time.Second {
					t.Errorf("answer = %d after %v, want %d within 8 s", answer.Code, took, tt.status)
				}
			})
		})
	}
}

func TestUnavailableSaysWhy(t *testing.T) {
	const unreachable, notReached = "Redis is unreachable: try again", "Redis has not been reached since the service started: try again"
	const contended = "other requests keep changing this user: try again"
	for name, tt := range map[string]struct {
		change func(f *fixture)
		want   string
	}{
		"Redis unreachable":     {func(f *fixture) { f.err = errAway }, unreachable},
		"Redis not reached yet": {func(f *fixture) { f.unready = true }, notReached},
		"wish keeps changing":   {func(*fixture) {}, contended},
	} {
		for _, request := range []request{
			monitor("bob@contoso.example", "True"), monitor("ann@contoso.example", "False"),
			put("/api/users/bob@contoso.example"), postJSON("/api/users", `{"emails":["bob@contoso.example"]}`),
		} {
			f := monitorFixture()
			tt.change(f)
			answer, body := request.ask(over(t, f, &contendedStore{f, 100}, f))
			if answer.Code != 503 || !strings.Contains(body, tt.want) || answer.Header().Get("Retry-After") != "1" {
				t.Errorf("%s, %s %s: answer = %d %s, want 503 with %q and Retry-After", name, request.method, request.path, answer.Code, body, tt.want)
			}
		}
	}
}

// TestBulkMemory posts a list that takes 138 MiB when it is decoded as a whole.
func TestBulkMemory(t *testing.T) {
	h := handler(t, newFixture())
	list := postJSON("/api/users", `{"emails":[`+strings.Repeat("{},", 1<<20)+`0]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	answer, _ := list.ask(h)
	runtime.ReadMemStats(&after)
	if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; answer.Code != 400 || allocated > 24 {
		t.Errorf("answer = %d after allocating %d MiB, want 400 and at most 24", answer.Code, allocated)
	}
}

func TestPanicRevealsNothing(t *testing.T) {
	var out bytes.Buffer
	f := newFixture()
	f.log = slog.New(slog.NewTextHandler(&out, nil))
	f.sync = func(context.Context) error { panic("ann@contoso.example has a secret") }
	answer, body := request{http.MethodGet, "/", "", map[string]string{"Authorization": "Bearer the-token"}}.ask(handler(t, f))
	if answer.Code != 500 || !strings.Contains(body, `"error"`) {
		t.Errorf("answer = %d %q, want 500 with an error in JSON", answer.Code, body)
	}
	if log := out.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "stack=") {
		t.Errorf("log = %s, want an error with the stack", log)
	}
	for _, secret := range []string{"contoso", "the-token"} {
		if strings.Contains(out.String()+body, secret) {
			t.Errorf("log or answer contains %q", secret)
		}
	}
}

func TestLogContainsNoAddresses(t *testing.T) {
	var out bytes.Buffer
	f := monitorFixture()
	f.log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.lookupErr = ooo.ErrUnavailable
	h := handler(t, f)
	for _, err := range []error{nil, errAway} {
		f.err = err
		for _, r := range []request{
			monitor("bob@contoso.example", "True"), monitor("bob@contoso.example", "False"),
			get("/api/users/ann@contoso.example"), put("/api/users/ann@contoso.example"),
			post("/api/users/ann@contoso.example/check"), get("/ann@contoso.example"),
			postJSON("/api/users", `{"emails":["bob@contoso.example"]}`),
		} {
			r.ask(h)
		}
	}
	if !strings.Contains(out.String(), "route=/api/users/:email/check") || strings.Contains(out.String(), "contoso") {
		t.Errorf("log = %s, want routes and no address", out.String())
	}
}

// TestLongSync uses a real server, because net/http takes an expired read deadline for a
// disconnect.
func TestLongSync(t *testing.T) {
	t.Parallel()
	f := newFixture()
	f.sync = func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(6 * time.Second): // longer than a body may take
			return nil
		}
	}
	server := httptest.NewServer(handler(t, f))
	defer server.Close()
	answer, err := http.Get(server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), "SUCCESSFUL") {
		t.Errorf("answer = %q, %v, want a successful sync", text, err)
	}
}
