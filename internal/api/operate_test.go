package api_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/api"
)

func TestReady(t *testing.T) {
	pass := func(context.Context) (string, error) { return "fine", nil }
	fail := func(context.Context) (string, error) { return "", errors.New("login refused") }
	yes, no := func() bool { return true }, func() bool { return false }
	tests := map[string]struct {
		check  api.Check
		status int
		answer string
	}{
		"required, ok":              {api.Check{Name: "redis", Required: true, Probe: pass}, 200, `{"checks":{"redis":{"ok":true,"required":true,"detail":"fine"}},"ready":true}`},
		"required, failed":          {api.Check{Name: "graph", Required: true, Probe: fail}, 503, `{"checks":{"graph":{"ok":false,"required":true,"error":"login refused"}},"ready":false}`},
		"excused":                   {api.Check{Name: "graph", Required: true, Excused: yes, Probe: fail}, 200, `{"checks":{"graph":{"ok":false,"required":true,"excused":true,"error":"login refused"}},"ready":true}`},
		"no longer excused":         {api.Check{Name: "graph", Required: true, Excused: no, Probe: fail}, 503, `{"checks":{"graph":{"ok":false,"required":true,"error":"login refused"}},"ready":false}`},
		"excused, ok":               {api.Check{Name: "graph", Required: true, Excused: yes, Probe: pass}, 200, `{"checks":{"graph":{"ok":true,"required":true,"detail":"fine"}},"ready":true}`},
		"not required, but failing": {api.Check{Name: "mediator", Probe: fail}, 200, `{"checks":{"mediator":{"ok":false,"required":false,"error":"login refused"}},"ready":true}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			f.checks = []api.Check{tt.check}
			if answer, body := get("/readyz").ask(handler(t, f)); answer.Code != tt.status || body != tt.answer {
				t.Errorf("readyz = %d %s, want %d %s", answer.Code, body, tt.status, tt.answer)
			}
			f.token = "the-token"
			if answer, body := get("/readyz").ask(handler(t, f)); answer.Code != tt.status || strings.Contains(body, "refused") || strings.Contains(body, "fine") {
				t.Errorf("readyz without the token = %d %s, want %d without reasons", answer.Code, body, tt.status)
			}
		})
	}
}

func TestProbesAreSharedAndTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		var probes atomic.Int32
		hang := func(ctx context.Context) (string, error) { probes.Add(1); <-ctx.Done(); return "", ctx.Err() }
		f.checks = []api.Check{{Name: "a", Probe: hang}, {Name: "b", Probe: hang}, {Name: "c", Required: true, Probe: hang}}
		h := handler(t, f)
		for i := range 30 {
			began := time.Now()
			answer, _ := get("/readyz").ask(h)
			if took := time.Since(began); answer.Code != 503 || took > 2*time.Second || took > 0 && i%10 != 0 {
				t.Errorf("readyz = %d after %v, want 503 within 2 s, at once for a second after that", answer.Code, took)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := probes.Load(); n != 9 {
			t.Errorf("%d probes, want each of the 3 dependencies probed 3 times", n)
		}
	})
}

func TestProbesRunConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		slow := func(ctx context.Context) (string, error) { time.Sleep(1500 * time.Millisecond); return "", ctx.Err() }
		f.checks = []api.Check{{Name: "a", Required: true, Probe: slow}, {Name: "b", Required: true, Probe: slow}}
		if answer, body := get("/readyz").ask(handler(t, f)); answer.Code != 200 {
			t.Errorf("readyz = %d %s, want 200: both probes take less than the 2 s that they have together", answer.Code, body)
		}
	})
}

func TestLogLevel(t *testing.T) {
	f := newFixture()
	var out bytes.Buffer
	f.log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: f.level}))
	h := handler(t, f)
	steps := []struct {
		request
		status int
		answer string
		level  slog.Level // afterwards
	}{
		{get("/api/loglevel"), 200, `{"level":"info"}`, slog.LevelInfo},
		{putJSON("/api/loglevel", `{"level":"debug"}`), 200, `{"level":"debug"}`, slog.LevelDebug},
		{putJSON("/api/loglevel", `{"level":"ERROR"}`), 200, `{"level":"error"}`, slog.LevelError},
		{putJSON("/api/loglevel", `{"level":"loud"}`), 400, "debug, info, warn or error", slog.LevelError},
		{putJSON("/api/loglevel", `{}`), 400, "debug, info, warn or error", slog.LevelError},
		{putJSON("/api/loglevel", `level=info`), 400, "Not JSON", slog.LevelError},
		{putJSON("/api/loglevel", `{"level":"info"}`), 200, `{"level":"info"}`, slog.LevelInfo},
	}
	for _, step := range steps {
		answer, body := step.ask(h)
		if answer.Code != step.status || !strings.Contains(body, step.answer) || f.level.Level() != step.level {
			t.Errorf("%s %s = %d %s at level %v, want %d %s at %v", step.method, step.body, answer.Code, body, f.level.Level(), step.status, step.answer, step.level)
		}
	}
	if n := strings.Count(out.String(), "log level changed on request"); n != 2 {
		t.Errorf("%d of 3 changes were logged, want the 2 to levels that log warnings: %s", n, out.String())
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	h := handler(t, newFixture())
	for path, want := range map[string]struct {
		status int
		body   string // contained
	}{
		"": {200, "goroutine"}, "heap?debug=1": {200, "heap profile"}, "profile?seconds=1": {200, ""}, "trace?seconds=0.1": {200, ""},
		"nothing": {404, "Unknown profile"}, "cmdline": {404, "no such profile"},
	} {
		answer, body := get("/debug/pprof/" + path).ask(h)
		if answer.Code != want.status || !strings.Contains(body, want.body) {
			t.Errorf("%s = %d %.200s, want %d with %q", path, answer.Code, body, want.status, want.body)
		}
	}
}
