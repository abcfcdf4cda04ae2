package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/go-logr/logr/funcr"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	nometrics "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const serviceName = "outlook-monitor"

// Tracing creates spans and adds their context to outgoing calls. It sets no global state but
// OpenTelemetry's logger and error handler.
type Tracing struct {
	provider *trace.TracerProvider
	exports  bool
}

// OpenTracing returns a Tracing that exports over OTLP if OpenTelemetry's own variables
// name an endpoint. Otherwise it only adds a traceparent to outgoing calls, so that logs
// of both sides can be matched. It makes no call yet. The SDK reads further variables
// (headers, certificates, timeouts, sampler, resource). spans counts those that were
// exported or dropped.
func OpenTracing(ctx context.Context, build BuildInfo, spans Counter, log *slog.Logger) (*Tracing, error) {
	exporter, err := newExporter(ctx, log)
	if err != nil {
		return nil, err
	}
	if exporter == nil {
		return &Tracing{provider: trace.NewTracerProvider()}, nil
	}
	fromEnv, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	defaults := resource.NewSchemaless(attribute.String("service.name", serviceName), attribute.String("service.version", build.Version))
	merged, err := resource.Merge(defaults, fromEnv) // fromEnv wins
	if err != nil {
		return nil, fmt.Errorf("describe this process to OpenTelemetry: %w", err)
	}
	batches := trace.WithBatcher(&reporter{SpanExporter: exporter, spans: spans, log: log})
	return &Tracing{provider: trace.NewTracerProvider(trace.WithResource(merged), batches), exports: true}, nil
}

// Tracer returns the tracer. It is noop.Tracer if spans are not exported, so that they
// cost nothing.
func (t *Tracing) Tracer() oteltrace.Tracer {
	if !t.exports {
		return noop.Tracer{}
	}
	return t.provider.Tracer(serviceName)
}

// Transport returns base with a span and a traceparent for each request. Spans are named
// after method and host, because a path may contain an address. If spans are exported,
// requests outside a span get neither, or every health check would start a trace.
func (t *Tracing) Transport(base http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(base,
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithPropagators(propagation.TraceContext{}), // no baggage, which could contain anything
		otelhttp.WithMeterProvider(nometrics.NewMeterProvider()),
		otelhttp.WithFilter(func(r *http.Request) bool {
			return !t.exports || oteltrace.SpanContextFromContext(r.Context()).IsValid()
		}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			return r.Method + " " + r.URL.Hostname()
		}))
}

// Close exports the remaining spans, if ctx allows it, and releases resources.
func (t *Tracing) Close(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("close tracing: %w", err)
	}
	return nil
}

// newExporter returns nil if the variables ask for no export.
func newExporter(ctx context.Context, log *slog.Logger) (*otlptrace.Exporter, error) {
	if err := CheckVariables(); !exports() || err != nil {
		return nil, err
	}
	warn := func() { // without OpenTelemetry's text, which may contain a secret
		log.WarnContext(ctx, "OpenTelemetry reports an error: check its variables (OTEL_…), wrong ones are ignored")
	}
	otel.SetLogger(funcr.New(func(string, string) { warn() }, funcr.Options{}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { warn() }))
	if valueOf(protocol) == "grpc" {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

// reporter counts exports and logs when they fail. The SDK would report errors to a global
// handler.
type reporter struct {
	trace.SpanExporter
	spans   Counter
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans exports spans and drops them if that fails: traces are not worth the memory
// of a retry.
func (r *reporter) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	r.spans.Add(len(spans), Outcome(err))
	was := r.failing.Swap(err != nil)
	switch {
	case err != nil && !was:
		r.log.WarnContext(ctx, "spans can't be exported and are dropped", "spans", len(spans), "err", err)
	case err == nil && was:
		r.log.InfoContext(ctx, "spans are exported again")
	}
	return nil
}
