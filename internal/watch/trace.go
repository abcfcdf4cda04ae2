package watch

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
)

// look is what is kept of a look that is going on, until it is known whether it
// is worth telling: a poll that finds nothing new leaves no span.
type look struct {
	began time.Time
	users int
	calls *ooo.Calls
}

type lookKey struct{}

// looking returns a context in which a look at so many users can be told of
// afterwards. Without a tracer it is ctx, at no cost.
func (w *Watcher) looking(ctx context.Context, users int) context.Context {
	if w.cfg.Tracer == nil {
		return ctx
	}
	ctx, calls := ooo.NoteCalls(ctx)
	return context.WithValue(ctx, lookKey{}, look{time.Now(), users, calls})
}

// put records a change. One that is to be delivered gets spans: that of the look,
// as part of the notification's trace if one announced it, with the calls of
// Graph and the record in it. The change takes the look's traceparent along.
func (w *Watcher) put(ctx context.Context, c ooo.Claim, change ooo.Change) (int64, error) {
	if w.cfg.Tracer == nil || !change.Decision.Changed {
		return w.cfg.Store.Record(ctx, c, change)
	}
	ctx, span := w.tell(ctx, c)
	change.Trace = span.Traceparent()
	_, record := w.cfg.Tracer.Begin(ctx, "record", "", time.Now())
	sequence, err := w.cfg.Store.Record(ctx, c, change)
	record.End(time.Now(), err)
	span.Note("away", change.Decision.State.Away)
	span.Note("sequence", sequence)
	span.End(time.Now(), err)
	return sequence, err
}

// tellNothing ends the trace of a notification that found nothing to deliver.
func (w *Watcher) tellNothing(ctx context.Context, c ooo.Claim, outcome Outcome) {
	if w.cfg.Tracer == nil || c.Trace == "" || outcome == Changed {
		return
	}
	_, span := w.tell(ctx, c)
	span.Note("outcome", string(outcome))
	span.End(time.Now(), nil)
}

// tell begins the span of a look, at its beginning, and tells of its calls.
func (w *Watcher) tell(ctx context.Context, c ooo.Claim) (context.Context, ooo.Span) {
	l, ok := ctx.Value(lookKey{}).(look)
	if !ok { // a window's edge: nothing was read
		l.began = time.Now()
	}
	ctx, span := w.cfg.Tracer.Begin(ctx, "look", c.Trace, l.began)
	span.Note("user", string(c.Key))
	span.Note("object_id", string(c.ObjectID))
	span.Note("source", string(c.Source))
	if l.calls == nil {
		return ctx, span
	}
	span.Note("users_in_batch", l.users)
	for _, call := range l.calls.All() {
		_, asked := w.cfg.Tracer.Begin(ctx, "graph "+call.Operation, "", call.Began)
		asked.Note("graph.client_request_id", call.ClientRequestID)
		asked.Note("graph.request_id", call.RequestID)
		asked.Note("http.response.status_code", call.Status)
		asked.End(call.Ended, nil)
	}
	return ctx, span
}
