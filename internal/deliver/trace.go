package deliver

import (
	"context"
	"errors"
	"time"

	"outlook-monitor/internal/ooo"
)

// attempt begins the span of an attempt, which goes on with the trace of the
// change, and returns how to end it. Without a tracer both are nothing.
func (d *Deliverer) attempt(ctx context.Context, p ooo.Parcel) (context.Context, func(ooo.Receipt)) {
	if d.cfg.Tracer == nil {
		return ctx, func(ooo.Receipt) {}
	}
	ctx, span := d.cfg.Tracer.Begin(ctx, "deliver", p.Trace, time.Now())
	span.Note("user", string(p.Key))
	span.Note("sequence", p.Sequence)
	span.Note("attempt", p.Attempt)
	span.Note("source", string(p.Source))
	return ctx, func(r ooo.Receipt) {
		span.Note("outcome", string(r.State))
		var err error
		if r.Error != "" {
			err = errors.New(r.Error)
		}
		span.End(time.Now(), err)
	}
}
