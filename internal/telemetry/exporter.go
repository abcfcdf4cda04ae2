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
	r.exported(len(spans), err)
	was := r.failing.Swap(err != nil)
	switch {
	case err != nil && !was:
		r.log.WarnContext(ctx, "spans can't be exported and are lost", "spans", len(spans), "err", err)
	case err == nil && was:
		r.log.InfoContext(ctx, "spans are exported again")
	}
	return nil
}
