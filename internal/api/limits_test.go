package api_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
)

// TestUnavailable has requests that can't be stored. A start by the mediator is requested
// again by a sync, a stop is retried, and the mediator does not know who else is started.
func TestUnavailable(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(f *fixture)
		reason string
	}{
		"Redis unreachable":     {func(f *fixture) { f.err = errAway }, "Redis is unreachable or refuses the request: try again"},
		"Redis not reached yet": {func(f *fixture) { f.unready = true }, "Redis has not been reached since the service started: try again"},
		"wish keeps changing":   {func(f *fixture) { f.contended = 100 }, "other requests keep changing this user: try again"},
	} {
		for _, r := range []struct {
			request
			syncs int
		}{
			{monitor("bob@contoso.example", "True"), 1}, {monitor("ann@contoso.example", "False"), 0},
			{put("/api/users/bob@contoso.example"), 0}, {bulkStart("bob@contoso.example"), 0},
		} {
			f := monitorFixture()
			tt.change(f)
			answer, body := r.ask(handler(t, f))
			if answer.Code != 503 || !strings.Contains(body, tt.reason) || answer.Header().Get("Retry-After") != "1" || f.syncRequests != r.syncs {
				t.Errorf("%s, %s %s: answer = %d %s with %d sync requests, want 503 with %q, Retry-After and %d",
					name, r.method, r.path, answer.Code, body, f.syncRequests, tt.reason, r.syncs)
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
			bulkStart("bob@contoso.example"),
		} {
			r.ask(h)
		}
	}
	if !strings.Contains(out.String(), "route=/api/users/:email/check") || strings.Contains(out.String(), "contoso") {
		t.Errorf("log = %s, want routes and no address", out.String())
	}
}

// TestLongSync calls /monitor during a sync, as the mediator does. It uses a real server,
// because net/http takes an expired read deadline for a disconnect.
func TestLongSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := monitorFixture()
		var h http.Handler
		f.sync = func(ctx context.Context) error {
			if answer, body := monitor("bob@contoso.example", "True").ask(h); answer.Code != 200 {
				t.Errorf("monitor during a sync = %d %s, want 200", answer.Code, body)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(40 * time.Second): // longer than a body may take
				return nil
			}
		}
		h = handler(t, f)
		listener, server := programtest.NewPipes(), http.Server{Handler: h}
		go func() { _ = server.Serve(listener) }()
		defer server.Close()
		client := listener.Dial("192.0.2.1:1")
		go func() { _, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") }()
		if answer, err := io.ReadAll(client); err != nil || !strings.Contains(string(answer), "SUCCESSFUL") {
			t.Errorf("answer = %q, %v, want a successful sync", answer, err)
		}
	})
}
