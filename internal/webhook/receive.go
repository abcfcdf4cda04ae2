package webhook

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"outlook-monitor/internal/ooo"
)

// take stores the hints that a collection asks for.
func (r *Receiver) take(ctx context.Context, began time.Time, body []byte) error {
	c, err := decode(body)
	if err != nil {
		return err
	}
	counts := map[Verdict]int{Ignored: c.Items.ignored}
	defer r.count(ctx, counts)
	if len(c.Items.list) == 0 {
		return nil
	}
	keys, err := r.cfg.Keys(ctx)
	if err != nil {
		return fmt.Errorf("keys of clientStates: %w", err)
	}
	items := r.judge(ctx, body, c, keys, counts)
	if len(items) == 0 {
		return nil
	}
	if err := r.leave(ctx, began, len(items), hintsOf(items, time.Now())); err != nil {
		return fmt.Errorf("hints: %w", err)
	}
	for _, it := range items {
		if it.verdict == Accepted && it.event != "" {
			it.verdict = Event
		}
		counts[it.verdict]++
	}
	return nil
}

// hintsOf returns what the items ask for: one hint for each mailbox, kind and subject,
// however many items there are.
func hintsOf(items []genuine, now time.Time) []ooo.Hint {
	type field struct {
		mailbox ooo.RecordID
		kind    ooo.HintKind
		subject string
	}
	asked := make(map[field]bool, len(items))
	hints := make([]ooo.Hint, 0, len(items))
	ask := func(it genuine, kind ooo.HintKind, subject string) {
		if asked[field{it.mailbox, kind, subject}] {
			return
		}
		asked[field{it.mailbox, kind, subject}] = true
		hints = append(hints, ooo.Hint{
			ID: it.mailbox, Kind: kind, Subject: subject, At: now, Source: ooo.SourceNotification, Reason: string(it.event),
			NotificationID: it.notification, SubscriptionID: it.subscription, ResourceTag: it.tag,
		})
	}
	for _, it := range items {
		// A removal too may have missed something.
		if it.event != ooo.ReauthorizationRequired || it.change {
			ask(it, ooo.HintRead, "")
		}
		if it.event == ooo.ReauthorizationRequired || it.event == ooo.SubscriptionWasRemoved {
			ask(it, ooo.HintSubscription, string(it.event))
		}
	}
	return hints
}

// leave stores the hints, with a span: a forger leaves none. It begins the trace that
// the reads and the deliveries go on with, whatever the request's own headers say.
func (r *Receiver) leave(ctx context.Context, began time.Time, items int, hints []ooo.Hint) error {
	ctx, span := r.cfg.Tracer.Start(ctx, "notification", trace.WithNewRoot(), trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.Int("outlook_monitor.items", items), attribute.Int("outlook_monitor.hints", len(hints))))
	defer span.End()
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	for i := range hints {
		hints[i].Trace = carrier["traceparent"]
	}
	err := r.cfg.Leave(ctx, hints...)
	if err != nil {
		span.SetStatus(codes.Error, "hints not stored")
	}
	return err
}

// count reports how many items have which verdict.
func (r *Receiver) count(ctx context.Context, counts map[Verdict]int) {
	for verdict, n := range counts {
		if n > 0 {
			r.cfg.Counted(string(verdict), n)
			r.cfg.Log.DebugContext(ctx, "items verified", "verdict", verdict, "items", n)
		}
	}
}
