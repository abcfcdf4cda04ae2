package poll

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

const traceparent = "traceparent"

// changeSpans are the spans of a change that is being saved. A regular read that finds no
// change has none.
type changeSpans struct {
	read, save trace.Span // nil: no change
	parent     string     // the traceparent for the delivery
}

// traceChange begins the spans of a change that is about to be saved.
func (p *Poller) traceChange(ctx context.Context, d *mailbox.Draft, source ooo.Source, hint ooo.Hint, c call) (s changeSpans) {
	ctx, s.read = p.traceRead(ctx, d.ID, source, hint, c)
	s.read.SetAttributes(
		attribute.Bool("outlook_monitor.away", d.State.Away),
		attribute.Int64("outlook_monitor.sequence", d.Addresses[0].Sequence+1))
	_, s.save = p.cfg.Tracer.Start(ctx, "save")
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	s.parent = carrier.Get(traceparent)
	return s
}

func (s changeSpans) end(err error) {
	if s.read == nil {
		return
	}
	for _, span := range []trace.Span{s.save, s.read} {
		if err != nil {
			span.SetStatus(codes.Error, "not saved")
		}
		span.End()
	}
}

// traceUndelivered records the read that a notification caused, and that led to no delivery.
func (p *Poller) traceUndelivered(ctx context.Context, j *job, c call, outcome Outcome) {
	source, hint := j.cause()
	if hint.Trace == "" {
		return
	}
	_, span := p.traceRead(ctx, j.t.id, source, hint, c)
	span.SetAttributes(attribute.String("outlook_monitor.outcome", string(outcome)))
	span.End()
}

// traceRead begins the span of a read with the time at which the call began, and with its
// requests to Graph as children. It belongs to the trace of the notification that caused it, if
// there is one.
func (p *Poller) traceRead(ctx context.Context, id ooo.RecordID, source ooo.Source, hint ooo.Hint, c call) (context.Context, trace.Span) {
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: hint.Trace})
	ctx, span := p.cfg.Tracer.Start(ctx, "read", trace.WithTimestamp(c.began), trace.WithAttributes(
		attribute.String("outlook_monitor.mailbox", string(id.ObjectID())),
		attribute.String("outlook_monitor.source", string(source))))
	if c.graph == nil {
		return ctx, span
	}
	span.SetAttributes(attribute.Int("outlook_monitor.mailboxes_in_batch", c.mailboxes))
	for _, call := range *c.graph {
		_, s := p.cfg.Tracer.Start(ctx, "graph "+call.Operation, trace.WithTimestamp(call.Began), trace.WithAttributes(
			attribute.String("graph.client_request_id", call.ClientRequestID),
			attribute.String("graph.request_id", call.RequestID),
			attribute.Int("http.response.status_code", call.Status)))
		s.End(trace.WithTimestamp(call.Ended))
	}
	return ctx, span
}
