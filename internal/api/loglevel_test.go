package api_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestTheLogLevelIsChangedWhileItRuns(t *testing.T) {
	w := newWorld()
	w.token = "the-token"
	var out bytes.Buffer
	w.log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: w.level}))
	engine := handler(t, w)
	steps := []struct {
		what, method, body, token string
		status                    int
		answer                    string
		level                     slog.Level // afterwards
	}{
		{"a look at it", "GET", "", "the-token", 200, `{"level":"info"}`, slog.LevelInfo},
		{"a stranger's look", "GET", "", "", 401, "", slog.LevelInfo},
		{"a stranger's change", "PUT", `{"level":"debug"}`, "wrong", 401, "", slog.LevelInfo},
		{"a change", "PUT", `{"level":"debug"}`, "the-token", 200, `{"level":"debug"}`, slog.LevelDebug},
		{"a change in capitals", "PUT", `{"level":"ERROR"}`, "the-token", 200, `{"level":"error"}`, slog.LevelError},
		{"no such level", "PUT", `{"level":"loud"}`, "the-token", 400, "debug, info, warn or error", slog.LevelError},
		{"no level", "PUT", `{}`, "the-token", 400, "debug, info, warn or error", slog.LevelError},
		{"no JSON", "PUT", `level=info`, "the-token", 400, "Not JSON", slog.LevelError},
		{"back again", "PUT", `{"level":"info"}`, "the-token", 200, `{"level":"info"}`, slog.LevelInfo},
	}
	for _, step := range steps {
		r := request{step.method, "/api/loglevel", step.body, map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + step.token}}
		answer, body := r.ask(engine)
		if answer.Code != step.status || !strings.Contains(body, step.answer) || w.level.Level() != step.level {
			t.Errorf("%s = %d %s at level %v, want %d %s at %v", step.what, answer.Code, body, w.level.Level(), step.status, step.answer, step.level)
		}
	}
	if n := strings.Count(out.String(), "log level changed on request"); n != 2 {
		t.Errorf("%d lines tell of 3 changes, want 2, because one was to errors alone: %s", n, out.String())
	}
}

func TestProfilesNeedTheToken(t *testing.T) {
	w := newWorld()
	w.token = "the-token"
	base := serve(t, w)
	tests := map[string]struct {
		path, token string
		status      int
		answer      string
	}{
		"the list":                     {"/debug/pprof/", "the-token", 200, "goroutine"},
		"the heap":                     {"/debug/pprof/heap?debug=1", "the-token", 200, "heap profile"},
		"a short CPU profile":          {"/debug/pprof/profile?seconds=1", "the-token", 200, ""},
		"a short trace":                {"/debug/pprof/trace?seconds=0.1", "the-token", 200, ""},
		"a profile that is none":       {"/debug/pprof/nothing", "the-token", 404, "Unknown profile"},
		"the command line is a secret": {"/debug/pprof/cmdline", "the-token", 404, "no such profile"},
		"the list for strangers":       {"/debug/pprof/", "", 401, "MONITOR_TOKEN"},
		"the heap for strangers":       {"/debug/pprof/heap", "wrong", 401, "MONITOR_TOKEN"},
		"the CPU for strangers":        {"/debug/pprof/profile", "", 401, "MONITOR_TOKEN"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			response, answer := request{method: "GET", path: tt.path, header: map[string]string{"Authorization": "Bearer " + tt.token}}.send(t, base)
			if response.StatusCode != tt.status || !strings.Contains(answer, tt.answer) {
				t.Errorf("%s = %d %.200s, want %d with %q", tt.path, response.StatusCode, answer, tt.status, tt.answer)
			}
		})
	}
}

// TestAProfileOutlastsTheTimeForABody takes a profile for longer than a request
// may take to arrive.
func TestAProfileOutlastsTheTimeForABody(t *testing.T) {
	w := newWorld()
	base := serve(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/debug/pprof/profile?seconds=6", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	head := make([]byte, 2)
	if n, err := response.Body.Read(head); response.StatusCode != http.StatusOK || n < 2 || head[0] != 0x1f || head[1] != 0x8b {
		t.Errorf("profile = %d %x, %v, want 200 and gzip", response.StatusCode, head[:n], err)
	}
}
