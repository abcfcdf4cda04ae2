package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/go-logr/logr/funcr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace"
)

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
