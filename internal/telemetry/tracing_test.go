package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"

	"outlook-monitor/internal/telemetry"
)

// echo runs a server. last returns the headers of its last request.
func echo(t *testing.T) (url string, last func() http.Header) {
	t.Helper()
	headers := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { headers <- r.Header.Clone() }))
	t.Cleanup(server.Close)
	return server.URL, func() http.Header {
		select {
		case h := <-headers:
			return h
		case <-time.After(30 * time.Second):
			t.Fatal("no request arrived")
			return nil
		}
	}
}

func get(t *testing.T, ctx context.Context, tracing *telemetry.Tracing, url string, header http.Header) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := tracing.Transport(transport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
}

var traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]$`)

func TestTraceparentOfOutgoingCalls(t *testing.T) {
	tracing := open(t, nil, func(int, error) {})
	url, last := echo(t)
	seen := map[string]bool{}
	for range 3 {
		get(t, t.Context(), tracing, url+"/users/ann@contoso.example", http.Header{"Authorization": {"Bearer x"}})
		h := last()
		parts := traceparent.FindStringSubmatch(h.Get("Traceparent"))
		if parts == nil || strings.Trim(parts[1], "0") == "" {
			t.Fatalf("traceparent = %q, want a version 00 one", h.Get("Traceparent"))
		}
		if h.Get("Authorization") != "Bearer x" {
			t.Errorf("Authorization = %q, want it unchanged", h.Get("Authorization"))
		}
		if h.Get("Baggage") != "" {
			t.Errorf("baggage = %q, want none", h.Get("Baggage"))
		}
		seen[parts[1]] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d traces for 3 unrelated calls, want 3", len(seen))
	}
}

func TestTracingSetsNoGlobalState(t *testing.T) {
	_, tracing := exporting(t, nil)
	_, span := otel.Tracer("elsewhere").Start(t.Context(), "x")
	defer span.End()
	if span.SpanContext().IsValid() {
		t.Error("the global tracer creates spans, want it unchanged")
	}
	if err := tracing.Close(t.Context()); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
}

func TestBuildOf(t *testing.T) {
	info := func(version string, pairs ...string) *debug.BuildInfo {
		b := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: version}}
		for i := 0; i < len(pairs); i += 2 {
			b.Settings = append(b.Settings, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return b
	}
	tests := map[string]struct {
		info *debug.BuildInfo
		want telemetry.BuildInfo
	}{
		"release": {info("v1.2.0", "vcs.revision", "abc", "vcs.modified", "false"),
			telemetry.BuildInfo{Version: "v1.2.0", Revision: "abc", GoVersion: "go1.26.8"}},
		"changed source": {info("v1.2.1-0", "vcs.revision", "abc", "vcs.modified", "true"),
			telemetry.BuildInfo{Version: "v1.2.1-0", Revision: "abc-modified", GoVersion: "go1.26.8"}},
		"no settings": {info(""), telemetry.BuildInfo{Version: "unknown", Revision: "unknown", GoVersion: "go1.26.8"}},
		"no version control": {info("(devel)", "vcs.modified", "true"),
			telemetry.BuildInfo{Version: "unknown", Revision: "unknown", GoVersion: "go1.26.8"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := telemetry.BuildOf(tt.info); got != tt.want {
				t.Errorf("BuildOf = %+v, want %+v", got, tt.want)
			}
		})
	}
	if got := telemetry.Build(); got.GoVersion == "" || got.Version == "" || got.Revision == "" {
		t.Errorf("Build = %+v, want every field set", got)
	}
}
