package api_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/api"
)

func TestProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		var probes atomic.Int32
		var began time.Time // the request
		hang := func(ctx context.Context) (string, error) {
			if probes.Add(1); time.Since(began) > 0 {
				t.Error("a probe waited for another one")
			}
			<-ctx.Done()
			return "", ctx.Err()
		}
		f.checks = []api.Check{{Name: "a", Probe: hang}, {Name: "b", Probe: hang}, {Name: "c", Required: true, Probe: hang}}
		h := handler(t, f)
		for i := range 30 {
			began = time.Now()
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

func TestLogLevel(t *testing.T) {
	f := newFixture()
	var out bytes.Buffer
	f.log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: f.level}))
	h := handler(t, f)
	for _, step := range []struct {
		request
		status int
		answer string
		level  slog.Level // afterwards
	}{
		{get("/api/loglevel"), 200, `{"level":"info"}`, slog.LevelInfo},
		{putJSON("/api/loglevel", `{"level":"debug"}`), 200, `{"level":"debug"}`, slog.LevelDebug},
		{putJSON("/api/loglevel", `{"level":"ERROR"}`), 200, `{"level":"error"}`, slog.LevelError},
		{putJSON("/api/loglevel", `{"level":"loud"}`), 400, "debug, info, warn or error", slog.LevelError},
		{putJSON("/api/loglevel", `level=info`), 400, "Not JSON", slog.LevelError},
		{putJSON("/api/loglevel", `{"level":"info"}`), 200, `{"level":"info"}`, slog.LevelInfo},
	} {
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
		"": {200, "goroutine"}, "heap?debug=1": {200, "heap profile"}, "heap/?debug=1": {200, "heap profile"},
		"profile?seconds=1": {200, ""}, "trace?seconds=0.1": {200, ""},
		"nothing": {404, "Unknown profile"}, "cmdline": {404, "no such profile"},
	} {
		answer, body := get("/debug/pprof/" + path).ask(h)
		if answer.Code != want.status || !strings.Contains(body, want.body) {
			t.Errorf("%s = %d %.200s, want %d with %q", path, answer.Code, body, want.status, want.body)
		}
	}
}
