package deliver_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

func TestDeliveryOfEarlierOwner(t *testing.T) {
	for name, tt := range map[string]struct {
		state     ooo.DeliveryState
		sequence  int64         // of the newest state
		begun     time.Duration // from now; 0: no attempt in flight
		next      time.Duration // from now
		throttled bool
		want      time.Duration // from loading to the call; -1: no call
		history   string        // empty: delivered 1
	}{
		"attempt in flight":                {ooo.DeliveryPending, 1, -3 * time.Second, 0, false, 9 * time.Second, ""},
		"attempt of older state in flight": {ooo.DeliveryPending, 3, -3 * time.Second, 0, false, 9 * time.Second, "overtaken 1, overtaken 2, delivered 3"},
		"attempt abandoned":                {ooo.DeliveryPending, 1, -13 * time.Second, 0, false, 0, ""},
		"attempt from a clock ahead":       {ooo.DeliveryPending, 1, time.Hour, 0, false, 12 * time.Second, ""},
		"wait":                             {ooo.DeliveryPending, 1, 0, 30 * time.Second, false, 30 * time.Second, ""},
		"wait from a clock ahead":          {ooo.DeliveryPending, 1, 0, 9 * time.Hour, false, time.Minute, ""},
		"Retry-After":                      {ooo.DeliveryPending, 1, 0, 30 * time.Minute, true, 30 * time.Minute, ""},
		"Retry-After from a clock ahead":   {ooo.DeliveryPending, 1, 0, 9 * time.Hour, true, time.Hour, ""},
		"refusal":                          {ooo.DeliveryRefused, 1, 0, 15 * time.Minute, false, 15 * time.Minute, ""},
		"attempt in flight after a wait":   {ooo.DeliveryPending, 1, -2 * time.Second, -time.Minute, false, 10 * time.Second, ""},
		"delivered":                        {ooo.DeliveryDelivered, 0, 0, 0, false, -1, ""},
	} {
		t.Run(name, bubble(func(t *testing.T, f *fixture) {
			now := time.Now()
			a := ooo.Address{Spelling: address("ann"), Sequence: tt.sequence, Source: ooo.SourcePoll, Delivery: ooo.Delivery{
				State: tt.state, WebhookID: "the state's", Throttled: tt.throttled}}
			if tt.begun != 0 {
				a.Delivery.InFlightSince, a.Delivery.InFlightSequence = now.Add(tt.begun), 1
			}
			if tt.next != 0 {
				a.Delivery.NextAttemptAt = now.Add(tt.next)
			}
			f.store.Put(t, &ooo.Mailbox{ID: "ann", State: &away, Addresses: []ooo.Address{a}})
			defer f.start(8)()
			advance(2 * time.Hour)
			calls := f.received("ann")
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
			if history, want := f.history(), cmp.Or(tt.history, "delivered 1"); history != want {
				t.Errorf("history = %s, want %s", history, want)
			}
		}))
	}
}

func TestRestartOfMonitoringAwaitsAttemptOfEarlierOwner(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		began := time.Now()
		delivery := ooo.Delivery{State: ooo.DeliveryPending, WebhookID: "old", InFlightSince: began, InFlightSequence: 1}
		ann := ooo.Address{Spelling: address("ann"), StartID: "ann", Sequence: 1, Delivery: delivery}
		f.store.Put(t, &ooo.Mailbox{ID: "ann", State: &away, Addresses: []ooo.Address{ann}})
		f.store.ChangeWish(t, ann.Spelling, func(w *ooo.Wish) { w.On, w.Person.ID, w.StartID = true, "ann", "ann" })
		defer f.start(8)()
		f.stopMonitoring("ann")
		advance(time.Second)
		if _, ok := f.registry.Get("ann"); ok || f.deliver.Backlog(began).Waiting != 0 {
			t.Fatal("ann is in memory or scheduled after her monitoring ended")
		}
		f.monitor("ann")
		f.recordState("ann", back)
		advance(time.Minute)
		if calls := f.received("ann"); len(calls) != 1 || calls[0].at.Sub(began) < 12*time.Second {
			t.Errorf("calls = %+v, want one 12 s after %v", calls, began)
		}
	})
}

