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

// listener is a server that keeps the headers of its last request.
func listener(t *testing.T) (url string, last func() http.Header) {
	t.Helper()
	headers := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { headers <- r.Header.Clone() }))
	t.Cleanup(server.Close)
	return server.URL, func() http.Header {
		select {
		case h := <-headers:
			return h
		case <-time.After(30 * time.Second):
			t.Fatal("no request came")
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

func TestOutgoingCallsCarryATraceparent(t *testing.T) {
	tracing := open(t, nil, func(int, error) {})
	url, last := listener(t)
	seen := map[string]bool{}
	for range 3 {
		get(t, t.Context(), tracing, url+"/users/ann@contoso.example", http.Header{"Authorization": {"Bearer x"}})
		h := last()
		parts := traceparent.FindStringSubmatch(h.Get("Traceparent"))
		if parts == nil || strings.Trim(parts[1], "0") == "" {
			t.Fatalf("traceparent = %q, want one of version 00", h.Get("Traceparent"))
		}
		if h.Get("Authorization") != "Bearer x" {
			t.Errorf("Authorization = %q, want what the caller set", h.Get("Authorization"))
		}
		if h.Get("Baggage") != "" {
			t.Errorf("baggage = %q, want none", h.Get("Baggage"))
		}
		seen[parts[1]] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d traces for 3 calls that have nothing in common, want 3", len(seen))
	}
}

func TestCallsOfOneSpanShareItsTrace(t *testing.T) {
	_, tracing := exporting(t, nil)
	url, last := listener(t)
	ctx, span := tracing.Tracer().Start(t.Context(), "deliver")
	defer span.End()
	for range 2 {
		get(t, ctx, tracing, url, http.Header{})
		parts := traceparent.FindStringSubmatch(last().Get("Traceparent"))
		if parts == nil || parts[1] != span.SpanContext().TraceID().String() || parts[2] == span.SpanContext().SpanID().String() {
			t.Errorf("traceparent = %v, want a span of its own in trace %s", parts, span.SpanContext().TraceID())
		}
	}
}

func TestTracingSetsNothingGlobal(t *testing.T) {
	_, tracing := exporting(t, nil)
	_, span := otel.Tracer("elsewhere").Start(t.Context(), "x")
	defer span.End()
	if span.SpanContext().IsValid() {
		t.Error("the global tracer makes spans, want it left alone")
	}
	if err := tracing.Close(t.Context()); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if _, late := tracing.Tracer().Start(t.Context(), "late"); late.SpanContext().IsSampled() {
		t.Error("a span was made after Close")
	}
}

func TestBuildOfReadsTheStamps(t *testing.T) {
	stamps := func(version string, pairs ...string) *debug.BuildInfo {
		info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: version}}
		for i := 0; i < len(pairs); i += 2 {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return info
	}
	tests := map[string]struct {
		info *debug.BuildInfo
		want telemetry.BuildInfo
	}{
		"a release": {stamps("v1.2.0", "vcs.revision", "abc", "vcs.modified", "false"),
			telemetry.BuildInfo{Version: "v1.2.0", Revision: "abc", GoVersion: "go1.26.8"}},
		"changed source": {stamps("v1.2.1-0", "vcs.revision", "abc", "vcs.modified", "true"),
			telemetry.BuildInfo{Version: "v1.2.1-0", Revision: "abc-modified", GoVersion: "go1.26.8"}},
		"no stamps": {stamps(""), telemetry.BuildInfo{Version: "unknown", Revision: "unknown", GoVersion: "go1.26.8"}},
		"a build on a developer's machine without version control": {stamps("(devel)", "vcs.modified", "true"),
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
		t.Errorf("Build = %+v, want every field set, if only to unknown", got)
	}
}
