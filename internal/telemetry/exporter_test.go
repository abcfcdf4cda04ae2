package telemetry_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/telemetry"
)

// receiver receives spans over gRPC.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	url      string
	refusing bool
	received chan *spans.ResourceSpans // capacity 1
}

// Export implements the gRPC service.
func (r *receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	if r.refusing {
		return nil, errors.New("not now")
	}
	for _, of := range request.GetResourceSpans() {
		r.received <- of
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// receive runs a receiver.
func receive(t *testing.T) *receiver {
	t.Helper()
	ln := programtest.Listen(t)
	r := &receiver{url: "http://" + ln.Addr().String(), received: make(chan *spans.ResourceSpans, 1)}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(ln) })
	t.Cleanup(func() { server.Stop(); running.Wait() })
	return r
}

// TestSpansAreExported uses gRPC. cmd/outlook-monitor tests the default, HTTP, and what spans contain.
func TestSpansAreExported(t *testing.T) {
	for _, service := range []string{"", "my-monitor"} {
		t.Run("service "+service, func(t *testing.T) {
			r, m := receive(t), telemetry.NewMetrics(build)
			tracing := r.open(t, map[string]string{
				"OTEL_SERVICE_NAME": service, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
			}, m.Spans, slog.New(slog.DiscardHandler))
			_, span := tracing.Tracer().Start(t.Context(), "read")
			span.End()
			must.NoError(t, tracing.Close(t.Context()))
			if n := series(scrape(t, m), `outlook_monitor_exported_spans_total{outcome="ok"}`); n != "1" {
				t.Fatalf("exported spans = %q, want 1", n)
			}
			got := <-r.received
			if sent := got.GetScopeSpans()[0].GetSpans(); len(sent) != 1 || sent[0].GetName() != "read" {
				t.Errorf("spans = %v, want read", sent)
			}
			described := map[string]string{}
			for _, a := range got.GetResource().GetAttributes() {
				described[a.GetKey()] = a.GetValue().GetStringValue()
			}
			for key, want := range map[string]string{
				"service.name": cmp.Or(service, "outlook-monitor"), "service.version": "v1.2.0", "deployment.environment": "test",
			} {
				if described[key] != want {
					t.Errorf("%s = %q, want %q", key, described[key], want)
				}
			}
		})
	}
}