func TestLostPartitionSavesNoResult(t *testing.T) {
	withDelivery(t, func(t *testing.T, f *fixture) {
		advance(time.Second)
		begun := f.delivery("ann").InFlightSince
		f.registry.Drop(ooo.RecordID("ann").Partition())
		advance(10 * time.Second)
		if len(f.received("ann")) != 1 || !strings.Contains(f.log.String(), "delivery result not saved") {
			t.Fatalf("%d calls, log %s; want one call and a warning", len(f.received("ann")), f.log.String())
		}
		f.registry.AcquireAll()
		advance(10 * time.Second)
		calls := f.received("ann")
		if len(calls) != 2 || calls[0].header.Get("Webhook-Id") != calls[1].header.Get("Webhook-Id") {
			t.Fatalf("%d calls, want the same state again", len(calls))
		}
		if after := calls[1].at.Sub(begun); after < 12*time.Second {
			t.Errorf("repeated after %v, want at least 12 s", after)
		}
	}, reply{code: 200, latency: 5 * time.Second})
}

func TestEventDuringCall(t *testing.T) {
	ok := func(latency time.Duration) reply { return reply{code: 200, latency: latency} }
	refused := []reply{{code: 404}, {code: 404, latency: 2 * time.Second}, {code: 200}}
	request := func(f *fixture) { f.hint("ann", ooo.HintWish) }
	for name, tt := range map[string]struct {
		replies []reply
		event   func(f *fixture)
		within  time.Duration
		calls   int
	}{
		"partition reacquired": {[]reply{ok(25 * time.Second)}, func(f *fixture) { f.registry.AcquireAll() }, time.Minute, 1},
		"monitoring restarts": {[]reply{ok(5 * time.Second)}, func(f *fixture) {
			f.stopMonitoring("ann")
			advance(time.Second)
			f.monitor("ann")
			advance(time.Minute)
			f.recordState("ann", back)
		}, time.Minute, 2},
		"wait that was cut short ends, and a newer state comes": {[]reply{{code: 500}, ok(29 * time.Second)}, func(f *fixture) {
			f.recordState("ann", back)
			advance(time.Second)
			f.recordState("ann", away)
		}, time.Minute, 3},
		// The mediator may have added the user while it was refusing the state.
		"monitor request":        {refused, func(f *fixture) { advance(5 * time.Second); request(f) }, 3 * time.Second, 3},
		"second monitor request": {refused, func(f *fixture) { request(f); advance(time.Second); request(f) }, 3 * time.Second, 3},
	} {
		t.Run(name, delivery(func(t *testing.T, f *fixture) {
			advance(500 * time.Millisecond)
			tt.event(f)
			advance(tt.within)
			seen, d := f.observed(), f.delivery("ann")
			if d.State != ooo.DeliveryDelivered || len(seen.calls) != tt.calls || seen.peak != 1 {
				t.Errorf("%d calls, %d at once, delivery %+v, want %d, one at a time, delivered", len(seen.calls), seen.peak, d, tt.calls)
			}
		}, tt.replies...))
	}
}

// An address that was moved to another mailbox may have a sequence number before the
// mailbox has a state.
func TestNothingIsSentWithoutState(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.store.Put(t, &ooo.Mailbox{ID: "ann", Addresses: []ooo.Address{{Spelling: address("ann"), Sequence: 1}}})
		defer f.start(8)()
		f.hint("ann", ooo.HintResend)
		advance(time.Minute)
		calls, hints, scheduled := f.received("ann"), f.registry.Hints("ann", ooo.HintResend), f.deliver.Backlog(time.Now()).Waiting
		if len(calls) != 0 || len(hints) != 0 || scheduled != 0 {
			t.Errorf("calls = %v, hints %v, %d scheduled, want none", calls, hints, scheduled)
		}
		f.recordState("ann", away)
		advance(time.Second)
		if d := f.delivery("ann"); d.State != ooo.DeliveryDelivered || d.Sequence != 2 {
			t.Errorf("delivery = %+v, want 2 delivered", d)
		}
	})
}

