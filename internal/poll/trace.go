package poll

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

const traceparent = "traceparent"

// changeSpan makes the spans of one change: that of the look, as part of the trace of
// the notification if one announced it, with the calls of Graph and the save in it. A
// regular read that finds nothing new leaves none.
type changeSpan struct {
	tracer trace.Tracer // nil: none
	ctx    context.Context
	id     ooo.ObjectID
	began  time.Time
	call   call
	span   trace.Span // nil: not begun
	saving trace.Span
	parent string
}

func (p *Poller) newSpan(ctx context.Context, j *job, source ooo.Source, hint ooo.Hint, c call) *changeSpan {
	return &changeSpan{tracer: p.cfg.Tracer, ctx: ctx, id: j.id.ObjectID(), began: c.began, call: c, parent: hint.Trace}
}

// begin begins the spans of a change that is about to be saved, and returns the
// traceparent that its delivery goes on with.
func (s *changeSpan) begin(d *mailbox.Draft, source ooo.Source) string {
	if s.tracer == nil {
		return ""
	}
	ctx := s.open(source)
	s.span.SetAttributes(attribute.Bool("outlook_monitor.away", d.State.Away))
	if len(d.Addresses) > 0 {
		s.span.SetAttributes(attribute.Int64("outlook_monitor.sequence", d.Addresses[0].Sequence+1))
	}
	_, s.saving = s.tracer.Start(ctx, "save")
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get(traceparent)
}

// open begins the span of the read, at its beginning, and those of its calls.
func (s *changeSpan) open(source ooo.Source) context.Context {
	ctx := propagation.TraceContext{}.Extract(s.ctx, propagation.MapCarrier{traceparent: s.parent})
	ctx, s.span = s.tracer.Start(ctx, "read", trace.WithTimestamp(s.began), trace.WithAttributes(
		attribute.String("outlook_monitor.mailbox", string(s.id)),
		attribute.String("outlook_monitor.source", string(source))))
	if s.call.graph != nil {
		s.span.SetAttributes(attribute.Int("outlook_monitor.mailboxes_in_batch", s.call.mailboxes))
		traceCalls(ctx, s.tracer, s.call.graph.All())
	}
	return ctx
}

func traceCalls(ctx context.Context, tracer trace.Tracer, calls []graph.Call) {
	for _, c := range calls {
		_, span := tracer.Start(ctx, "graph "+c.Operation, trace.WithTimestamp(c.Began), trace.WithAttributes(
			attribute.String("graph.client_request_id", c.ClientRequestID),
			attribute.String("graph.request_id", c.RequestID),
			attribute.Int("http.response.status_code", c.Status)))
		span.End(trace.WithTimestamp(c.Ended))
	}
}

// end ends what was begun.
func (s *changeSpan) end(err error) {
	if s.span == nil {
		return
	}
	for _, span := range []trace.Span{s.saving, s.span} {
		if span == nil {
			continue
		}
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// traceNothing ends the trace of a notification that found nothing to deliver.
func (p *Poller) traceNothing(ctx context.Context, j *job, hint ooo.Hint, c call, outcome Outcome) {
	if p.cfg.Tracer == nil {
		return
	}
	source, _ := j.source()
	s := p.newSpan(ctx, j, source, hint, c)
	s.open(source)
	s.span.SetAttributes(attribute.String("outlook_monitor.outcome", string(outcome)))
	s.end(nil)
}