func TestExportVariables(t *testing.T) {
	const otlp, traces, noURL = "OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_", "ENDPOINT is not the URL of a collector"
	type variables map[string]string
	for name, tt := range map[string]struct {
		variables variables // besides an endpoint
		exports   bool
		mistakes  []string // a part of each
	}{
		"endpoint":                  {nil, true, nil},
		"blank endpoint":            {variables{otlp + "ENDPOINT": " "}, false, nil},
		"endpoint for traces":       {variables{otlp + "ENDPOINT": "?", traces + "ENDPOINT": "https://[::1]:4318/v1/traces"}, true, nil},
		"SDK disabled":              {variables{"OTEL_SDK_DISABLED": "TRUE"}, false, nil},
		"no exporter":               {variables{"OTEL_TRACES_EXPORTER": "none"}, false, nil},
		"unknown protocol":          {variables{otlp + "PROTOCOL": "http/json"}, false, []string{otlp + "PROTOCOL is unknown: use http/protobuf or grpc"}},
		"endpoint is not a URL":     {variables{otlp + "ENDPOINT": "http://u:secret@collector:port"}, false, []string{otlp + noURL}},
		"password in the endpoint":  {variables{traces + "ENDPOINT": "http://u:secret@collector"}, false, []string{traces + noURL}},
		"query in the endpoint":     {variables{otlp + "ENDPOINT": "http://collector?secret"}, false, []string{noURL}},
		"endpoint with port 0":      {variables{otlp + "ENDPOINT": "http://collector:0"}, false, []string{noURL}},
		"endpoint without a scheme": {variables{otlp + "ENDPOINT": "collector:4317"}, false, []string{noURL}},
		"gRPC target":               {variables{otlp + "ENDPOINT": "collector:4317", otlp + "PROTOCOL": "grpc"}, true, nil},
		"header without =":          {variables{otlp + "HEADERS": "a=b, authorization: secret"}, false, []string{otlp + "HEADERS is not a list of headers"}},
		"invalid escape":            {variables{traces + "HEADERS": "a=%secret"}, false, []string{traces + "HEADERS is not a list of headers"}},
		"invalid name of a header":  {variables{otlp + "HEADERS": "the secret=b"}, false, []string{"percent-encoded"}},
		"line break in a header":    {variables{otlp + "HEADERS": "a=secret%0A"}, false, []string{"percent-encoded"}},
		"ignored headers":           {variables{otlp + "HEADERS": "?", traces + "HEADERS": "a=b%20c, d=e,"}, true, nil},
		"ignored sampler":           {variables{"OTEL_TRACES_SAMPLER": "some"}, true, nil},
		"several mistakes": {variables{
			"OTEL_TRACES_EXPORTER": "zipkin", traces + "PROTOCOL": "http/json", otlp + "TIMEOUT": "10s", otlp + "CERTIFICATE": "/secret",
			otlp + "COMPRESSION": "gzpi", traces + "INSECURE": "yes", "OTEL_SDK_DISABLED": "1", "OTEL_RESOURCE_ATTRIBUTES": "a=b,secret",
		}, false, []string{
			"OTEL_TRACES_EXPORTER is unknown: use otlp or none", traces + "PROTOCOL is", otlp + "TIMEOUT is not a time: use milliseconds",
			otlp + "CERTIFICATE names no file", otlp + "COMPRESSION is unknown", traces + "INSECURE is neither true nor false", "OTEL_SDK_DISABLED is", "OTEL_RESOURCE_ATTRIBUTES is",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(otlp+"ENDPOINT", "http://127.0.0.1:1")
			for name, value := range tt.variables {
				t.Setenv(name, value)
			}
			log, out := programtest.Logger()
			tracing, err := telemetry.OpenTracing(t.Context(), build, telemetry.NewMetrics(build).Spans, log)
			if warned := strings.Contains(out.String(), "wrong ones are ignored"); warned != strings.Contains(name, "ignored") {
				t.Errorf("log = %s, want a warning only for what is ignored", out.String())
			}
			if tt.mistakes != nil {
				if text := fmt.Sprint(err); !slices.EqualFunc(strings.Split(text, "\n"), tt.mistakes, strings.Contains) || strings.Contains(text, "secret") {
					t.Errorf("OpenTracing = %v, want %q without secrets", err, tt.mistakes)
				}
				return
			}
			if err != nil || (tracing.Tracer() != noop.Tracer{}) != tt.exports {
				t.Fatalf("OpenTracing = %v, %v, want it to create spans: %t", tracing, err, tt.exports)
			}
			must.NoError(t, tracing.Close(t.Context()))
		})
	}
}

// open returns a Tracing that exports to r. variables are set in addition to the endpoint.
func (r *receiver) open(t *testing.T, variables map[string]string, spans telemetry.Counter, log *slog.Logger) *telemetry.Tracing {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.url)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	for name, value := range variables {
		t.Setenv(name, value)
	}
	tracing, err := telemetry.OpenTracing(t.Context(), build, spans, log)
	must.NoError(t, err)
	return tracing
}

func TestSamplerVariables(t *testing.T) {
	m := telemetry.NewMetrics(build)
	tracing := receive(t).open(t, map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
		m.Spans, slog.New(slog.DiscardHandler))
	ctx, outer := tracing.Tracer().Start(t.Context(), "notification")
	if c := outer.SpanContext(); !c.IsValid() || c.IsSampled() {
		t.Errorf("span context = %v, want a valid one that is not sampled", c)
	}
	_, inner := tracing.Tracer().Start(ctx, "deliver")
	inner.End()
	outer.End()
	must.NoError(t, tracing.Close(t.Context()))
	if text := scrape(t, m); strings.Contains(text, "exported_spans_total{") {
		t.Errorf("metrics = %s, want no exported span", text)
	}
}

func TestExportFailuresAreCountedAndLoggedOnce(t *testing.T) {
	r, m := receive(t), telemetry.NewMetrics(build)
	r.refusing = true
	log, out := programtest.Logger()
	tracing := r.open(t, map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "10"}, m.Spans, log)
	dropped := func() string { return series(scrape(t, m), `outlook_monitor_exported_spans_total{outcome="failed"}`) }
	for n := 1; n <= 3; n++ {
		_, span := tracing.Tracer().Start(t.Context(), "read")
		span.End()
		await.True(t, "the dropped span is counted", func() bool { return dropped() == strconv.Itoa(n) })
	}
	must.NoError(t, tracing.Close(t.Context()))
	if n := strings.Count(out.String(), "spans can't be exported"); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, out.String())
	}
}
