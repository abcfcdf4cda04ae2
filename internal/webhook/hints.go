package webhook

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"outlook-monitor/internal/ooo"
)

// hintsFor returns one hint for each mailbox, kind and subject, however many
// notifications lead to it: a change or missed notifications to a read, a request to
// reauthorize to a check of the subscription, and a removed subscription to both, because it
// may have missed changes.
func hintsFor(notifications []notification, now time.Time) []ooo.Hint {
	seen := make(map[ooo.Hint]bool, len(notifications))
	hints := make([]ooo.Hint, 0, len(notifications))
	add := func(n notification, kind ooo.HintKind, subject string) {
		h := ooo.Hint{ID: n.mailbox, Kind: kind, Subject: subject}
		if seen[h] {
			return
		}
		seen[h] = true
		h.At, h.Source, h.Reason = now, ooo.SourceNotification, string(n.event)
		h.NotificationID, h.SubscriptionID, h.ResourceTag = n.id, n.subscription, n.resourceTag
		hints = append(hints, h)
	}
	for _, n := range notifications {
		if n.event != ooo.ReauthorizationRequired || n.isChange {
			add(n, ooo.HintRead, "")
		}
		if n.event == ooo.ReauthorizationRequired || n.event == ooo.SubscriptionWasRemoved {
			add(n, ooo.HintSubscription, string(n.event))
		}
	}
	return hints
}

// storeHints stores the hints and records a span. The span is the root of the trace that
// the reads and deliveries continue, whatever the headers of the request say; a forged
// request leaves none.
func (r *Receiver) storeHints(ctx context.Context, began time.Time, items int, hints []ooo.Hint) error {
	ctx, span := r.cfg.Tracer.Start(ctx, "notification", trace.WithNewRoot(), trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.Int("outlook_monitor.items", items), attribute.Int("outlook_monitor.hints", len(hints))))
	defer span.End()
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	for i := range hints {
		hints[i].Trace = carrier["traceparent"]
	}
	err := r.cfg.LeaveHints(ctx, hints...)
	if err != nil {
		span.SetStatus(codes.Error, "hints not stored")
	}
	return err
}
