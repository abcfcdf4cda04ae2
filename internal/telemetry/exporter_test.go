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

	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/telemetry"
)

// receiver takes spans over both forms of OTLP.
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
		w.WriteHeader(http.StatusBadRequest) // not to be repeated
	}
}

func (r *receiver) all() map[string]*spans.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	byName := map[string]*spans.Span{}
	for _, s := range r.spans {
		byName[s.GetName()] = s
	}
	return byName
}

// attributes puts what a resource says into one text.
func attributes(r *resource.Resource) string {
	var all []string
	for _, a := range r.GetAttributes() {
		all = append(all, a.GetKey()+"="+a.GetValue().GetStringValue())
	}
	return strings.Join(all, " ")
}

// receive runs a receiver for one protocol and returns its endpoint.
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

// environment sets variables, for the SDK reads them itself, and returns how to
// look them up.
func environment(t *testing.T, variables map[string]string) func(string) string {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	return func(name string) string { return variables[name] }
}

func TestSpansAreExported(t *testing.T) {
	for _, protocol := range []string{"", "http/protobuf", "grpc"} {
		t.Run("over "+protocol, func(t *testing.T) {
			r, url := receive(t, protocol)
			m := telemetry.NewMetrics(build)
			tracing := open(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"OTEL_SERVICE_NAME": "my-monitor", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
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
			got := r.all()
			notification, read := got["notification"], got["read"]
			if notification == nil || read == nil {
				t.Fatalf("spans = %v, want both", got)
			}
			if string(read.GetTraceId()) != string(notification.GetTraceId()) || string(read.GetParentSpanId()) != string(notification.GetSpanId()) {
				t.Error("read is no child of the notification")
			}
			if took := time.Duration(notification.GetEndTimeUnixNano() - notification.GetStartTimeUnixNano()); took != 3*time.Second {
				t.Errorf("notification took %v, want the 3s given afterwards", took)
			}
			if read.GetStatus().GetMessage() != "gone" || len(read.GetAttributes()) != 1 {
				t.Errorf("read = %v, want its error and its attribute", read)
			}
			if said := attributes(r.resource); !strings.Contains(said, "service.name=my-monitor") || !strings.Contains(said, "service.version=v1.2.0") || !strings.Contains(said, "deployment.environment=test") {
				t.Errorf("resource = %s, want what the variables and the build say", said)
			}
			if n := series(scrape(t, m), `outlook_monitor_exported_spans_total{outcome="ok"}`); n != "2" {
				t.Errorf("exported spans = %q, want 2", n)
			}
		})
	}
}

func TestTheVariablesDecide(t *testing.T) {
	const url = "http://127.0.0.1:1"
	tests := map[string]struct {
		variables map[string]string
		exports   bool
		fails     string
	}{
		"nothing is set":                      {nil, false, ""},
		"an endpoint":                         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url}, true, ""},
		"an endpoint for traces":              {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url + "/v1/traces"}, true, ""},
		"an endpoint and the SDK is disabled": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SDK_DISABLED": "TRUE"}, false, ""},
		"an endpoint and no exporter":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		"an exporter that is not there":       {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_EXPORTER": "zipkin"}, false, "write otlp or none"},
		"a protocol that is not there":        {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL is http/json: write http/protobuf or grpc"},
		"an unknown protocol for traces":      {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, false, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is http/json"},
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
				t.Fatalf("OpenTracing = tracer %v, %v, want one that makes spans: %t", tracing.Tracer(), err, tt.exports)
			}
			if err := tracing.Close(t.Context()); err != nil {
				t.Errorf("Close = %v, want nil", err)
			}
		})
	}
}

// exporting returns tracing that exports to a receiver of its own; variables add to
// the endpoint.
func exporting(t *testing.T, variables map[string]string) (*receiver, *telemetry.Tracing) {
	t.Helper()
	r, url := receive(t, "")
	all := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url}
	maps.Copy(all, variables)
	return r, open(t, all, func(int, error) {})
}

// open returns tracing by variables that are right.
func open(t *testing.T, variables map[string]string, exported func(int, error)) *telemetry.Tracing {
	t.Helper()
	tracing, err := telemetry.OpenTracing(t.Context(), build, environment(t, variables), exported, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return tracing
}

func TestASamplerDropsWholeTraces(t *testing.T) {
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
	if got := r.all(); len(got) != 0 {
		t.Errorf("spans = %v, want none", got)
	}
}

func TestLostSpansAreCountedAndLoggedOnce(t *testing.T) {
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
	lost := func() string { return series(scrape(t, m), `outlook_monitor_exported_spans_total{outcome="failed"}`) }
	for n := 1; n <= 3; n++ {
		_, span := tracing.Tracer().Start(t.Context(), "read")
		span.End()
		for deadline := time.Now().Add(30 * time.Second); lost() != string(rune('0'+n)); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("lost spans = %q, want %d", lost(), n)
			}
		}
	}
	if err := tracing.Close(t.Context()); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if n := strings.Count(out.String(), "spans can't be exported"); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, out.String())
	}
}

func TestACallOutsideOfASpanIsLeftAlone(t *testing.T) {
	r, tracing := exporting(t, nil)
	there, last := listener(t)
	get(t, t.Context(), tracing, there+"/", http.Header{})
	if h := last(); h.Get("Traceparent") != "" {
		t.Errorf("traceparent = %q, want none", h.Get("Traceparent"))
	}
	ctx, span := tracing.Tracer().Start(t.Context(), "deliver")
	get(t, ctx, tracing, there+"/api/setstatus", http.Header{"Authorization": {"Bearer s3cret"}})
	span.End()
	if h, id := last(), span.SpanContext().TraceID().String(); !strings.Contains(h.Get("Traceparent"), id) {
		t.Errorf("traceparent = %q, want one of trace %s", h.Get("Traceparent"), id)
	}
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.all(); len(got) != 2 || got["GET 127.0.0.1"] == nil || strings.Contains(got["GET 127.0.0.1"].String(), "s3cret") {
		t.Errorf("spans = %v, want deliver and its call without the secret", got)
	}
}
