package main_test

import (
	"net/http"
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// TestAMailboxUnderSeveralAddresses monitors one mailbox under its principal name
// and under two other addresses.
func TestAMailboxUnderSeveralAddresses(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 60})
	w.env["POLL_INTERVAL"] = "10m" // so that only notifications are quick
	ann, err := w.sim.AddUser(graphsim.User{
		UserPrincipalName: "ann@contoso.example", Mail: "ann.lee@contoso.example",
		ProxyAddresses: []string{"SMTP:ann.lee@contoso.example", "smtp:reception@contoso.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{"ann@contoso.example", "ann.lee@contoso.example", "reception@contoso.example"}
	for _, address := range addresses {
		w.mediator.Add(address)
	}
	p := w.start("serve")
	told := func(text string, who ...string) func() bool {
		return func() bool {
			for _, address := range who {
				if state, ok := w.mediator.State(address); !ok || state.Message != text {
					return false
				}
			}
			return true
		}
	}
	away := func(text string) {
		t.Helper()
		if _, err := w.sim.SetAutomaticReplies(ann.ID, graphsim.AutomaticRepliesUpdate{
			Status: new("alwaysEnabled"), ExternalReplyMessage: &text}); err != nil {
			t.Fatal(err)
		}
		for _, sub := range w.sim.Subscriptions() {
			status, answer := w.post("/graph/notifications",
				`{"value":[{"subscriptionId":"`+sub.ID+`","clientState":"`+sub.ClientState+`","changeType":"updated"}]}`)
			if status != http.StatusAccepted {
				t.Fatalf("notification = %d %s, want 202", status, answer)
			}
		}
	}
	once := func() bool { return w.covered()[ann.ID] == 1 && len(w.sim.Subscriptions()) == 1 }
	told3 := func() bool { _, ok := w.mediator.State(addresses[2]); return ok }
	w.eventually("all three are told", told3)
	w.eventually("the mailbox is covered once", once)
	w.eventually("each address is shown with the cover", func() bool {
		_, page := w.get("/api/users")
		return strings.Count(page, `"`+w.sim.Subscriptions()[0].ID+`"`) == len(addresses)
	})
	away("First")
	w.eventually("a notification wakes every address", told("First", addresses...))
	made := w.sim.Stats().Calls["subscription-create"]["201"]
	if made != 1 {
		t.Errorf("%d subscriptions were made, want one for the three addresses", made)
	}

	for i, address := range addresses[:2] {
		w.mediator.Remove(address)
		w.monitor(address, false)
		if i == 1 { // whatever it was about to do
			p.Kill()
			w.start("serve")
			w.answers()
		}
		rest := addresses[i+1:]
		w.eventually("the mailbox is covered once for those who are left", func() bool {
			_, page := w.get("/api/users")
			return once() && strings.Count(page, `"`+w.sim.Subscriptions()[0].ID+`"`) == len(rest)
		})
		away("Second")
		w.eventually("a notification wakes who is left", told("Second", rest...))
	}
	w.mediator.Remove(addresses[2])
	w.monitor(addresses[2], false)
	w.eventually("nothing is left over", func() bool { return len(w.sim.Subscriptions()) == 0 })
}
