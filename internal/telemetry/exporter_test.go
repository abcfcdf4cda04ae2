package telemetry_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

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
			getenv := environment(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"OTEL_SERVICE_NAME": "my-monitor", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
			})
			m := telemetry.NewMetrics(build)
			tracing, err := telemetry.OpenTracing(t.Context(), build, getenv, m.Exported, slog.New(slog.DiscardHandler))
			if err != nil || !tracing.Exports() {
				t.Fatalf("OpenTracing = exports %t, %v, want it to export", tracing.Exports(), err)
			}
			began := time.Now().Add(-time.Minute)
			ctx, outer := tracing.Begin(t.Context(), "notification", "", began)
			_, inner := tracing.Begin(ctx, "look", "", began.Add(time.Second))
			inner.Note("user", "key")
			inner.Note("graph.request_id", "id")
			inner.End(began.Add(2*time.Second), errors.New("gone"))
			outer.End(began.Add(3*time.Second), nil)
			// On another replica, later.
			_, far := tracing.Begin(t.Context(), "deliver", outer.Traceparent(), time.Now())
			far.End(time.Now(), nil)
			if err := tracing.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := r.all()
			notification, look, deliver := got["notification"], got["look"], got["deliver"]
			if notification == nil || look == nil || deliver == nil {
				t.Fatalf("spans = %v, want all three", got)
			}
			for name, child := range map[string]*spans.Span{"look": look, "deliver": deliver} {
				if string(child.GetTraceId()) != string(notification.GetTraceId()) || string(child.GetParentSpanId()) != string(notification.GetSpanId()) {
					t.Errorf("%s is no child of the notification", name)
				}
			}
			if took := time.Duration(notification.GetEndTimeUnixNano() - notification.GetStartTimeUnixNano()); took != 3*time.Second {
				t.Errorf("notification took %v, want 3s, as it was told afterwards", took)
			}
			if look.GetStatus().GetCode() != spans.Status_STATUS_CODE_ERROR || look.GetStatus().GetMessage() != "gone" {
				t.Errorf("status = %v, want the error", look.GetStatus())
			}
			notes := map[string]string{}
			for _, a := range look.GetAttributes() {
				notes[a.GetKey()] = a.GetValue().GetStringValue()
			}
			if notes["outlook_monitor.user"] != "key" || notes["graph.request_id"] != "id" {
				t.Errorf("attributes = %v, want both", notes)
			}
			if said := attributes(r.resource); !strings.Contains(said, "service.name=my-monitor") || !strings.Contains(said, "service.version=v1.2.0") || !strings.Contains(said, "deployment.environment=test") {
				t.Errorf("resource = %s, want what the variables and the build say", said)
			}
			if n := series(scrape(t, m), `outlook_monitor_exported_spans_total{outcome="ok"}`); n != "3" {
				t.Errorf("exported spans = %q, want 3", n)
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
		"a protocol that is not there":        {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, false, "write http/protobuf or grpc"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tracing, err := telemetry.OpenTracing(t.Context(), build, environment(t, tt.variables), nil, slog.New(slog.DiscardHandler))
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("OpenTracing = %v, want %q", err, tt.fails)
				}
				return
			}
			if err != nil || tracing.Exports() != tt.exports {
				t.Fatalf("OpenTracing = exports %t, %v, want %t", tracing.Exports(), err, tt.exports)
			}
			if err := tracing.Close(t.Context()); err != nil {
				t.Errorf("Close = %v, want nil", err)
			}
		})
	}
}

func TestASamplerKeepsTracesOutWhole(t *testing.T) {
	r, url := receive(t, "")
	getenv := environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"})
	tracing, err := telemetry.OpenTracing(t.Context(), build, getenv, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, outer := tracing.Begin(t.Context(), "notification", "", time.Now())
	if parts := traceparent.FindStringSubmatch(outer.Traceparent()); parts == nil || !strings.HasSuffix(outer.Traceparent(), "-00") {
		t.Errorf("traceparent = %q, want one that is not sampled", outer.Traceparent())
	}
	_, far := tracing.Begin(t.Context(), "deliver", outer.Traceparent(), time.Now())
	far.End(time.Now(), nil)
	outer.End(time.Now(), nil)
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.all(); len(got) != 0 {
		t.Errorf("spans = %v, want none", got)
	}
}

func TestLostSpansAreCountedAndToldOnce(t *testing.T) {
	r, url := receive(t, "")
	r.refusing = true
	getenv := environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "10"})
	var out lines
	m := telemetry.NewMetrics(build)
	tracing, err := telemetry.OpenTracing(t.Context(), build, getenv, m.Exported, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	lost := func() string { return series(scrape(t, m), `outlook_monitor_exported_spans_total{outcome="failed"}`) }
	for n := 1; n <= 3; n++ {
		_, span := tracing.Begin(t.Context(), "look", "", time.Now())
		span.End(time.Now(), nil)
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
		t.Errorf("told %d times, want once: %s", n, out.String())
	}
}

// lines is a log that several goroutines may write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestACallOutsideOfASpanIsLeftAlone(t *testing.T) {
	r, url := receive(t, "")
	getenv := environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url})
	tracing, err := telemetry.OpenTracing(t.Context(), build, getenv, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	there, last := listener(t)
	get(t, t.Context(), tracing, there+"/", http.Header{})
	if h := last(); h.Get("Traceparent") != "" {
		t.Errorf("traceparent = %q, want none", h.Get("Traceparent"))
	}
	ctx, span := tracing.Begin(t.Context(), "deliver", "", time.Now())
	get(t, ctx, tracing, there+"/api/setstatus", http.Header{"Authorization": {"Bearer s3cret"}})
	span.End(time.Now(), nil)
	if h := last(); !strings.Contains(h.Get("Traceparent"), span.Traceparent()[3:35]) {
		t.Errorf("traceparent = %q, want one of %s", h.Get("Traceparent"), span.Traceparent())
	}
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.all(); len(got) != 2 || got["GET 127.0.0.1"] == nil || strings.Contains(got["GET 127.0.0.1"].String(), "s3cret") {
		t.Errorf("spans = %v, want deliver and its call without the secret", got)
	}
}
