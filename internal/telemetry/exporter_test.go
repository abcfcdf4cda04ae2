package telemetry_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/telemetry"
)

// receiver receives spans over gRPC.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	url string

	refusing bool

	mu       sync.Mutex
	spans    map[string]*spans.Span // by name; guarded by mu, as all below
	resource *resource.Resource     // of the last request
}

// Export implements the gRPC service.
func (r *receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	if r.refusing {
		return nil, errors.New("not now")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range request.GetResourceSpans() {
		r.resource = of.GetResource()
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans[s.GetName()] = s
			}
		}
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
	r := &receiver{url: "http://" + ln.Addr().String(), spans: map[string]*spans.Span{}}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(ln) })
	t.Cleanup(func() { server.Stop(); running.Wait() })
	return r
}

// environment sets variables, because the SDK reads some itself, and returns a getenv.
func environment(t *testing.T, variables map[string]string) func(string) string {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	return func(name string) string { return variables[name] }
}

// TestSpansAreExported uses gRPC. cmd/outlook-monitor tests the default, HTTP.
func TestSpansAreExported(t *testing.T) {
	for _, service := range []string{"", "my-monitor"} {
		t.Run("service "+service, func(t *testing.T) {
			r, m := receive(t), telemetry.NewMetrics(build)
			tracing := r.open(t, map[string]string{
				"OTEL_SERVICE_NAME": service, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
			}, m.Exported, slog.New(slog.DiscardHandler))
			began := time.Now().Add(-time.Minute)
			ctx, outer := tracing.Tracer().Start(t.Context(), "notification", trace.WithTimestamp(began))
			_, inner := tracing.Tracer().Start(ctx, "read", trace.WithTimestamp(began.Add(time.Second)))
			inner.SetAttributes(attribute.String("outlook_monitor.mailbox", "id"))
			inner.SetStatus(codes.Error, "gone")
			inner.End(trace.WithTimestamp(began.Add(2 * time.Second)))
			outer.End(trace.WithTimestamp(began.Add(3 * time.Second)))
			if err := tracing.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			notification, read := r.spans["notification"], r.spans["read"]
			if notification == nil || read == nil {
				t.Fatalf("spans = %v, want both", r.spans)
			}
			if string(read.GetTraceId()) != string(notification.GetTraceId()) || string(read.GetParentSpanId()) != string(notification.GetSpanId()) {
				t.Error("read is not a child of notification")
			}
			if took := time.Duration(notification.GetEndTimeUnixNano() - notification.GetStartTimeUnixNano()); took != 3*time.Second {
				t.Errorf("notification took %v, want 3s", took)
			}
			if read.GetStatus().GetMessage() != "gone" || len(read.GetAttributes()) != 1 {
				t.Errorf("read = %v, want its error and its attribute", read)
			}
			described := map[string]string{}
			for _, a := range r.resource.GetAttributes() {
				described[a.GetKey()] = a.GetValue().GetStringValue()
			}
			for key, want := range map[string]string{
				"service.name": cmp.Or(service, "outlook-monitor"), "service.version": "v1.2.0", "deployment.environment": "test",
			} {
				if described[key] != want {
					t.Errorf("%s = %q, want %q", key, described[key], want)
				}
			}
			if n := series(scrape(t, m), `outlook_monitor_exported_spans_total{outcome="ok"}`); n != "2" {
				t.Errorf("exported spans = %q, want 2", n)
			}
		})
	}
}

func TestExportVariables(t *testing.T) {
	const url = "http://127.0.0.1:1"
	tests := map[string]struct {
		variables map[string]string
		exports   bool
		fails     string
	}{
		"none":                        {nil, false, ""},
		"endpoint":                    {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url}, true, ""},
		"endpoint for traces":         {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url + "/v1/traces"}, true, ""},
		"endpoint, SDK disabled":      {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SDK_DISABLED": "TRUE"}, false, ""},
		"endpoint, no exporter":       {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		"unknown exporter":            {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_EXPORTER": "zipkin"}, false, "write otlp or none"},
		"unknown protocol":            {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL is http/json: write http/protobuf or grpc"},
		"unknown protocol for traces": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, false, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is http/json"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tracing, err := telemetry.OpenTracing(t.Context(), build, environment(t, tt.variables), func(int, error) {}, slog.New(slog.DiscardHandler))
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
	all := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": r.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
	maps.Copy(all, variables)
	tracing, err := telemetry.OpenTracing(t.Context(), build, environment(t, all), exported, log)
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
