package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

// deliverable claims the user for delivery and begins an attempt.
func (s store) deliverable(key ooo.Key) ooo.Parcel {
	s.t.Helper()
	c := s.claim(ooo.DeliverQueue, key, long)
	p, send, err := s.Begin(s.t.Context(), c)
	if err != nil || !send {
		s.t.Fatalf("Begin = %+v, %t, %v, want something to send", p, send, err)
	}
	s.held[key] = c
	return p
}

// ends finishes the attempt that deliverable began.
func (s store) ends(p ooo.Parcel, state ooo.DeliveryState, wait time.Duration, floor bool) {
	s.t.Helper()
	r := ooo.Receipt{Parcel: p, State: state, Next: s.now().Add(wait), Floor: floor}
	if state != ooo.DeliveryDelivered {
		r.Error = "the mediator answered 500"
	}
	s.must(s.Finish(s.t.Context(), s.held[p.Key], r))
}

// deliverySuite is the part of the suite about delivery.
var deliverySuite = map[string]func(t *testing.T, s store){
	"a state is delivered once": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		p := s.deliverable(key)
		if p.Address != "ann@contoso.example" || p.State != (ooo.State{Away: true, Message: "Away"}) || p.Sequence != 1 || p.Attempt != 1 || p.WebhookID == "" {
			t.Errorf("Parcel = %+v, want ann's first state", p)
		}
		s.ends(p, ooo.DeliveryDelivered, 0, false)
		if got := s.claims(ooo.DeliverQueue, long); len(got) != 0 {
			t.Errorf("Claim = %+v, want nothing", got)
		}
		d := s.user(key).Delivery
		if d.State != ooo.DeliveryDelivered || d.Sequence != 1 || d.Attempts != 1 || d.DeliveredAt.IsZero() || d.Error != "" {
			t.Errorf("Delivery = %+v, want it delivered", d)
		}
		if got, want := s.kinds(key), "started changed delivered"; got != want {
			t.Errorf("history = %s, want %s", got, want)
		}
	},
	"a retry has the same webhook-id, and a newer state cuts its wait short": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		first := s.deliverable(key)
		s.ends(first, ooo.DeliveryPending, 0, false)
		second := s.deliverable(key)
		if second.WebhookID != first.WebhookID || second.Attempt != 2 {
			t.Errorf("second try = %+v, want the same webhook-id and attempt 2", second)
		}
		s.ends(second, ooo.DeliveryPending, time.Hour, false)
		if d := s.user(key).Delivery; d.State != ooo.DeliveryPending || d.Error == "" || d.NextAttemptAt.IsZero() || d.Attempts != 2 {
			t.Errorf("Delivery = %+v, want it pending with the error", d)
		}
		s.read(key, off)
		third := s.deliverable(key)
		if third.Sequence != 2 || third.Attempt != 1 || third.WebhookID == first.WebhookID || third.State.Away {
			t.Errorf("third try = %+v, want the newer state alone", third)
		}
		s.ends(third, ooo.DeliveryDelivered, 0, false)
		if got, want := s.kinds(key), "started changed failed failed changed overtaken delivered"; got != want {
			t.Errorf("history = %s, want %s", got, want)
		}
	},
	"a newer state waits for the attempt in hand": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		first := s.deliverable(key)
		s.read(key, off)
		if got := s.claims(ooo.DeliverQueue, long); len(got) != 0 {
			t.Fatalf("Claim = %+v, want one attempt at a time", got)
		}
		s.ends(first, ooo.DeliveryDelivered, 0, false)
		if d := s.user(key).Delivery; d.State != ooo.DeliveryPending {
			t.Errorf("Delivery = %+v, want the newer one pending", d)
		}
		if second := s.deliverable(key); second.Sequence != 2 {
			t.Errorf("Sequence = %d, want 2", second.Sequence)
		}
	},
	"a wait the mediator asked for holds back newer states": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		s.ends(s.deliverable(key), ooo.DeliveryPending, time.Hour, true)
		s.read(key, off)
		if got := s.claims(ooo.DeliverQueue, long); len(got) != 0 {
			t.Errorf("Claim = %+v, want the wait honoured", got)
		}
	},
	"a monitor request tries a refused state at once": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		s.ends(s.deliverable(key), ooo.DeliveryRefused, time.Hour, false)
		if d := s.user(key).Delivery; d.State != ooo.DeliveryRefused {
			t.Errorf("Delivery = %+v, want it refused", d)
		}
		s.start("ann")
		if p := s.deliverable(key); p.Attempt != 2 {
			t.Errorf("Attempt = %d, want 2", p.Attempt)
		}
	},
	"resend gives the state a new webhook-id": func(t *testing.T, s store) {
		key := s.start("ann")
		if err := s.Resend(t.Context(), ooo.KeyOf("bob@contoso.example")); !errors.Is(err, ooo.ErrNotMonitored) {
			t.Errorf("Resend of nobody = %v, want ErrNotMonitored", err)
		}
		s.must(s.Resend(t.Context(), key)) // no state yet
		s.read(key, on)
		first := s.deliverable(key)
		s.ends(first, ooo.DeliveryDelivered, 0, false)
		s.must(s.Resend(t.Context(), key))
		second := s.deliverable(key)
		if second.WebhookID == first.WebhookID || second.State != first.State {
			t.Errorf("resent = %+v, want the same state under another webhook-id", second)
		}
	},
	"a worker whose lease ended may not say how it went": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		dead := s.claim(ooo.DeliverQueue, key, 50*time.Millisecond)
		p, _, err := s.Begin(t.Context(), dead)
		s.must(err)
		again := s.deliverable(key)
		if again.WebhookID != p.WebhookID || again.Attempt != 2 {
			t.Errorf("again = %+v, want the same state as a second attempt", again)
		}
		if err := s.Finish(t.Context(), dead, ooo.Receipt{Parcel: p, State: ooo.DeliveryDelivered}); !errors.Is(err, ooo.ErrStale) {
			t.Errorf("Finish = %v, want ErrStale", err)
		}
		if _, _, err := s.Begin(t.Context(), dead); !errors.Is(err, ooo.ErrStale) {
			t.Errorf("Begin = %v, want ErrStale", err)
		}
	},
	"a call of an earlier life says nothing of a state that came after": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		old := s.deliverable(key) // the mediator takes its time
		s.must(s.Stop(t.Context(), key))
		cover := s.claim(ooo.SubscribeQueue, key, long)
		s.must(s.Forget(t.Context(), cover))
		s.done(cover, time.Time{})
		s.start("ann")
		s.read(key, off)
		s.ends(old, ooo.DeliveryDelivered, 0, false)
		if p := s.deliverable(key); p.State.Away || p.WebhookID == old.WebhookID {
			t.Errorf("Parcel = %+v, want the state of the new life", p)
		}
	},
	"a wait the mediator asked for counts although a newer state came": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		p := s.deliverable(key)
		s.read(key, off)
		s.ends(p, ooo.DeliveryPending, time.Hour, true)
		if got := s.claims(ooo.DeliverQueue, long); len(got) != 0 {
			t.Errorf("Claim = %+v, want the wait honoured", got)
		}
	},
	"a stop ends what is to be delivered": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		p := s.deliverable(key)
		s.must(s.Stop(t.Context(), key))
		s.ends(p, ooo.DeliveryPending, 0, false)
		if got := s.claims(ooo.DeliverQueue, long); len(got) != 0 {
			t.Errorf("Claim = %+v, want nothing", got)
		}
	},
}
