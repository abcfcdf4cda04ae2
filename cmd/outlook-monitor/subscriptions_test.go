package main_test

import (
	"slices"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

func TestShortLivedSubscriptionsAreRenewed(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 32})
	for _, operation := range []string{"subscription-create", "subscription-renew"} {
		tb.setFault(graphsim.Fault{Operation: operation, Kind: "short-life", Life: graphsim.Duration(6 * time.Second)})
	}
	load := newWorkload(tb, 5)
	load.startCovered()
	load.eventually("each subscription was renewed three times", func() bool { return tb.sim.Stats().Calls["subscription-renew"]["200"] >= 15 })
	if created := tb.sim.Stats().Calls["subscription-create"]["201"]; created != 5 || !load.coveredOnce() {
		t.Errorf("%d subscriptions created and covered = %v, want only the first five", created, load.covered())
	}
}

// TestLostSubscriptions loses a subscription with a lifecycle notification, the record of
// another one, and a third one silently.
func TestLostSubscriptions(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 34})
	tb.env["SWEEP_INTERVAL"] = "24h"
	load := newWorkload(tb, 3)
	p := load.startCovered()
	lose := func(silent bool) {
		t.Helper()
		if err := tb.sim.RemoveSubscription(tb.sim.Subscriptions()[0].ID, silent); err != nil {
			t.Fatal(err)
		}
	}
	lose(false)
	load.eventually("the removed subscription is created again", load.coveredOnce)

	p.stop()
	tb.env["SWEEP_INTERVAL"] = "10s"
	tb.env["REDIS_URL"] = redistest.Start(t).URL()
	tb.mediator.Remove(load.users[1].UserPrincipalName)
	p = tb.start("serve")
	load.users = slices.Delete(load.users, 1, 2)
	load.eventually("the subscription without a record is deleted", load.coveredOnce)
	lose(true)
	load.eventually("the lost subscription is created again", load.coveredOnce)
	p.stop()
}
