package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	nometrics "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const serviceName = "outlook-monitor"

// Tracing makes spans and adds their context to outgoing calls. It sets nothing
// global.
type Tracing struct {
	provider *trace.TracerProvider
	exports  bool
}

// OpenTracing returns tracing that exports over OTLP if OpenTelemetry's own
// variables name an endpoint. If they don't it only gives outgoing calls a traceparent,
// so that the other side's log can be matched with ours. It makes no call yet.
// What it does not read itself (headers, certificates, time limits, sampler,
// resource) the SDK takes from the process' environment. exported is called after each
// attempt to export n spans.
func OpenTracing(ctx context.Context, build BuildInfo, getenv func(string) string, exported func(n int, err error), log *slog.Logger) (*Tracing, error) {
	exporter, err := newExporter(ctx, getenv)
	if err != nil {
		return nil, err
	}
	if exporter == nil {
		return &Tracing{provider: trace.NewTracerProvider()}, nil
	}
	given, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	ours := resource.NewSchemaless(attribute.String("service.name", serviceName), attribute.String("service.version", build.Version))
	whole, err := resource.Merge(ours, given) // the variables win
	if err != nil {
		return nil, fmt.Errorf("describe this process to OpenTelemetry: %w", err)
	}
	batches := trace.WithBatcher(&reporter{SpanExporter: exporter, exported: exported, log: log})
	return &Tracing{provider: trace.NewTracerProvider(trace.WithResource(whole), batches), exports: true}, nil
}

// Tracer returns what makes spans: noop.Tracer if they are exported nowhere, so that
// nobody pays for them.
func (t *Tracing) Tracer() oteltrace.Tracer {
	if !t.exports {
		return noop.Tracer{}
	}
	return t.provider.Tracer(serviceName)
}

// Transport returns base with a span and a traceparent for each request. Spans
// are named after method and host, because a path may hold an address. Where
// spans are exported, requests outside of a span get none: a health check would be
// a trace of its own.
func (t *Tracing) Transport(base http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(base,
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithPropagators(propagation.TraceContext{}), // no baggage: it would carry whatever a caller puts in it
		otelhttp.WithMeterProvider(nometrics.NewMeterProvider()),
		otelhttp.WithFilter(func(r *http.Request) bool {
			return !t.exports || oteltrace.SpanContextFromContext(r.Context()).IsValid()
		}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			return r.Method + " " + r.URL.Hostname()
		}))
}

// Close exports what is left, if ctx allows it, and releases what tracing holds.
func (t *Tracing) Close(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("close tracing: %w", err)
	}
	return nil
}
