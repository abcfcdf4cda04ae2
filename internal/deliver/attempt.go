package deliver

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

const (
	// staleTime is how old a saved beginning may be when its call starts: the next
	// owner counts from the saved time, should this one die.
	staleTime = time.Second
	// overtakenMost bounds the overtaken states that one write adds to the history.
	overtakenMost = 20
)

// attempt is one try to bring a state to the mediator.
type attempt struct {
	key     key
	done    func()      // of the registry
	address ooo.Address // as of the save that noted the beginning
	state   ooo.State
	next    time.Time // [ooo.Delivery.NextAttemptAt] before
}

// begin notes in a draft that an attempt begins with the newest state of an address.
// It returns nil if there is nothing to send, or not now.
func (d *Deliverer) begin(draft *mailbox.Draft, a *ooo.Address, k key) *attempt {
	now := time.Now().UTC()
	if a == nil || !a.Owed() || draft.State == nil || d.dueAt(k, a, now).After(now) {
		return nil
	}
	delivery := &a.Delivery
	if !delivery.BegunAt.IsZero() { // whether that one arrived is not known
		overtaken(draft, a, delivery.BegunSequence, now)
	}
	delivery.BegunAt, delivery.BegunSequence = now, a.Sequence
	delivery.Attempts++
	return &attempt{key: k, address: *a, state: *draft.State, next: delivery.NextAttemptAt}
}

// dueAt returns when the newest state of an address is due.
func (d *Deliverer) dueAt(k key, a *ooo.Address, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.owed[k.id][k.address].of(a, now).at()
}

// overtaken records in the history of the states from first on that a newer one came
// before they were delivered.
func overtaken(draft *mailbox.Draft, a *ooo.Address, first int64, now time.Time) {
	for s := max(first, a.Delivery.Sequence+1, a.Sequence-overtakenMost); s < a.Sequence; s++ {
		draft.Event(a, ooo.Event{At: now, Kind: ooo.EventOvertaken, Sequence: s})
	}
}

// BeginDelivery is for whoever records a change: called inside the update, once the
// state is queued, it notes in the same draft that its deliveries begin, as far as
// calls are free right now. after must be called when the update has ended, and says
// whether the draft was saved; only then the calls are made. It does not wait for them.
func (d *Deliverer) BeginDelivery(draft *mailbox.Draft) (after func(committed bool)) {
	var begun []*attempt
	for i := range draft.Addresses {
		a := &draft.Addresses[i]
		k := key{draft.ID, a.Folded()}
		if !a.Owed() || !d.reserve(k) {
			continue
		}
		var started *attempt
		done, ok := d.cfg.Registry.Begin(k.id, mailbox.Delivery, k.address)
		if ok {
			if started = d.begin(draft, a, k); started == nil {
				done()
			}
		}
		if started == nil {
			<-d.slots
			d.landed(k)
			continue
		}
		started.done = done
		begun = append(begun, started)
	}
	return func(committed bool) {
		for _, t := range begun {
			if committed {
				go d.call(context.Background(), t)
				continue
			}
			<-d.slots
			t.done()
			d.landed(t.key)
		}
	}
}

// reserve takes a slot for an address whose attempt is not in flight, if one is free
// and nobody waits for it. The attempt is in flight then, until it has landed.
func (d *Deliverer) reserve(k key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, busy := d.inFlight[k]; busy || d.run == nil || d.run.Err() != nil {
		return false
	}
	if next, ok := d.queue.Next(); ok && !next.After(time.Now()) {
		return false
	}
	select {
	case d.slots <- struct{}{}:
	default:
		return false
	}
	d.queue.Remove(k)
	d.inFlight[k] = struct{}{}
	d.calls.Add(1)
	return true
}

// deliver makes one attempt for an address that was taken from the queue. The caller
// holds a slot for it.
func (d *Deliverer) deliver(ctx context.Context, k key) {
	done, ok := d.cfg.Registry.Begin(k.id, mailbox.Delivery, k.address)
	if !ok {
		<-d.slots
		d.postponed(k)
		return
	}
	var t *attempt
	_, err := d.cfg.Registry.Update(ctx, k.id, func(draft *mailbox.Draft) error {
		if t = d.begin(draft, draft.Address(k.address), k); t == nil {
			return mailbox.ErrUnchanged
		}
		return nil
	})
	if err != nil || t == nil {
		<-d.slots
		done()
		d.landed(k)
		return
	}
	t.done = done
	d.call(ctx, t)
}

