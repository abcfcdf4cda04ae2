package deliver_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

func TestWhatAnotherOwnerLeft(t *testing.T) {
	tests := map[string]struct {
		state    ooo.DeliveryState
		sequence int64         // of the newest state
		begun    time.Duration // from now; 0: no attempt is without a result
		next     time.Duration // from now
		throttle bool
		want     time.Duration // from loading to the call; -1: none comes
		history  []string
	}{
		"nothing":                              {ooo.DeliveryPending, 1, 0, 0, false, 0, []string{"delivered 1"}},
		"an attempt that may be under way":     {ooo.DeliveryPending, 1, -3 * time.Second, 0, false, 9 * time.Second, []string{"delivered 1"}},
		"one that brings an older state":       {ooo.DeliveryPending, 3, -3 * time.Second, 0, false, 9 * time.Second, []string{"overtaken 1", "overtaken 2", "delivered 3"}},
		"one that is over":                     {ooo.DeliveryPending, 1, -13 * time.Second, 0, false, 0, []string{"delivered 1"}},
		"one by a clock that is ahead":         {ooo.DeliveryPending, 1, time.Hour, 0, false, 12 * time.Second, []string{"delivered 1"}},
		"a wait":                               {ooo.DeliveryPending, 1, 0, 30 * time.Second, false, 30 * time.Second, []string{"delivered 1"}},
		"a wait by a clock that is ahead":      {ooo.DeliveryPending, 1, 0, 9 * time.Hour, false, time.Minute, []string{"delivered 1"}},
		"a Retry-After":                        {ooo.DeliveryPending, 1, 0, 30 * time.Minute, true, 30 * time.Minute, []string{"delivered 1"}},
		"a Retry-After, by a clock ahead":      {ooo.DeliveryPending, 1, 0, 9 * time.Hour, true, time.Hour, []string{"delivered 1"}},
		"a refusal":                            {ooo.DeliveryRefused, 1, 0, 15 * time.Minute, false, 15 * time.Minute, []string{"delivered 1"}},
		"a wait and an attempt after it":       {ooo.DeliveryPending, 1, -2 * time.Second, -time.Minute, false, 10 * time.Second, []string{"delivered 1"}},
		"a state that was acknowledged before": {ooo.DeliveryDelivered, 0, 0, 0, false, -1, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				now := time.Now()
				a := ooo.Address{Spelling: address("ann"), Sequence: tt.sequence, Delivery: ooo.Delivery{
					State: tt.state, WebhookID: "the state's", Throttled: tt.throttle}}
				if tt.begun != 0 {
					a.Delivery.InFlightSince, a.Delivery.InFlightSequence = now.Add(tt.begun), 1
				}
				if tt.next != 0 {
					a.Delivery.NextAttemptAt = now.Add(tt.next)
				}
				w.redis.Put(t, &ooo.Mailbox{ID: "ann", State: &away, Addresses: []ooo.Address{a}})
				defer w.start(8)()
				time.Sleep(2 * time.Hour)
				calls := w.received("ann")
				if tt.want < 0 && len(calls) == 0 {
					return
				}
				if len(calls) != 1 {
					t.Fatalf("%d calls, want one", len(calls))
				}
				if after := calls[0].at.Sub(now); after < tt.want || after > tt.want+100*time.Millisecond {
					t.Errorf("called after %v, want %v", after, tt.want)
				}
				if id := calls[0].header.Get("Webhook-Id"); id != "the state's" {
					t.Errorf("webhook-id = %s, want that of the state", id)
				}
				if history := w.history(); !slices.Equal(history, tt.history) {
					t.Errorf("history = %v, want %v", history, tt.history)
				}
			})
		})
	}
}

func TestAnOwnerThatWasReplacedKeepsItsResultToItself(t *testing.T) {
	delivering(t, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		begun := w.delivery("ann").InFlightSince
		w.registry.Drop(ooo.RecordID("ann").Partition())
		time.Sleep(10 * time.Second)
		if len(w.received("ann")) != 1 || !strings.Contains(w.log.String(), "delivery result not saved") {
			t.Fatalf("%d calls, log %s; want one and a line", len(w.received("ann")), w.log.String())
		}
		w.ownAgain() // and has it back
		time.Sleep(10 * time.Second)
		calls := w.received("ann")
		if len(calls) != 2 || calls[0].header.Get("Webhook-Id") != calls[1].header.Get("Webhook-Id") {
			t.Fatalf("%d calls, want the same state again", len(calls))
		}
		if after := calls[1].at.Sub(begun); after < 12*time.Second {
			t.Errorf("again after %v, want 12 s at least", after)
		}
	}, reply{code: 200, takes: 5 * time.Second})
}

