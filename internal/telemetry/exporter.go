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
// variables name an endpoint, and nowhere if they don't. It calls nobody yet.
// What it does not look at itself (headers, certificates, time limits, sampler,
// resource) the SDK takes from the process' environment. Exported, if it is not
// nil, hears of each try to send n spans.
func OpenTracing(ctx context.Context, build BuildInfo, getenv func(string) string, exported func(n int, err error), log *slog.Logger) (*Tracing, error) {
	exporter, err := newExporter(ctx, getenv)
	if err != nil {
		return nil, err
	}
	if exporter == nil {
		return NewTracing(build), nil
	}
	// What the variables say of us wins over what we say of ourselves.
	said, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	whole, err := resource.Merge(resource.NewSchemaless(ourselves(build)...), said)
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

// reporter tells of exports instead of the SDK, which would tell a global
// handler.
type reporter struct {
	trace.SpanExporter
	exported func(n int, err error)
	log      *slog.Logger
	failing  atomic.Bool
}

// ExportSpans sends spans. Those that could not be sent are lost: traces are no
// reason to keep anything.
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
