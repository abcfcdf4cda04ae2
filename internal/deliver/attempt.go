package deliver

import (
	"cmp"
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
	// abandonedTime is how long the mediator may still process an attempt whose owner was lost:
	// up to 10 s, and a margin. Until then nothing else may be sent for the address.
	abandonedTime = 12 * time.Second
	// maxStartDelay is the longest time from InFlightSince to the start of the call. After
	// a later start the next owner, which counts abandonedTime from InFlightSince, could
	// call while this call is still in flight. A Redis that takes longer to save the
	// beginning answers no round in time either.
	maxStartDelay = time.Second
	// maxOvertaken bounds the overtaken states that one write adds to the history.
	maxOvertaken = 20
)

// dueTime is when the newest state of an address may be sent, with the fields of the
// record that it was computed from. It is zero if nothing was to be sent.
//
// Stored times may come from the clock of another process. They are compared with this
// clock only once, when they are first seen, and cut at the longest wait of their kind; those that
// this process has saved, too.
type dueTime struct {
	inFlight, next time.Time // of [ooo.Delivery]: InFlightSince and NextAttemptAt
	at             time.Time
}

// update returns the due time of an address: before, unless the times in its record have changed.
func (before dueTime) update(a *ooo.Address, now time.Time) dueTime {
	d := &a.Delivery
	if !before.at.IsZero() && before.inFlight.Equal(d.InFlightSince) && before.next.Equal(d.NextAttemptAt) {
		return before
	}
	longest := failedMost
	if d.Throttled || d.State == ooo.DeliveryRefused { // a refusal may come with a Retry-After too
		longest = retryAfterMost
	}
	// Both are negative if their time is zero.
	abandoned := min(d.InFlightSince.Add(abandonedTime).Sub(now), abandonedTime)
	backoff := min(d.NextAttemptAt.Sub(now), longest)
	return dueTime{inFlight: d.InFlightSince, next: d.NextAttemptAt, at: now.Add(max(abandoned, backoff, 0))}
}

// attempt is one try to send a state to the mediator.
type attempt struct {
	key     key
	done    func()      // of the registry
	address ooo.Address // as of the save that recorded the beginning
	state   ooo.State
}

// begin records in a draft that an attempt to send the newest state of an address begins. The
// call starts once the draft is saved. The caller must hold a slot for it. begin returns false,
// and leaves the slot to the caller, if there is nothing to send now.
func (d *Deliverer) begin(draft *mailbox.Draft, a *ooo.Address, k key) bool {
	now := time.Now().UTC()
	if a == nil || !a.Undelivered() || draft.State == nil || d.dueAt(k, a, now).After(now) {
		return false
	}
	done, ok := d.cfg.Registry.Begin(k.id)
	if !ok {
		return false
	}
	delivery := &a.Delivery
	if !delivery.InFlightSince.IsZero() { // an abandoned attempt, which may have arrived
		overtaken(draft, a, delivery.InFlightSequence, now)
	}
	delivery.InFlightSequence = a.Sequence
	delivery.Attempts++
	delivery.NextAttemptAt, delivery.Throttled = time.Time{}, false
	t := &attempt{key: k, done: done, state: *draft.State}
	draft.OnSave(func() { // with a slow Redis, saves wait longer than maxStartDelay for others
		delivery.InFlightSince = time.Now().UTC()
		t.address = *a
	})
	draft.OnEnd(func(saved bool) {
		if saved {
			go d.call(t)
			return
		}
		done()
		d.abort(k)
	})
	return true
}

func (d *Deliverer) dueAt(k key, a *ooo.Address, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.due(k, a, now).at
}

// due returns when an address is due. The caller must hold mu.
func (d *Deliverer) due(k key, a *ooo.Address, now time.Time) dueTime {
	due := d.pending[k.id][k.address].update(a, now)
	if until := d.abandoned[k]; until.After(due.at) {
		due.at = until
	}
	return due
}

// overtaken adds to the history that the states from first on were overtaken by a newer
// state before they were delivered.
func overtaken(draft *mailbox.Draft, a *ooo.Address, first int64, now time.Time) {
	for s := max(first, a.Delivery.Sequence+1, a.Sequence-maxOvertaken); s < a.Sequence; s++ {
		draft.Event(a, ooo.Event{At: now, Kind: ooo.EventOvertaken, Sequence: s})
	}
}

// BeginDelivery is called inside the update that records a change, once the state is
// queued for each address. It records in the same draft that deliveries begin, as many as
// may start now.
func (d *Deliverer) BeginDelivery(draft *mailbox.Draft) {
	for i := range draft.Addresses {
		a := &draft.Addresses[i]
		k := key{draft.ID, a.Folded()}
		if d.reserve(k) && !d.begin(draft, a, k) {
			d.abort(k)
		}
	}
}

// deliver makes one attempt for an address taken from the queue. The caller must hold a
// slot for it.
func (d *Deliverer) deliver(k key) {
	begun := false
	_, _ = d.cfg.Registry.Update(k.id, func(draft *mailbox.Draft) error {
		a := draft.Address(k.address)
		resent := d.resend(draft, a, k)
		if begun = d.begin(draft, a, k); !begun && !resent {
			return mailbox.ErrUnchanged
		}
		return nil
	})
	if !begun {
		d.abort(k)
	}
}