// The same process has the partition back while its own call is in flight.
func TestACallOutlastsTheLossOfItsPartition(t *testing.T) {
	delivering(t, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		w.ownAgain()
		time.Sleep(time.Minute)
		if d := w.delivery("ann"); d.State != ooo.DeliveryDelivered || len(w.received("ann")) != 1 {
			t.Errorf("%d calls, delivery %+v, want one that is delivered", len(w.received("ann")), d)
		}
	}, reply{code: 200, takes: 25 * time.Second})
}

func TestNothingIsSentPastTheDeadlineOrTheStop(t *testing.T) {
	for name, stops := range map[string]bool{"deadline": false, "stop": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.connects = time.Second
				stop := w.start(8)
				defer stop()
				w.monitor("ann")
				w.change("ann", away)
				time.Sleep(500 * time.Millisecond) // the connection is being made
				w.registry.SetLate(!stops)
				if stops {
					stop()
				}
				time.Sleep(time.Minute)
				if d := w.redis.Record(t, "ann").Addresses[0].Delivery; len(w.calls) != 0 || d.Attempts != 0 || !d.InFlightSince.IsZero() || len(w.attempts) != 0 {
					t.Errorf("%d calls, delivery %+v, want nothing sent and no attempt", len(w.calls), d)
				}
				if stops {
					return
				}
				w.registry.SetLate(false)
				time.Sleep(2 * time.Second)
				if d := w.delivery("ann"); d.State != ooo.DeliveryDelivered || d.Attempts != 1 {
					t.Errorf("in time again: %+v, want delivered at the first attempt", d)
				}
			})
		})
	}
}

// The next owner counts 12 s from the saved time.
func TestABeginningThatTookLongToSaveIsSavedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var age time.Duration
		w.reply = func(c call) reply {
			age = c.at.Sub(w.delivery("ann").InFlightSince)
			return reply{code: 200}
		}
		defer w.start(8)()
		w.monitor("ann")
		w.change("ann", away)
		w.redis.BeforeSaves(func(store.Save) error { time.Sleep(1500 * time.Millisecond); return nil })
		time.Sleep(time.Second)
		w.redis.BeforeSaves(nil)
		time.Sleep(10 * time.Second)
		if d := w.delivery("ann"); d.State != ooo.DeliveryDelivered || d.Attempts != 1 || age > time.Second {
			t.Errorf("delivery %+v, sent %v after its beginning, want the first attempt within a second", d, age)
		}
	})
}

func TestNothingCutsACallWhoseBodyWasRead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.reply = func(call) reply { return reply{code: 200, takes: 9 * time.Second} }
		stop := w.start(8)
		w.monitor("ann", "bob")
		w.change("ann", away)
		time.Sleep(time.Second)
		w.registry.SetLate(true)
		time.AfterFunc(time.Second, func() { w.registry.SetLate(false); w.change("bob", away) })
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()
		<-stopped
		if len(w.attempts) != 1 || w.attempts[0] != ooo.DeliveryDelivered || !slices.Contains(w.history(), "delivered 1") {
			t.Errorf("results = %+v, want that of the call that was in flight", w.attempts)
		}
		if len(w.calls) != 1 {
			t.Errorf("%d calls, want none that began after the stop", len(w.calls))
		}
	})
}

func TestAStopWaitsTenSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.reply = func(call) reply { return reply{code: 200, takes: 25 * time.Second} }
		stop := w.start(8)
		w.monitor("ann")
		w.change("ann", away)
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("stopped after %v, want 10 s", took)
		}
		if m := w.redis.Record(t, "ann"); m.Addresses[0].Delivery.InFlightSince.IsZero() {
			t.Errorf("record = %+v, want an attempt without a result", m)
		}
		time.Sleep(time.Minute)
	})
}

// The race detector is what fails here, at some of the stops.
func TestAChangeMayBeRecordedWhileTheDelivererStops(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		defer w.start(8)()
		w.monitor("ann")
		for range 100 {
			d := deliver.New(deliver.Config{
				Registry: w.registry.Registry, Mediator: w.mediator(), InTime: w.registry.InTime, Tracer: w.spans.Tracer("test"),
				OnAttempt: func(ooo.DeliveryState, ooo.Source, time.Duration, time.Duration) {}, Log: slog.New(slog.DiscardHandler),
			})
			stop := await.Run(t, d.Run)
			synctest.Wait()
			var recording sync.WaitGroup
			recording.Go(func() { w.record("ann", away, d.BeginDelivery) })
			stop()
			recording.Wait()
		}
		if got := len(w.received("ann")); got > 200 {
			t.Errorf("%d calls for 100 changes", got)
		}
	})
}

