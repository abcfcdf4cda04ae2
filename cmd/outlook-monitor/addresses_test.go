package main_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/redistest"
)

// TestMailboxWithSeveralAddresses monitors one mailbox by its user principal name and by two
// other addresses.
func TestMailboxWithSeveralAddresses(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 60})
	tb.env["POLL_INTERVAL"] = "10m" // changes can only be detected by notifications
	ann := tb.sim.AddUser(graphsim.User{
		UserPrincipalName: "ann@contoso.example", Mail: "ann.lee@contoso.example",
		ProxyAddresses: []string{"SMTP:ann.lee@contoso.example", "smtp:reception@contoso.example"},
	})
	addresses := []string{"ann@contoso.example", "ann.lee@contoso.example", "reception@contoso.example"}
	tb.mediator.Add(addresses...)
	p := tb.start("serve")
	delivered := func(text string, to ...string) func() bool {
		return func() bool {
			for _, address := range to {
				if state, ok := tb.mediator.State(address); !ok || state.Message != text {
					return false
				}
			}
			return true
		}
	}
	away := func(text string) {
		t.Helper()
		tb.sim.SetReplies(ann.ID, graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), ExternalReplyMessage: &text})
		for _, sub := range tb.sim.Subscriptions() {
			tb.wantStatus(http.StatusAccepted, "POST", "/graph/notifications",
				`{"value":[{"subscriptionId":"`+sub.ID+`","clientState":"`+sub.ClientState+`","changeType":"updated"}]}`)
		}
	}
	// sharedBy returns a condition: n addresses share the only subscription.
	sharedBy := func(n int) func() bool {
		return func() bool {
			subs := tb.sim.Subscriptions()
			_, page := tb.get("/api/users")
			return len(subs) == 1 && subs[0].UserID == ann.ID && strings.Count(page, `"`+subs[0].ID+`"`) == n
		}
	}
	tb.eventually("the first state is delivered", func() bool { _, ok := tb.mediator.State(addresses[2]); return ok })
	tb.eventually("the addresses share one subscription", sharedBy(len(addresses)))
	away("First")
	tb.eventually("a change is delivered to every address", delivered("First", addresses...))
	if created := tb.sim.Stats().Calls["subscription-create"]["201"]; created != 1 {
		t.Errorf("%d subscriptions created, want one for the three addresses", created)
	}

	tb.sim.SetFault(graphsim.Fault{Operation: "read", Kind: "latency", Delay: graphsim.Duration(time.Second)})
	for _, text := range []string{"Slow 1", "Slow 2", "Slow 3"} {
		away(text)
		time.Sleep(300 * time.Millisecond)
	}
	tb.eventually("changes during a read are delivered", delivered("Slow 3", addresses...))
	tb.sim.ClearFaults()
	if most := tb.sim.Stats().MaxConcurrentPerMailbox; most > 1 {
		t.Errorf("%d concurrent requests for the mailbox, want 1", most)
	}

	for i, address := range addresses[:2] {
		tb.stopMonitoring(address)
		if i == 1 { // whatever it is doing
			p.Kill()
			tb.startReady()
		}
		rest := addresses[i+1:]
		tb.eventually("the remaining addresses share one subscription", sharedBy(len(rest)))
		away("Second")
		tb.eventually("a change is delivered to the remaining addresses", delivered("Second", rest...))
	}
	tb.stopMonitoring(addresses[2])
	tb.eventually("no subscription is left", func() bool { return len(tb.sim.Subscriptions()) == 0 })
}

// TestUsersAddedAgain adds users again while they are looked up, and when they are monitored.
// When they are deleted in the directory and created again, their new mailboxes must be
// monitored.
func TestUsersAddedAgain(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 68})
	users := tb.sim.AddUsers(2)
	one, many := users[0].UserPrincipalName, users[1].UserPrincipalName
	tb.startReady()
	tb.sim.SetFault(graphsim.Fault{Operation: "directory", Kind: "latency", Delay: graphsim.Duration(time.Second)})
	for range 2 {
		tb.wantStatus(http.StatusAccepted, "POST", "/api/users", `{"emails":["`+one+`","`+many+`"]}`)
	}
	tb.eventually("the users are covered", func() bool { return tb.sim.Covered()[users[0].ID] == 1 && tb.sim.Covered()[users[1].ID] == 1 })
	tb.sim.ClearFaults()
	tb.wantStatus(http.StatusOK, "PUT", "/api/users/"+one, "")
	tb.wantStatus(http.StatusAccepted, "POST", "/api/users", `{"emails":["`+many+`"]}`)
	for _, user := range users {
		must.NoError(t, tb.sim.DeleteUser(user.ID))
		created := tb.sim.AddUser(graphsim.User{UserPrincipalName: user.UserPrincipalName})
		tb.eventually("the new mailbox is monitored", func() bool { return tb.sim.Covered()[created.ID] == 1 })
	}
}
