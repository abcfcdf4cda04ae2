package webhook

import (
	"context"
	"time"
)

// keepTraced is keep with a span, that of a request which asks for looks: a
// forger leaves none. It begins the trace that the looks and the deliveries go on
// with, whatever the request's own headers say.
func (r *Receiver) keepTraced(ctx context.Context, began time.Time, s sorted) error {
	if r.cfg.Tracer == nil || len(s.marks) == 0 {
		return r.keep(ctx, s)
	}
	ctx, span := r.cfg.Tracer.Begin(ctx, "notification", "", began)
	span.Note("items", s.items)
	span.Note("marks", len(s.marks))
	for i := range s.marks {
		s.marks[i].Trace = span.Traceparent()
	}
	err := r.keep(ctx, s)
	span.End(time.Now(), err)
	return err
}
