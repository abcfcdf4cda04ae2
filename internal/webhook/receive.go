package webhook

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"outlook-monitor/internal/ooo"
)

// errNotKept means that Redis, or this process, could not take what came.
var errNotKept = errors.New("could not be stored, Graph will send it again")

// receive takes one request: all hints that it asks for are stored when it returns
// nil.
func (r *Receiver) receive(ctx context.Context, body io.Reader) error {
	began := time.Now()
	return withBody(body, func(data []byte) error {
		c, err := decode(data)
		if err != nil {
			return err
		}
		counts := map[Verdict]int{Ignored: c.ignored}
		defer func() {
			for verdict, n := range counts {
				r.count(ctx, verdict, n)
			}
		}()
		if !slices.ContainsFunc(c.items, func(it json.RawMessage) bool { return it[0] == '{' }) {
			counts[Ignored] += len(c.items)
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, storeTime)
		defer cancel()
		keys, err := r.cfg.Keys(ctx)
		if err != nil {
			return fmt.Errorf("%w: %w", errNotKept, err)
		}
		items := r.judge(ctx, c, keys, counts)
		if len(items) == 0 {
			return nil
		}
		if err := r.leave(ctx, began, len(items), hintsOf(items, time.Now())); err != nil {
			return fmt.Errorf("%w: %w", errNotKept, err)
		}
		for _, it := range items {
			counts[it.kind()]++
		}
		return nil
	})
}

// kind is the verdict that a believed item is counted under.
func (it *judged) kind() Verdict {
	if it.verdict == Accepted && it.event() != "" {
		return Event
	}
	return it.verdict
}

// hintsOf returns what the items ask for: one hint for each mailbox and kind, however
// many items there are.
func hintsOf(items []judged, now time.Time) []ooo.Hint {
	type subject struct {
		mailbox ooo.RecordID
		kind    ooo.HintKind
	}
	asked := map[subject]bool{}
	var hints []ooo.Hint
	ask := func(it judged, kind ooo.HintKind) {
		if asked[subject{it.mailbox, kind}] {
			return
		}
		asked[subject{it.mailbox, kind}] = true
		hints = append(hints, ooo.Hint{
			ID: it.mailbox, Kind: kind, Nonce: rand.Text(), At: now, Source: ooo.SourceNotification, Reason: string(it.event()),
			NotificationID: it.name(), SubscriptionID: it.subscription(), ResourceTag: it.tag,
		})
	}
	for _, it := range items {
		event := it.event()
		// A removal too may have missed something.
		if event != ooo.ReauthorizationRequired || it.ChangeType != "" {
			ask(it, ooo.HintRead)
		}
		if event == ooo.ReauthorizationRequired || event == ooo.SubscriptionWasRemoved {
			ask(it, ooo.HintSubscription)
		}
	}
	return hints
}

// leave stores the hints, with a span: a forger leaves none. It begins the trace that
// the reads and the deliveries go on with, whatever the request's own headers say.
func (r *Receiver) leave(ctx context.Context, began time.Time, items int, hints []ooo.Hint) error {
	ctx, span := r.cfg.Tracer.Start(ctx, "notification", trace.WithNewRoot(), trace.WithTimestamp(began),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.Int("outlook_monitor.items", items), attribute.Int("outlook_monitor.hints", len(hints))))
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

// count reports n items with a verdict.
func (r *Receiver) count(ctx context.Context, v Verdict, n int) {
	if n > 0 {
		r.cfg.Counted(string(v), n)
		r.cfg.Log.DebugContext(ctx, "items judged", "verdict", v, "items", n)
	}
}
