package telemetry_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"outlook-monitor/internal/await"
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
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{url: "http://" + ln.Addr().String(), received: make(chan *spans.ResourceSpans, 1)}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(ln) })
	t.Cleanup(func() { server.Stop(); running.Wait() })
	return r
}

// setenv sets variables.
func setenv(t *testing.T, variables map[string]string) {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
}

// TestSpansAreExported uses gRPC. cmd/outlook-monitor tests the default, HTTP, and what spans contain.
func TestSpansAreExported(t *testing.T) {
	for _, service := range []string{"", "my-monitor"} {
		t.Run("service "+service, func(t *testing.T) {
			r, m := receive(t), telemetry.NewMetrics(build)
			tracing := r.open(t, map[string]string{
				"OTEL_SERVICE_NAME": service, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
			}, m.Exported, slog.New(slog.DiscardHandler))
			_, span := tracing.Tracer().Start(t.Context(), "read")
			span.End()
			if err := tracing.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
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
	const (
		url            = "http://127.0.0.1:1"
		endpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
		protocol       = "OTEL_EXPORTER_OTLP_PROTOCOL"
		tracesProtocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	)
	type variables map[string]string
	tests := map[string]struct {
		variables variables
		exports   bool
		fails     string
	}{
		"none":                        {nil, false, ""},
		"endpoint":                    {variables{endpoint: url}, true, ""},
		"endpoint for traces":         {variables{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url + "/v1/traces"}, true, ""},
		"endpoint, SDK disabled":      {variables{endpoint: url, "OTEL_SDK_DISABLED": "TRUE"}, false, ""},
		"endpoint, no exporter":       {variables{endpoint: url, "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		"unknown exporter":            {variables{endpoint: url, "OTEL_TRACES_EXPORTER": "zipkin"}, false, "write otlp or none"},
		"unknown protocol":            {variables{endpoint: url, protocol: "http/json"}, false, protocol + " is http/json: write http/protobuf or grpc"},
		"unknown protocol for traces": {variables{endpoint: url, tracesProtocol: "http/json"}, false, tracesProtocol + " is http/json"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			setenv(t, tt.variables)
			tracing, err := telemetry.OpenTracing(t.Context(), build, func(int, error) {}, slog.New(slog.DiscardHandler))
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("OpenTracing = %v, want %q", err, tt.fails)
				}
				return
			}
			if err != nil || (tracing.Tracer() != noop.Tracer{}) != tt.exports {
				t.Fatalf("OpenTracing = tracer %v, %v, want it to create spans: %t", tracing.Tracer(), err, tt.exports)
			}
			if err := tracing.Close(t.Context()); err != nil {
				t.Errorf("Close = %v, want nil", err)
			}
		})
	}
}

// open returns a Tracing that exports to r. variables are set in addition to the endpoint.
func (r *receiver) open(t *testing.T, variables map[string]string, exported func(int, error), log *slog.Logger) *telemetry.Tracing {
	t.Helper()
	setenv(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": r.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
	setenv(t, variables)
	tracing, err := telemetry.OpenTracing(t.Context(), build, exported, log)
	if err != nil {
		t.Fatal(err)
	}
	return tracing
}

func TestSamplerVariables(t *testing.T) {
	tracing := receive(t).open(t, map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
		func(n int, _ error) { t.Errorf("%d spans are exported, want none", n) }, slog.New(slog.DiscardHandler))
	ctx, outer := tracing.Tracer().Start(t.Context(), "notification")
	if c := outer.SpanContext(); !c.IsValid() || c.IsSampled() {
		t.Errorf("span context = %v, want a valid one that is not sampled", c)
	}
	_, inner := tracing.Tracer().Start(ctx, "deliver")
	inner.End()
	outer.End()
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestExportFailuresAreCountedAndLoggedOnce(t *testing.T) {
	r, m := receive(t), telemetry.NewMetrics(build)
	r.refusing = true
	var out programtest.Output
	tracing := r.open(t, map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "10"}, m.Exported, slog.New(slog.NewTextHandler(&out, nil)))
	dropped := func() string { return series(scrape(t, m), `outlook_monitor_exported_spans_total{outcome="failed"}`) }
	for n := 1; n <= 3; n++ {
		_, span := tracing.Tracer().Start(t.Context(), "read")
		span.End()
		await.True(t, "the dropped span is counted", func() bool { return dropped() == strconv.Itoa(n) })
	}
	if err := tracing.Close(t.Context()); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if n := strings.Count(out.String(), "spans can't be exported"); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, out.String())
	}
}
