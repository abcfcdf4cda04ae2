package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// The variables that decide whether and how spans are exported.
const (
	disabled       = "OTEL_SDK_DISABLED"
	tracesExporter = "OTEL_TRACES_EXPORTER"
	endpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	protocol       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	tracesProtocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
)

// OpenTracing returns tracing that exports over OTLP if OpenTelemetry's own
// variables name an endpoint, and nowhere if they don't. It makes no call yet.
// What it does not read itself (headers, certificates, time limits, sampler,
// resource) the SDK takes from the process' environment. exported, if it is not
// nil, is called after each attempt to export n spans.
func OpenTracing(ctx context.Context, build BuildInfo, getenv func(string) string, exported func(n int, err error), log *slog.Logger) (*Tracing, error) {
	exporter, err := newExporter(ctx, getenv)
	if err != nil {
		return nil, err
	}
	if exporter == nil {
		return NewTracing(build), nil
	}
	// The variables win over our own description.
	given, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	whole, err := resource.Merge(resource.NewSchemaless(describe(build)...), given)
	if err != nil {
		return nil, fmt.Errorf("describe this process to OpenTelemetry: %w", err)
	}
	t := newTracing(trace.WithResource(whole), trace.WithBatcher(&reporter{SpanExporter: exporter, exported: exported, log: log}))
	t.exports = true
	return t, nil
}

// newExporter returns nil if none is wanted.
func newExporter(ctx context.Context, getenv func(string) string) (*otlptrace.Exporter, error) {
	if strings.EqualFold(getenv(disabled), "true") || cmp.Or(getenv(tracesEndpoint), getenv(endpoint)) == "" {
		return nil, nil
	}
	switch named := cmp.Or(getenv(tracesExporter), "otlp"); named {
	case "none":
		return nil, nil
	case "otlp":
	default:
		return nil, fmt.Errorf("%s is %s: write otlp or none", tracesExporter, named)
	}
	switch named := cmp.Or(getenv(tracesProtocol), getenv(protocol), "http/protobuf"); named {
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	default:
		return nil, fmt.Errorf("%s is %s: write http/protobuf or grpc", protocol, named)
	}
}

// reporter logs and counts exports; the SDK alone would report errors to a global
// handler.
type reporter struct {
	trace.SpanExporter
	exported func(n int, err error)
	log      *slog.Logger
	failing  atomic.Bool
}

// ExportSpans exports spans. Those that fail are dropped: traces are not worth the
// memory that a retry takes.
func (r *reporter) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	if r.exported != nil {
		r.exported(len(spans), err)
	}
	was := r.failing.Swap(err != nil)
	switch {
	case err != nil && !was:
		r.log.WarnContext(ctx, "spans can't be exported and are lost", "spans", len(spans), "err", err)
	case err == nil && was:
		r.log.InfoContext(ctx, "spans are exported again")
	}
	return nil
}
