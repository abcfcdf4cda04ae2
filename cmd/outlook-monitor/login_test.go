package main_test

import (
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
)

func TestAFailingLoginLeadsToTheDoctorOnce(t *testing.T) {
	t.Parallel()
	w := world(t, "", graphsim.Config{Seed: 67})
	w.env["AZURE_CLIENT_SECRET"] = "wrong"
	p := w.start("serve")
	w.eventually("the login has failed again", func() bool { return strings.Count(p.log.String(), "login failed") >= 3 })
	p.stop()
	if n := strings.Count(p.log.String(), "see outlook-monitor doctor"); n != 1 {
		t.Errorf("the log leads to the doctor %d times, want once: %s", n, p.log)
	}
}

// Mailboxes that Graph refuses in ways that look like a bad token or a user who is gone:
// each is unknown, keeps its id, and costs the others nothing.
func TestMailboxesThatAreRefusedAlone(t *testing.T) {
	t.Parallel()
	w := world(t, "", graphsim.Config{Seed: 68})
	codes := []string{"", "UnknownError", "ResourceNotFound", "ErrorInvalidUser", "ErrorItemNotFound"}
	users, err := w.sim.AddUsers(len(codes), "contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	for i, code := range codes {
		if err := w.sim.SetMailbox(users[i].ID, graphsim.Mailbox{Error: code}); err != nil {
			t.Fatal(err)
		}
	}
	w.start("serve")
	w.answers()
	monitor := func() {
		for _, u := range users {
			w.monitor(u.UserPrincipalName, true)
		}
	}
	monitor()
	for i, u := range users {
		w.eventually("the state of the one with "+codes[i], func() bool {
			_, answer := w.get("/api/users/" + u.UserPrincipalName)
			unknown := strings.Contains(answer, `"state":"unknown"`)
			return unknown == (codes[i] != "") && strings.Contains(answer, u.ID) && !strings.Contains(answer, `"pending"`)
		})
	}
	monitor()
	if logins := w.sim.Stats().Calls["token"]["200"]; logins != 1 {
		t.Errorf("%d logins, want 1", logins)
	}
}
