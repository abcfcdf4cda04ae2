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

// refuseMany starts monitoring the mailboxes 0 to n-1, each of which needs three writes: a creation
// that Graph refuses, a deletion, a creation. Graph has no subscription between the last two.
func (f *fixture) refuseMany(n int) {
	f.onePerResource = true
	f.monitorMany(n)
	for i := range n {
		id := idOf(fmt.Sprint(i))
		f.addStray(ooo.SubscriptionID(id), ooo.ResourcePath(events, id.ObjectID()))
	}
}

func TestWritesStayWithinShare(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		const mailboxes = 150
		f.latency, f.share = time.Second, 0.5
		f.refuseMany(mailboxes)
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

func TestStepsInFlightPrecedeThoseThatWait(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		const mailboxes = 100
		f.share = 0.1
		f.refuseMany(mailboxes)
		stop := f.start()
		advance(30 * time.Second)
		stop() // within 8 s
		if n := len(f.listed()); n != mailboxes || f.created == 0 {
			t.Errorf("%d subscriptions after a stop, %d of them created, want %d", n, f.created, mailboxes)
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

// A partition may be lost and acquired again while a step is in flight.
func TestOneStepAtATimeAfterReacquisition(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		f.set(func() { f.latency = 30 * time.Second })
		f.hint("not listed")
		advance(time.Second)
		f.registry.AcquireAll()
		f.hint(string(ooo.SubscriptionWasRemoved))
		advance(5 * time.Minute)
		if got := f.takeCalls(); f.peak != 1 || !strings.Contains(got, "patch sub-1") {
			t.Errorf("calls = %s, up to %d at the same time, want a check of Ann's subscription, and one at a time", got, f.peak)
		}
		f.expectNoHints()
	})
}
