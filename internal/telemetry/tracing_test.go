package telemetry_test

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/baggage"
	oteltrace "go.opentelemetry.io/otel/trace"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/telemetry"
)

var traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]$`)

// TestTraceparentOfOutgoingCalls exports no spans. cmd/outlook-monitor tests what is exported.
func TestTraceparentOfOutgoingCalls(t *testing.T) {
	tracing, err := telemetry.OpenTracing(t.Context(), build, telemetry.NewMetrics(build).Spans, slog.New(slog.DiscardHandler))
	must.NoError(t, err)
	headers := make(chan http.Header, 1)
	url := programtest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { headers <- r.Header.Clone() }))
	bag, err := baggage.Parse("address=ann")
	must.NoError(t, err)
	ctx := baggage.ContextWithBaggage(t.Context(), bag)
	client := http.Client{Transport: tracing.Transport(http.DefaultTransport)}
	// call makes a request and returns the trace id that the server received.
	call := func(ctx context.Context) string {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/users/ann@contoso.example", nil)
		must.NoError(t, err)
		request.Header.Set("Authorization", "Bearer x")
		response, err := client.Do(request)
		must.NoError(t, err)
		_ = response.Body.Close()
		h := <-headers
		if h.Get("Authorization") != "Bearer x" || h.Get("Baggage") != "" {
			t.Errorf("headers = %v, want the given Authorization and no baggage", h)
		}
		parts := traceparent.FindStringSubmatch(h.Get("Traceparent"))
		if parts == nil || strings.Trim(parts[1], "0") == "" {
			t.Fatalf("traceparent = %q, want a version 00 one", h.Get("Traceparent"))
		}
		return parts[1]
	}
	if one, other := call(ctx), call(ctx); one == other {
		t.Errorf("two unrelated calls are both in the trace %s", one)
	}
	parent := oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: oteltrace.TraceID{1}, SpanID: oteltrace.SpanID{2}, Remote: true})
	if got := call(oteltrace.ContextWithRemoteSpanContext(ctx, parent)); got != parent.TraceID().String() {
		t.Errorf("trace = %s, want that of the span around the call, %s", got, parent.TraceID())
	}
}

func TestBuildOf(t *testing.T) {
	for name, tt := range map[string]struct {
		version, revision, modified string
		want                        telemetry.BuildInfo
	}{
		"release":            {"v1.2.0", "abc", "false", telemetry.BuildInfo{Version: "v1.2.0", Revision: "abc", GoVersion: "go1.26.8"}},
		"changed source":     {"v1.2.1-0", "abc", "true", telemetry.BuildInfo{Version: "v1.2.1-0", Revision: "abc-modified", GoVersion: "go1.26.8"}},
		"no version":         {"", "", "", telemetry.BuildInfo{Version: "unknown", Revision: "unknown", GoVersion: "go1.26.8"}},
		"no version control": {"(devel)", "", "true", telemetry.BuildInfo{Version: "unknown", Revision: "unknown", GoVersion: "go1.26.8"}},
	} {
		info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: tt.version}, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: tt.revision}, {Key: "vcs.modified", Value: tt.modified},
		}}
		if got := telemetry.BuildOf(info); got != tt.want {
			t.Errorf("%s: BuildOf = %+v, want %+v", name, got, tt.want)
		}
	}
	if got := telemetry.Build(); got.GoVersion == "" || got.Version == "" || got.Revision == "" {
		t.Errorf("Build = %+v, want every field set", got)
	}
}