// call makes the call of an attempt whose beginning is saved, and saves its result.
// The caller holds a slot, which is free once the call has ended: a slow save holds up
// no other call.
func (d *Deliverer) call(ctx context.Context, t *attempt) {
	defer func() {
		t.done()
		d.landed(t.key)
	}()
	ctx, span := d.span(context.WithoutCancel(ctx), t)
	defer span.End()
	began := time.Now()
	answer := Answer{unsent: true}
	if began.Sub(t.address.Delivery.BegunAt) < staleTime {
		answer = d.cfg.Mediator.SetStatus(ctx, Status{
			Address: t.address.Spelling, State: t.state, WebhookID: t.address.Delivery.WebhookID, Ready: d.ready,
		})
	}
	<-d.slots
	now := time.Now().UTC()
	r := answer.result(&t.address)
	saved := false
	_, err := d.cfg.Registry.Update(ctx, t.key.id, func(draft *mailbox.Draft) error {
		a := draft.Address(t.key.address)
		if a == nil || !a.Delivery.BegunAt.Equal(t.address.Delivery.BegunAt) || a.Delivery.BegunSequence != t.address.Sequence {
			return mailbox.ErrUnchanged // monitoring ended or restarted, or another owner was here
		}
		t.end(draft, a, r, now)
		saved = true
		return nil
	})
	if answer.unsent {
		span.SetAttributes(attribute.String("outlook_monitor.outcome", "not sent"))
		return
	}
	span.SetAttributes(attribute.String("outlook_monitor.outcome", string(r.State)))
	if r.Error != "" {
		span.SetStatus(codes.Error, r.Error)
	}
	switch {
	case err != nil && !errors.Is(err, ooo.ErrNotMonitored):
		d.cfg.Log.WarnContext(ctx, "delivery result not saved, the next owner delivers again",
			"mailbox", shown(t.key.id), "sequence", t.address.Sequence, "err", err)
	case saved:
		d.log(ctx, t, r)
	}
	d.cfg.Attempted(r.Result, now.Sub(began), max(now.Sub(t.address.QueuedAt), 0))
}

// ready says whether a body may still be sent.
func (d *Deliverer) ready() bool {
	d.mu.Lock()
	running := d.run != nil && d.run.Err() == nil
	d.mu.Unlock()
	return running && d.cfg.InTime()
}

// end notes the result of an attempt in a draft.
func (t *attempt) end(draft *mailbox.Draft, a *ooo.Address, r result, now time.Time) {
	sequence := t.address.Sequence
	newest, delivery := a.Sequence == sequence, &a.Delivery
	delivery.BegunAt, delivery.BegunSequence = time.Time{}, 0
	event := ooo.Event{
		At: now, Kind: ooo.EventDelivered, Sequence: sequence, Attempt: r.Attempt, WebhookID: t.address.Delivery.WebhookID, Detail: r.Error,
	}
	switch {
	case r.unsent:
		if newest {
			delivery.Attempts--
		}
	case r.State == ooo.DeliveryDelivered:
		draft.Event(a, event)
		delivery.Sequence, delivery.DeliveredAt = max(delivery.Sequence, sequence), now
		delivery.NextAttemptAt, delivery.Throttled = time.Time{}, false
		if newest {
			delivery.State, delivery.Failures, delivery.Error = r.State, 0, ""
		}
	default:
		if event.Kind = ooo.EventFailed; r.State == ooo.DeliveryRefused {
			event.Kind = ooo.EventRefused
		}
		// Of a row of failures the history has the first, or a long outage would push
		// everything else out.
		if event.Kind == ooo.EventRefused || r.failures == 1 {
			draft.Event(a, event)
		}
		asked := !delivery.NextAttemptAt.Equal(t.next) // meanwhile a monitor request cut the wait short
		delivery.NextAttemptAt, delivery.Throttled = time.Time{}, r.throttled
		if r.throttled || newest && (!asked || r.State != ooo.DeliveryRefused) {
			delivery.NextAttemptAt = now.Add(r.wait)
		}
		if newest {
			delivery.State, delivery.Failures, delivery.Error = r.State, r.failures, r.Error
		}
	}
	if !newest {
		overtaken(draft, a, sequence, now)
	}
}

// log writes one line for what was delivered and one for the first of a row of
// failures.
func (d *Deliverer) log(ctx context.Context, t *attempt, r result) {
	switch {
	case r.State == ooo.DeliveryDelivered:
		d.cfg.Log.InfoContext(ctx, "delivered", "mailbox", shown(t.key.id), "sequence", r.Sequence,
			"attempt", r.Attempt, "source", r.Source)
	case r.failures == 1:
		d.cfg.Log.WarnContext(ctx, "delivery failed, retrying", "mailbox", shown(t.key.id),
			"sequence", r.Sequence, "state", r.State, "err", r.Error)
	}
}

// span begins the span of an attempt, which goes on with the trace of the change.
func (d *Deliverer) span(ctx context.Context, t *attempt) (context.Context, trace.Span) {
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": t.address.Trace})
	return d.cfg.Tracer.Start(ctx, "deliver", trace.WithAttributes(
		attribute.String("outlook_monitor.mailbox", shown(t.key.id)),
		attribute.Int64("outlook_monitor.sequence", t.address.Sequence),
		attribute.Int("outlook_monitor.attempt", t.address.Delivery.Attempts),
		attribute.String("outlook_monitor.source", string(t.address.Source)),
	))
}
