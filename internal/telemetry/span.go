package telemetry

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Span is a piece of work in a trace. It may be begun and ended after the fact,
// so that only what turned out to be worth telling is told.
type Span struct {
	span oteltrace.Span
	ctx  context.Context // with span, for its traceparent
	t    *Tracing
}

// Begin begins a span that began at the given time. It belongs to parent, a W3C
// traceparent; if that is empty or no traceparent, to the span of ctx; if there
// is none, it begins a trace.
func (t *Tracing) Begin(ctx context.Context, name, parent string, at time.Time) (context.Context, *Span) {
	if parent != "" {
		ctx = t.propagator.Extract(ctx, propagation.MapCarrier{traceparent: parent})
	}
	ctx, span := t.provider.Tracer("outlook-monitor").Start(ctx, name, oteltrace.WithTimestamp(at))
	return ctx, &Span{span: span, ctx: ctx, t: t}
}

const traceparent = "traceparent"

// Traceparent returns the W3C traceparent of the span.
func (s *Span) Traceparent() string {
	header := propagation.MapCarrier{}
	s.t.propagator.Inject(s.ctx, header)
	return header[traceparent]
}

// Note adds an attribute, named outlook_monitor.name unless there is a dot in it.
func (s *Span) Note(name string, value any) {
	for _, c := range name {
		if c == '.' {
			s.span.SetAttributes(attributeOf(name, value))
			return
		}
	}
	s.span.SetAttributes(attributeOf("outlook_monitor."+name, value))
}

func attributeOf(name string, value any) attribute.KeyValue {
	switch v := value.(type) {
	case string:
		return attribute.String(name, v)
	case bool:
		return attribute.Bool(name, v)
	case int:
		return attribute.Int(name, v)
	case int64:
		return attribute.Int64(name, v)
	case time.Duration:
		return attribute.Float64(name+"_seconds", v.Seconds())
	}
	return attribute.String(name, fmt.Sprint(value))
}

// End ends the span; err is what it failed of.
func (s *Span) End(at time.Time, err error) {
	if err != nil {
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End(oteltrace.WithTimestamp(at))
}
