package main_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// coveredBy reports whether each user has one living subscription, all below base.
func (c *crowd) coveredBy(base string) bool {
	for _, sub := range c.sim.Subscriptions() {
		if !strings.HasPrefix(sub.NotificationURL, base+"/") {
			return false
		}
	}
	return c.coveredOnce()
}

// subscriptions lists the living subscriptions.
func (w *surroundings) subscriptions() (ids []string) {
	for _, sub := range w.sim.Subscriptions() {
		ids = append(ids, sub.ID)
	}
	slices.Sort(ids)
	return ids
}

// fault makes Graph misbehave.
func (w *surroundings) fault(f graphsim.Fault) {
	w.t.Helper()
	if _, err := w.sim.SetFault(f); err != nil {
		w.t.Fatal(err)
	}
}

func TestSubscriptionsFollowANewPublicURL(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 30})
	c := newCrowd(w, 10)
	p := c.begin()
	ids := w.subscriptions()
	p.stop()
	w.sim.ResetStats()
	p = w.start("serve")
	w.answers()
	c.change()
	c.settle()
	if calls := w.sim.Stats().Calls; len(calls["subscription-create"])+len(calls["subscription-renew"])+len(calls["subscription-delete"]) > 0 {
		t.Errorf("calls after a restart = %v, want no write of subscriptions", calls)
	}
	p.stop()
	moved := strings.Replace(w.base, "127.0.0.1", "localhost", 1)
	w.env["PUBLIC_URL"] = moved
	w.start("serve")
	c.eventually("all subscriptions have followed", func() bool { return c.coveredBy(moved) })
	if got := w.subscriptions(); !slices.Equal(got, ids) {
		t.Errorf("subscriptions = %q, want the old ones patched: %q", got, ids)
	}
	c.change()
	c.settle()
}

func TestWhatGraphTakesAwayIsMadeAnew(t *testing.T) {
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 31})
	c := newCrowd(w, 4)
	c.begin()
	for _, sub := range w.sim.Subscriptions() {
		if err := w.sim.RemoveSubscription(sub.ID, false); err != nil {
			t.Fatal(err)
		}
	}
	c.eventually("each user is covered once again", c.coveredOnce)
	for _, event := range []string{graphsim.ReauthorizationRequired, graphsim.Missed} {
		renewals := w.sim.Stats().Calls["subscription-renew"]["200"]
		for _, sub := range w.sim.Subscriptions() {
			if err := w.sim.SendLifecycle(sub.ID, event); err != nil {
				t.Fatal(err)
			}
		}
		if event == graphsim.ReauthorizationRequired {
			c.eventually("each is renewed", func() bool { return w.sim.Stats().Calls["subscription-renew"]["200"] >= renewals+4 })
		}
	}
	c.change()
	c.settle()
	if !c.coveredOnce() {
		t.Errorf("covered = %v, want each user once", c.covered())
	}
}

func TestShortLivesAreRenewedInTime(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 32})
	for _, operation := range []string{"subscription-create", "subscription-renew"} {
		w.fault(graphsim.Fault{Operation: operation, Kind: "short-life", Life: graphsim.Duration(6 * time.Second)})
	}
	c := newCrowd(w, 5)
	c.begin()
	c.eventually("each has been renewed three times", func() bool { return w.sim.Stats().Calls["subscription-renew"]["200"] >= 15 })
	if made := w.sim.Stats().Calls["subscription-create"]["201"]; made != 5 || !c.coveredOnce() {
		t.Errorf("%d subscriptions made and covered = %v, want the first five to live on", made, c.covered())
	}
}

// A process that dies while Graph makes a subscription leaves one behind that
// nobody has recorded.
func TestAKillWhileASubscriptionIsMadeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 33})
	c := newCrowd(w, 5)
	// Graph's answers are lost with the process: it dies as soon as the first
	// subscriptions are there.
	w.fault(graphsim.Fault{Operation: "notification", Kind: "drop"})
	p := w.start("serve")
	w.eventually("the first subscriptions are there", func() bool { return len(w.sim.Subscriptions()) > 0 })
	p.Kill()
	w.start("serve")
	w.answers()
	c.settle()
	c.cover()
	if made := w.sim.Stats().Calls["subscription-create"]["201"]; made > 5 {
		t.Errorf("%d subscriptions were made, want those that were there taken over", made)
	}
	w.monitor(c.users[0].UserPrincipalName, false)
	c.eventually("nothing of a stopped user is left", func() bool { return c.covered()[c.users[0].ID] == 0 })
}

func TestASweepFindsWhatVanishedAndWhatIsNobodys(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 34})
	w.env["SWEEP_INTERVAL"] = "10s"
	c := newCrowd(w, 3)
	p := c.begin()
	before := w.sim.Subscriptions()
	if err := w.sim.RemoveSubscription(before[0].ID, true); err != nil {
		t.Fatal(err)
	}
	c.eventually("what vanished without a word is made anew", c.coveredOnce)

	// A record that is lost with its subscription left in Graph.
	p.stop()
	w.env["REDIS_URL"] = redistest.Start(t).URL()
	w.mediator.Remove(c.users[1].UserPrincipalName)
	w.start("serve")
	c.eventually("what is nobody's is deleted", func() bool {
		covered := w.covered()
		return covered[c.users[1].ID] == 0 && covered[c.users[0].ID] == 1 && covered[c.users[2].ID] == 1
	})
}