// resend carries out the hint to deliver the state of an address again, if there is one:
// the state gets a new sequence number and webhook id. An address without a state needs
// nothing: its first state will be delivered anyway.
func (d *Deliverer) resend(draft *mailbox.Draft, a *ooo.Address, k key) bool {
	for _, h := range d.cfg.Registry.Hints(k.id, ooo.HintResend) {
		if h.Subject != k.address {
			continue
		}
		if a != nil && draft.State != nil {
			draft.Resend(a, time.Now().UTC())
		}
		draft.RemoveHints(h)
		return true
	}
	return false
}

// call makes the call of an attempt whose beginning is saved, and saves its result. The
// caller must hold a slot. call frees it before the save, so that a slow save delays no
// other call.
func (d *Deliverer) call(t *attempt) {
	defer func() {
		t.done()
		d.finished(t.key)
	}()
	ctx, span := d.span(t)
	defer span.End()
	began := time.Now()
	answer := Answer{unsent: true}
	if began.Sub(t.address.Delivery.InFlightSince) < maxStartDelay {
		answer = d.cfg.Mediator.SetStatus(ctx, Status{
			Address: t.address.Spelling, State: t.state, WebhookID: t.address.Delivery.WebhookID, Ready: d.ready,
		})
	}
	<-d.slots
	now := time.Now().UTC()
	answeredLate := answer.code != 0 && now.Sub(began) >= slowAnswer
	if answeredLate || errors.Is(answer.err, errNoAnswer) {
		d.slow.Add(t.key, struct{}{})
	} else {
		d.slow.Remove(t.key)
	}
	r := answer.result(&t.address)
	saved := false
	_, err := d.cfg.Registry.Update(t.key.id, func(draft *mailbox.Draft) error {
		a := draft.Address(t.key.address)
		if a == nil || !a.Delivery.InFlightSince.Equal(t.address.Delivery.InFlightSince) {
			return mailbox.ErrUnchanged // monitoring ended or restarted, or another owner has acted
		}
		t.recordResult(draft, a, r, now)
		saved = true
		return nil
	})
	span.SetAttributes(attribute.String("outlook_monitor.outcome", cmp.Or(string(r.state), "not sent")))
	if r.state == "" {
		return
	}
	if r.problem != "" {
		span.SetStatus(codes.Error, r.problem)
	}
	log := d.cfg.Log.With("mailbox", t.key.id, "sequence", t.address.Sequence)
	switch {
	case err != nil && !errors.Is(err, ooo.ErrNotMonitored):
		log.WarnContext(ctx, "delivery result not saved, the next owner delivers again", "err", err)
	case saved && r.state == ooo.DeliveryDelivered:
		log.InfoContext(ctx, "delivered", "attempt", t.address.Delivery.Attempts, "source", t.address.Source)
	case saved && r.failures == 1:
		log.WarnContext(ctx, "delivery failed, retrying", "state", r.state, "err", r.problem)
	}
	d.cfg.OnAttempt(r.state, t.address.Source, now.Sub(began), max(now.Sub(t.address.QueuedAt), 0))
}

// recordResult records the result of an attempt in a draft.
func (t *attempt) recordResult(draft *mailbox.Draft, a *ooo.Address, r result, now time.Time) {
	delivery, sequence := &a.Delivery, t.address.Sequence
	newest := a.Sequence == sequence
	event := func(kind ooo.EventKind) {
		draft.Event(a, ooo.Event{
			At: now, Kind: kind, Source: t.address.Source, Sequence: sequence, Attempt: t.address.Delivery.Attempts,
			WebhookID: t.address.Delivery.WebhookID, Detail: r.problem,
		})
	}
	delivery.InFlightSince, delivery.InFlightSequence = time.Time{}, 0
	switch r.state {
	case "": // nothing was sent
		if newest {
			delivery.Attempts--
		}
	case ooo.DeliveryDelivered:
		event(ooo.EventDelivered)
		delivery.Sequence, delivery.DeliveredAt = sequence, now
		delivery.NextAttemptAt, delivery.Throttled = time.Time{}, false
	case ooo.DeliveryRefused:
		event(ooo.EventRefused)
		requested := !delivery.NextAttemptAt.IsZero() // by a monitor request during the call
		delivery.NextAttemptAt, delivery.Throttled = time.Time{}, false
		if newest && !requested {
			delivery.NextAttemptAt = now.Add(r.wait)
		}
	case ooo.DeliveryPending:
		if r.failures == 1 { // a long outage would push everything else out of the history
			event(ooo.EventFailed)
		}
		delivery.NextAttemptAt, delivery.Throttled = time.Time{}, r.throttled
		if newest || r.throttled {
			delivery.NextAttemptAt = now.Add(r.wait)
		}
	}
	switch {
	case !newest:
		overtaken(draft, a, sequence, now)
	case r.state != "":
		delivery.State, delivery.Failures, delivery.Error = r.state, r.failures, r.problem
	}
}

// span starts the span of an attempt, in the trace of the change.
func (d *Deliverer) span(t *attempt) (context.Context, trace.Span) {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": t.address.Trace})
	return d.cfg.Tracer.Start(ctx, "deliver", trace.WithAttributes(
		attribute.String("outlook_monitor.mailbox", t.key.id.LogValue().String()),
		attribute.Int64("outlook_monitor.sequence", t.address.Sequence),
		attribute.Int("outlook_monitor.attempt", t.address.Delivery.Attempts),
		attribute.String("outlook_monitor.source", string(t.address.Source)),
	))
}
