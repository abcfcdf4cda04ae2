package subscribe_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
)

func TestBudgetReservesWritesForUncovered(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.latency = time.Second
		for i := range 400 {
			f.monitor(idOf(fmt.Sprint(i)), true)
		}
		f.share = 0.5
		_, stop := f.start()
		defer stop()
		advance(time.Minute)
		_, times := f.takeTimedCalls()
		for i := range times {
			if i+245 < len(times) && times[i+245].Sub(times[i]) < 20*time.Second {
				t.Fatal("246 writes within 20 s, want no more than half of 485")
			}
		}
		if len(times) != 400 {
			t.Errorf("%d creations in a minute, want 400", len(times))
		}
		for i := range 400 {
			f.registry.Hint(ooo.Hint{ID: idOf(fmt.Sprint(i)), Kind: ooo.HintSubscription, Reason: "not listed"})
		}
		advance(2 * time.Second)
		f.takeCalls()
		for i := range 6 {
			f.monitor(idOf(fmt.Sprint("new", i)), true)
		}
		advance(1700 * time.Millisecond) // six writes in half a second, and a second for the last call
		if got := strings.Count(f.takeCalls(), "create"); got != 6 {
			t.Errorf("%d of 6 new mailboxes covered at once, want all before the existence checks", got)
		}
		advance(time.Minute)
		f.expectNoHints()
	})
}

func TestRemovedSubscriptionPrecedesExistenceChecks(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		for i := range 400 {
			f.monitor(idOf(fmt.Sprint(i)), true)
		}
		advance(time.Minute)
		for i := range 400 {
			f.registry.Hint(ooo.Hint{ID: idOf(fmt.Sprint(i)), Kind: ooo.HintSubscription, Reason: "not listed"})
		}
		advance(time.Millisecond)
		f.takeCalls()
		f.set(func() { delete(f.subscriptions, "sub-1") })
		f.hint(string(ooo.SubscriptionWasRemoved))
		advance(2 * time.Second)
		if calls := f.takeCalls(); !strings.Contains(calls, "patch sub-1,") || !strings.Contains(calls, "create") {
			t.Errorf("calls = %s, want the removed subscription created again before most of the existence checks", calls)
		}
		advance(time.Minute)
		f.expectNoHints()
	})
}

func TestRenewalPrecedesExistenceChecks(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		put := func(id ooo.RecordID, renewIn time.Duration) {
			m := monitored(live(func(s *ooo.Subscription) {
				now := time.Now()
				s.ID, s.RenewedAt, s.RenewAt, s.ExpiresAt = ooo.SubscriptionID(id), now.Add(-time.Hour), now.Add(renewIn), now.Add(24*time.Hour)
			}))
			m.ID = id
			f.store.Put(t, m)
			f.subscriptions[ooo.SubscriptionID(id)] = ooo.GraphSubscription{ID: ooo.SubscriptionID(id), NotificationURL: hook, ExpiresAt: time.Now().Add(24 * time.Hour)}
		}
		for i := range 100 {
			put(idOf(fmt.Sprint(i)), 12*time.Hour)
		}
		put(annID, time.Minute)
		f.share = 0.01
		_, stop := f.start()
		defer stop()
		for i := range 100 {
			f.registry.Hint(ooo.Hint{ID: idOf(fmt.Sprint(i)), Kind: ooo.HintSubscription, Reason: "not listed"})
		}
		advance(time.Millisecond)
		f.hint("not listed")
		advance(70 * time.Second)
		if calls := f.takeCalls(); !strings.Contains(calls, "patch "+string(annID)) || strings.Count(calls, "patch") > 20 {
			t.Errorf("calls = %s, want the renewal before most of the existence checks", calls)
		}
		advance(20 * time.Minute)
		f.expectNoHints()
	})
}

func TestWaitForBudget(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		f.mu.Lock()
		f.waits[ooo.SubscriptionWait] = time.Now().Add(time.Hour)
		f.mu.Unlock()
		f.monitor(idOf("bob"), true)
		advance(time.Minute)
		if f.registry.Busy(idOf("bob").Partition()) {
			t.Error("the partition of the new mailbox counts as busy, want it idle until the step begins")
		}
		f.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintRead, ResourceTag: ooo.ResourceTag(events)})
		advance(time.Second)
		if f.sub(annID).NotifiedAt.IsZero() {
			t.Error("the time of the last notification is not saved, want no wait for a step that calls nothing")
		}
		if got := f.takeCalls(); got != "" {
			t.Errorf("calls = %s, want none", got)
		}
	})
}

func TestConcurrencyLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.latency = 5 * time.Second
		for i := range 200 {
			f.monitor(idOf(fmt.Sprint(i)), true)
		}
		_, stop := f.start()
		defer stop()
		advance(time.Minute)
		if f.peak != 48 || len(f.calls) != 200 {
			t.Errorf("%d writes with at most %d in flight, want 200 with 48", len(f.calls), f.peak)
		}
	})
}

// A step that waits for a slot may begin after its partition was lost and acquired again,
// while another step for the same mailbox is still in flight.
func TestOneStepAtATimeAfterReacquisition(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		const latency = 30 * time.Second
		others := make([]ooo.RecordID, 48) // as many as steps in bulk may be in flight
		for i := range others {
			others[i] = idOf(fmt.Sprint(i))
			f.monitor(others[i], true)
		}
		advance(time.Minute)
		f.takeCalls()
		f.set(func() { f.latency = latency })
		for _, id := range others {
			f.registry.Hint(ooo.Hint{ID: id, Kind: ooo.HintSubscription, Reason: "not listed"})
		}
		advance(5 * time.Second)
		f.hint("not listed") // waits for a slot
		advance(time.Second)
		f.hint(string(ooo.SubscriptionWasRemoved)) // begins at once
		advance(time.Second)
		f.registry.AcquireAll(ownertest.Lease)
		advance(5 * time.Minute)
		calls, times := f.takeTimedCalls()
		var before time.Time
		for i, call := range calls {
			if call != "patch sub-1" {
				continue
			}
			if times[i].Sub(before) < latency {
				t.Error("two calls for the mailbox were in flight at the same time")
			}
			before = times[i]
		}
		if before.IsZero() {
			t.Errorf("calls = %q, want a check of Ann's subscription", calls)
		}
		f.expectNoHints()
	})
}
