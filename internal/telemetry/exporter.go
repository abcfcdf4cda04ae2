package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
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

// newExporter returns nil if the variables ask for no export.
func newExporter(ctx context.Context) (*otlptrace.Exporter, error) {
	if strings.EqualFold(os.Getenv(disabled), "true") || cmp.Or(os.Getenv(tracesEndpoint), os.Getenv(endpoint)) == "" {
		return nil, nil
	}
	switch name := cmp.Or(os.Getenv(tracesExporter), "otlp"); name {
	case "none":
		return nil, nil
	case "otlp":
	default:
		return nil, fmt.Errorf("%s is %s: write otlp or none", tracesExporter, name)
	}
	switch name := cmp.Or(os.Getenv(tracesProtocol), os.Getenv(protocol), "http/protobuf"); name {
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	default:
		variable := protocol
		if os.Getenv(tracesProtocol) != "" {
			variable = tracesProtocol
		}
		return nil, fmt.Errorf("%s is %s: write http/protobuf or grpc", variable, name)
	}
}

// reporter counts exports and logs when they fail. The SDK would report errors to a global
// handler.
type reporter struct {
	trace.SpanExporter
	exported func(n int, err error)
	log      *slog.Logger
	failing  atomic.Bool
}

// ExportSpans exports spans and drops them if that fails: traces are not worth the memory
// of a retry.
func (r *reporter) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	r.exported(len(spans), err)
	was := r.failing.Swap(err != nil)
	switch {
	case err != nil && !was:
		r.log.WarnContext(ctx, "spans can't be exported and are dropped", "spans", len(spans), "err", err)
	case err == nil && was:
		r.log.InfoContext(ctx, "spans are exported again")
	}
	return nil
}