func TestOneWriteRecordsAStateAndThatItsDeliveryBegins(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.reply = func(call) reply { return reply{code: 200, takes: time.Second} }
		defer w.start(2)()
		w.monitor("ann", "bob", "eve")
		before := len(w.redis.Saves())
		begin := w.deliver.BeginDelivery
		w.record("ann", away, begin)
		w.record("bob", away, begin)
		if d, saves := w.delivery("bob"), len(w.redis.Saves())-before; saves != 2 || d.Attempts != 1 || d.InFlightSince.IsZero() {
			t.Errorf("%d saves, delivery %+v, want two saves and an attempt that has begun", saves, d)
		}
		w.record("eve", away, begin) // no call is free
		if d := w.delivery("eve"); d.Attempts != 0 {
			t.Errorf("third: %+v, want no attempt yet", d)
		}
		w.record("ann", back, begin) // its first one is in flight
		time.Sleep(5 * time.Second)
		for _, name := range []string{"ann", "bob", "eve"} {
			if d := w.delivery(name); d.State != ooo.DeliveryDelivered {
				t.Errorf("%s: %+v, want delivered", name, d)
			}
		}
		if len(w.received("ann")) != 2 || w.most != 2 {
			t.Errorf("%d calls for ann, %d in flight, want 2 and 2", len(w.received("ann")), w.most)
		}
	})
}

func TestADeliveryThatDidNotBeginAfterAllLeavesNothingBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		defer w.start(1)()
		w.monitor("ann")
		for range 3 {
			var after func(bool)
			_, err := w.registry.Update("ann", func(d *mailbox.Draft) error {
				d.State = &away
				d.QueueState(ooo.SourcePoll, ooo.Hint{}, time.Now())
				after = w.deliver.BeginDelivery(d)
				return context.Canceled
			})
			if err == nil {
				t.Fatal("Update = nil, want the change's error")
			}
			after(false)
		}
		time.Sleep(time.Second)
		if len(w.calls) != 0 {
			t.Errorf("%d calls, want none", len(w.calls))
		}
		w.record("ann", away, w.deliver.BeginDelivery)
		time.Sleep(time.Second)
		if d := w.delivery("ann"); d.State != ooo.DeliveryDelivered || d.Sequence != 1 {
			t.Errorf("then: %+v, want 1 delivered", d)
		}
	})
}

func TestResend(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		defer w.start(8)()
		resend := ooo.Hint{ID: "ann", Kind: ooo.HintResend, Subject: ooo.FoldAddress(address("ann"))}
		w.monitor("ann")
		w.registry.Hint(resend) // there is nothing to send yet
		time.Sleep(time.Second)
		if left := w.registry.Hints("ann", ooo.HintResend); len(w.calls) != 0 || len(left) != 0 {
			t.Errorf("without a state: %d calls, hints %v, want neither", len(w.calls), left)
		}
		w.change("ann", away)
		time.Sleep(time.Second)
		w.registry.Hint(resend)
		time.Sleep(time.Second)
		calls := w.received("ann")
		if len(calls) != 2 || calls[0].Message != calls[1].Message || calls[0].header.Get("Webhook-Id") == calls[1].header.Get("Webhook-Id") {
			t.Fatalf("calls = %+v, want the same state under another webhook id", calls)
		}
		if hints, err := w.redis.Hints(t.Context()); err != nil || len(hints) != 0 {
			t.Errorf("hints = %v, %v, want none left", hints, err)
		}
		if history, want := w.history(), []string{"started", "changed 1", "delivered 1", "resend 2", "delivered 2"}; !slices.Equal(history, want) {
			t.Errorf("history = %v, want %v", history, want)
		}
	})
}

func TestAStoppedUserIsNotSent(t *testing.T) {
	delivering(t, func(t *testing.T, w *world) {
		time.Sleep(10 * time.Second)
		if _, err := w.registry.Update("ann", func(d *mailbox.Draft) error {
			d.DropAddress(d.Address(address("ann")), true)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		before := len(w.calls)
		time.Sleep(10 * time.Minute)
		if got := len(w.calls) - before; got != 0 {
			t.Errorf("%d calls after monitoring ended, want none", got)
		}
	}, reply{code: 503})
}

func TestAnAttemptGoesOnWithTheTraceOfTheChange(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		spans := tracetest.NewSpanRecorder()
		w.spans = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
		defer w.start(8)()
		w.monitor("ann")
		const trace = "0af7651916cd43dd8448eb211c80319c"
		_, err := w.registry.Update("ann", func(d *mailbox.Draft) error {
			d.State = &away
			d.QueueState(ooo.SourcePoll, ooo.Hint{Trace: "00-" + trace + "-b7ad6b7169203331-01"}, time.Now())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		ended := spans.Ended()
		if len(ended) != 1 || ended[0].Name() != "deliver" || ended[0].SpanContext().TraceID().String() != trace {
			t.Fatalf("spans = %v, want one of trace %s", ended, trace)
		}
		noted := map[string]string{}
		for _, a := range ended[0].Attributes() {
			noted[string(a.Key)] = a.Value.String()
		}
		if noted["outlook_monitor.mailbox"] != "ann" || noted["outlook_monitor.outcome"] != "delivered" || noted["outlook_monitor.attempt"] != "1" {
			t.Errorf("attributes = %v, want mailbox, outcome and attempt", noted)
		}
	})
}
