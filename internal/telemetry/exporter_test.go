package telemetry_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
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
	"google.golang.org/protobuf/proto"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/telemetry"
)

// receiver receives spans over OTLP, by gRPC and HTTP.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu       sync.Mutex
	spans    []*spans.Span      // guarded by mu, as all below
	resource *resource.Resource // of the last request
	refusing bool
}

// Export implements the gRPC service.
func (r *receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusing {
		return nil, errors.New("not now")
	}
	for _, of := range request.GetResourceSpans() {
		r.resource = of.GetResource()
		for _, scope := range of.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP implements OTLP over HTTP.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	var sent collector.ExportTraceServiceRequest
	if err != nil || request.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if _, err := r.Export(request.Context(), &sent); err != nil {
		w.WriteHeader(http.StatusBadRequest) // not retried
	}
}

func (r *receiver) byName() map[string]*spans.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	byName := map[string]*spans.Span{}
	for _, s := range r.spans {
		byName[s.GetName()] = s
	}
	return byName
}

// attributes returns the attributes of the resource as one string.
func (r *receiver) attributes() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, a := range r.resource.GetAttributes() {
		all = append(all, a.GetKey()+"="+a.GetValue().GetStringValue())
	}
	return strings.Join(all, " ")
}

// receive runs a receiver for a protocol and returns it with its endpoint.
func receive(t *testing.T, protocol string) (*receiver, string) {
	t.Helper()
	r := &receiver{}
	if protocol != "grpc" {
		server := httptest.NewServer(r)
		t.Cleanup(server.Close)
		return r, server.URL
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(ln) })
	t.Cleanup(func() { server.Stop(); running.Wait() })
	return r, "http://" + ln.Addr().String()
}

// environment sets variables, because the SDK reads some itself, and returns a getenv.
func environment(t *testing.T, variables map[string]string) func(string) string {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	return func(name string) string { return variables[name] }
}

func TestSpansAreExported(t *testing.T) {
	tests := map[string]struct{ protocol, service, wantService string }{
		"default": {"", "", "outlook-monitor"},
		"gRPC":    {"grpc", "my-monitor", "my-monitor"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, url := receive(t, test.protocol)
			m := telemetry.NewMetrics(build)
			tracing := open(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": test.protocol,
				"OTEL_SERVICE_NAME": test.service, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
			}, m.Exported)
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
			got := r.byName()
			notification, read := got["notification"], got["read"]
			if notification == nil || read == nil {
				t.Fatalf("spans = %v, want both", got)
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
			resource := r.attributes()
			for _, want := range []string{"service.name=" + test.wantService, "service.version=v1.2.0", "deployment.environment=test"} {
				if !strings.Contains(resource, want) {
					t.Errorf("resource = %s, want it to contain %s", resource, want)
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

// exporting returns a receiver and a Tracing that exports to it. variables are set in
// addition to the endpoint.
func exporting(t *testing.T, variables map[string]string) (*receiver, *telemetry.Tracing) {
	t.Helper()
	r, url := receive(t, "")
	all := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url}
	maps.Copy(all, variables)
	return r, open(t, all, func(int, error) {})
}

// open returns a Tracing configured by valid variables.
func open(t *testing.T, variables map[string]string, exported func(int, error)) *telemetry.Tracing {
	t.Helper()
	tracing, err := telemetry.OpenTracing(t.Context(), build, environment(t, variables), exported, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return tracing
}

func TestSamplerVariables(t *testing.T) {
	r, tracing := exporting(t, map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"})
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
	if got := r.byName(); len(got) != 0 {
		t.Errorf("spans = %v, want none", got)
	}
}

func TestExportFailuresAreCountedAndLoggedOnce(t *testing.T) {
	r, url := receive(t, "")
	r.mu.Lock()
	r.refusing = true
	r.mu.Unlock()
	getenv := environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "10"})
	var out programtest.Output
	m := telemetry.NewMetrics(build)
	tracing, err := telemetry.OpenTracing(t.Context(), build, getenv, m.Exported, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
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

func TestCallsInsideSpansAreTraced(t *testing.T) {
	r, tracing := exporting(t, nil)
	url, last := echo(t)
	get(t, t.Context(), tracing, url+"/", http.Header{})
	if h := last(); h.Get("Traceparent") != "" {
		t.Errorf("traceparent outside a span = %q, want none", h.Get("Traceparent"))
	}
	ctx, span := tracing.Tracer().Start(t.Context(), "deliver")
	get(t, ctx, tracing, url+"/api/setstatus", http.Header{"Authorization": {"Bearer s3cret"}})
	span.End()
	parts, parent := traceparent.FindStringSubmatch(last().Get("Traceparent")), span.SpanContext()
	if parts == nil || parts[1] != parent.TraceID().String() || parts[2] == parent.SpanID().String() {
		t.Errorf("traceparent = %v, want a new span in trace %s", parts, parent.TraceID())
	}
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.byName(); len(got) != 2 || got["GET 127.0.0.1"] == nil || strings.Contains(got["GET 127.0.0.1"].String(), "s3cret") {
		t.Errorf("spans = %v, want deliver and its call without the secret", got)
	}
}