func TestNothingIsSentAfterDeadlineOrStop(t *testing.T) {
	for name, stops := range map[string]bool{"deadline": false, "stop": true} {
		t.Run(name, bubble(func(t *testing.T, f *fixture) {
			f.dialTime = time.Second
			stop := f.start(8)
			defer stop()
			f.monitor("ann")
			f.recordState("ann", away)
			advance(500 * time.Millisecond) // the connection is being opened
			f.registry.SetLate(!stops)
			if stops {
				stop()
			}
			advance(time.Minute)
			seen, d := f.observed(), f.store.Record(t, "ann").Addresses[0].Delivery
			if len(seen.calls) != 0 || len(seen.attempts) != 0 || d.Attempts != 0 || !d.InFlightSince.IsZero() {
				t.Errorf("%d calls, delivery %+v, want nothing sent and no attempt", len(seen.calls), d)
			}
			if stops {
				return
			}
			f.registry.SetLate(false)
			advance(2 * time.Second)
			if d := f.delivery("ann"); d.State != ooo.DeliveryDelivered || d.Attempts != 1 {
				t.Errorf("after confirmation: %+v, want delivered at the first attempt", d)
			}
		}))
	}
}

// The next owner counts 12 s from the saved time.
func TestBeginningWithSlowSaves(t *testing.T) {
	for name, tt := range map[string]struct {
		others     int           // saves begun before
		save, want time.Duration // of each save; from the change to the call
		lost       bool          // the first answer
	}{
		"save is too slow":         {0, 1500 * time.Millisecond, 3 * time.Second, false},
		"answer is lost":           {0, 600 * time.Millisecond, 2450 * time.Millisecond, true},
		"save waits for 96 others": {96, 700 * time.Millisecond, 2100 * time.Millisecond, false}, // 48 at a time
	} {
		t.Run(name, bubble(func(t *testing.T, f *fixture) {
			var age time.Duration
			f.reply = func(c call) reply {
				age = c.at.Sub(f.store.Record(t, "ann").Addresses[0].Delivery.InFlightSince)
				return reply{code: 200}
			}
			other := func(i int) ooo.RecordID { return ooo.RecordID(fmt.Sprint(i)) }
			for i := range tt.others {
				f.store.Put(t, &ooo.Mailbox{ID: other(i), Addresses: []ooo.Address{{Spelling: address("bob")}}})
			}
			defer f.start(8)()
			f.monitor("ann")
			changed := time.Now()
			f.store.BeforeSaves(func(s store.Save) error {
				if time.Since(changed) < 2400*time.Millisecond {
					time.Sleep(tt.save)
				}
				if tt.lost {
					tt.lost = false
					return errors.Join(f.store.Store.Save(t.Context(), s), context.DeadlineExceeded)
				}
				return nil
			})
			for i := range tt.others {
				go f.registry.Update(other(i), func(*mailbox.Draft) error { return nil })
			}
			synctest.Wait()
			f.recordState("ann", away)
			advance(10 * time.Second)
			calls, d := f.received("ann"), f.delivery("ann")
			if len(calls) != 1 || d.Attempts != 1 || age > time.Second {
				t.Fatalf("%d calls, %+v, sent %v after its beginning, want the first attempt, within a second", len(calls), d, age)
			}
			if after := calls[0].at.Sub(changed); after > tt.want || after < tt.want-50*time.Millisecond {
				t.Errorf("sent %v after the change, want %v", after, tt.want)
			}
		}))
	}
}

func TestStopDuringCall(t *testing.T) {
	for name, tt := range map[string]struct {
		latency, stop time.Duration
		results       []ooo.DeliveryState
	}{
		"result in time": {9 * time.Second, 8 * time.Second, []ooo.DeliveryState{ooo.DeliveryDelivered}},
		"no result":      {25 * time.Second, 10 * time.Second, nil},
	} {
		t.Run(name, bubble(func(t *testing.T, f *fixture) {
			f.reply = func(call) reply { return reply{code: 200, latency: tt.latency} }
			stop := f.start(8)
			f.monitor("ann", "bob")
			f.recordState("ann", away)
			advance(time.Second)
			f.registry.SetLate(true)
			time.AfterFunc(time.Second, func() { f.registry.SetLate(false); f.recordState("bob", away) })
			began := time.Now()
			stop()
			if took := time.Since(began); took < tt.stop-100*time.Millisecond || took > tt.stop+time.Second {
				t.Errorf("stopped after %v, want %v", took, tt.stop)
			}
			seen, d := f.observed(), f.store.Record(t, "ann").Addresses[0].Delivery
			if !slices.Equal(seen.attempts, tt.results) || len(seen.calls) != 1 || d.InFlightSince.IsZero() != (tt.results != nil) {
				t.Errorf("%d calls with results %v, delivery %+v, want one with %v", len(seen.calls), seen.attempts, d, tt.results)
			}
			advance(time.Minute)
		}))
	}
}

