package subscribe_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

func TestWritesStayWithinShare(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		const mailboxes = 150
		f.latency, f.share, f.onePerResource = time.Second, 0.5, true
		f.monitorMany(mailboxes)
		for i := range mailboxes { // each needs three writes: a refused creation, a deletion, a creation
			id := idOf(fmt.Sprint(i))
			f.addStray(ooo.SubscriptionID(id), ooo.ResourcePath(events, id.ObjectID()))
		}
		defer f.start()()
		advance(time.Minute)
		_, times := f.takeTimedCalls()
		for i := range times {
			if i+245 < len(times) && times[i+245].Sub(times[i]) < 20*time.Second {
				t.Fatal("246 writes within 20 s, want no more than half of 485")
			}
		}
		if len(times) != 3*mailboxes {
			t.Errorf("%d writes in a minute, want %d", len(times), 3*mailboxes)
		}
	})
}

// A renewal becomes due while a step in bulk of the same mailbox waits for others.
func TestRenewalPrecedesStepsInBulk(t *testing.T) {
	const others = 250 // whose checks take 10 s
	tests := map[string]ooo.HintKind{"check": ooo.HintSubscription, "deletion of a stray": ooo.HintStray}
	eachCovered(t, tests, func(t *testing.T, f *fixture, kind ooo.HintKind) {
		f.monitorMany(others)
		advance(time.Minute)
		f.takeCalls()
		f.edit(func(s *ooo.Subscription) { s.RenewAt = time.Now().Add(5 * time.Second) })
		for i := range others {
			f.registry.Hint(ooo.Hint{ID: idOf(fmt.Sprint(i)), Kind: ooo.HintSubscription})
		}
		advance(time.Millisecond)
		f.registry.Hint(ooo.Hint{ID: annID, Kind: kind, Subject: "stray"}) // the last step
		advance(7 * time.Second)
		if got := f.takeCalls(); !strings.Contains(got, "patch sub-1,") {
			t.Errorf("calls = %s, want the renewal of sub-1 before the last steps in bulk", got)
		}
	})
}

// The mailboxes that can't be subscribed to need more than the share of the budget.
func TestFailingCreationsLeaveBudgetForChecks(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		f.share = 0.01
		f.failWith("create", slices.Repeat([]error{ooo.ErrHandshake}, 1000)...) // each waits up to 5 minutes
		f.monitorMany(80)
		advance(40 * time.Minute)
		f.takeCalls()
		f.hint("not listed")
		advance(10 * time.Minute) // 138 writes
		if got := f.takeCalls(); !strings.Contains(got, "patch sub-1") {
			t.Errorf("calls = %s, want the check of sub-1 among them", got)
		}
	}, func(c *subscribe.Config) { c.Lifetime = 100 * time.Hour })
}

func TestConcurrencyLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.latency = 5 * time.Second
		f.monitorMany(200)
		defer f.start()()
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
		const others = 48 // as many as steps in bulk may be in flight
		f.monitorMany(others)
		advance(time.Minute)
		f.takeCalls()
		f.set(func() { f.latency = latency })
		for i := range others {
			f.registry.Hint(ooo.Hint{ID: idOf(fmt.Sprint(i)), Kind: ooo.HintSubscription})
		}
		advance(5 * time.Second)
		f.hint("not listed") // waits for a slot
		advance(time.Second)
		f.hint(string(ooo.SubscriptionWasRemoved)) // begins at once
		advance(time.Second)
		f.registry.AcquireAll()
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
