package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

const serviceName = "outlook-monitor"

// Tracing makes spans and adds their context to outgoing calls. It sets nothing
// global.
type Tracing struct {
	provider   *trace.TracerProvider
	propagator propagation.TextMapPropagator
	exports    bool
}

// NewTracing returns tracing that exports nowhere: it only gives outgoing calls
// a traceparent, so that the other side's log can be matched with ours.
func NewTracing(build BuildInfo) *Tracing {
	return newTracing(trace.WithResource(resource.NewSchemaless(describe(build)...)))
}

func newTracing(options ...trace.TracerProviderOption) *Tracing {
	return &Tracing{
		provider: trace.NewTracerProvider(options...),
		// Trace context alone: baggage would carry whatever a caller puts in it.
		propagator: propagation.TraceContext{},
	}
}

func describe(build BuildInfo) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("service.name", serviceName),
		attribute.String("service.version", build.Version),
	}
}

// Tracer returns what makes spans; nil if they are exported nowhere, so that nobody
// makes them in vain.
func (t *Tracing) Tracer() oteltrace.Tracer {
	if !t.exports {
		return nil
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
		otelhttp.WithPropagators(t.propagator),
		otelhttp.WithMeterProvider(noop.NewMeterProvider()),
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