// This test fails under the race detector only, and not at each stop.
func TestChangeDuringStop(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		defer f.start(8)()
		f.monitor("ann")
		for range 100 {
			f.deliver = f.newDeliverer(8)
			stop := await.Run(t, f.deliver.Run)
			synctest.Wait()
			var recording sync.WaitGroup
			recording.Go(func() { f.recordState("ann", away) })
			stop()
			recording.Wait()
		}
		if got := len(f.received("ann")); got > 200 {
			t.Errorf("%d calls for 100 changes", got)
		}
	})
}

func TestBeginDeliverySavesOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.reply = func(call) reply { return reply{code: 200, latency: time.Second} }
		defer f.start(2)()
		f.monitor("ann", "bob", "eve")
		before := len(f.store.Saves())
		f.recordState("ann", away)
		f.recordState("bob", away)
		if d, saves := f.delivery("bob"), len(f.store.Saves())-before; saves != 2 || d.Attempts != 1 || d.InFlightSince.IsZero() {
			t.Errorf("%d saves, delivery %+v, want two saves and an attempt in flight", saves, d)
		}
		f.recordState("eve", away) // both slots are taken
		if d := f.delivery("eve"); d.Attempts != 0 {
			t.Errorf("third delivery = %+v, want no attempt yet", d)
		}
		f.recordState("ann", back) // her first attempt is in flight
		advance(5 * time.Second)
		for _, name := range []string{"ann", "bob", "eve"} {
			if d := f.delivery(name); d.State != ooo.DeliveryDelivered {
				t.Errorf("%s: %+v, want delivered", name, d)
			}
		}
		if calls, peak := len(f.received("ann")), f.observed().peak; calls != 2 || peak != 2 {
			t.Errorf("%d calls for ann, %d in flight, want 2 and 2", calls, peak)
		}
	})
}

func TestBeginDeliveryWithoutSave(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		defer f.start(1)()
		f.monitor("ann")
		for range 3 {
			_, err := f.registry.Update("ann", func(d *mailbox.Draft) error {
				d.State = &away
				d.QueueState(ooo.SourcePoll, ooo.Hint{}, time.Now())
				f.deliver.BeginDelivery(d)
				return context.Canceled
			})
			if err == nil {
				t.Fatal("Update = nil, want the error of the change")
			}
		}
		advance(time.Second)
		if calls, scheduled := f.observed().calls, f.deliver.Backlog(time.Now()).Waiting; len(calls) != 0 || scheduled != 0 {
			t.Errorf("%d calls, %d scheduled, want none", len(calls), scheduled)
		}
		f.recordState("ann", away)
		advance(time.Second)
		if d := f.delivery("ann"); d.State != ooo.DeliveryDelivered || d.Sequence != 1 {
			t.Errorf("delivery of a saved change = %+v, want 1 delivered", d)
		}
		f.drain()
	})
}

func TestResend(t *testing.T) {
	withDelivery(t, func(t *testing.T, f *fixture) {
		advance(500 * time.Millisecond)
		f.hint("ann", ooo.HintResend)
		f.registry.Hint(f.store.ChangeWish(t, address("al"), func(w *ooo.Wish) { // the hint is not about this address
			w.On, w.Person.ID, w.StartID = true, "ann", "al"
		}))
		advance(5 * time.Second)
		calls := f.received("ann")
		if len(calls) != 2 || len(f.received("al")) != 1 || calls[0].Message != calls[1].Message ||
			calls[0].header.Get("Webhook-Id") == calls[1].header.Get("Webhook-Id") {
			t.Fatalf("calls = %+v, want the same state under another webhook id", calls)
		}
		if hints, err := f.store.Hints(t.Context()); err != nil || len(hints) != 0 {
			t.Errorf("hints = %v, %v, want none left", hints, err)
		}
		if history, want := f.history(), "started, changed 1, started, changed 1, delivered 1, resend 2, delivered 1, delivered 2"; history != want {
			t.Errorf("history = %s, want %s", history, want)
		}
	}, reply{code: 200, latency: time.Second})
}
