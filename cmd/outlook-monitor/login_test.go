package main_test

import (
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
)

func TestFailedLoginMentionsDoctorOnce(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, "", graphsim.Config{Seed: 67})
	tb.env["AZURE_CLIENT_SECRET"] = "wrong"
	p := tb.start("serve")
	tb.eventually("the login has failed three times", func() bool { return strings.Count(p.log.String(), "login failed") >= 3 })
	p.stop()
	if n := strings.Count(p.log.String(), "see outlook-monitor doctor"); n != 1 {
		t.Errorf("the log mentions the doctor %d times, want once: %s", n, p.log)
	}
}

// TestMailboxErrors has mailboxes with errors that resemble those of a bad token or a deleted
// user. Each must be unknown and keep its id, without effects on others.
func TestMailboxErrors(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, "", graphsim.Config{Seed: 68})
	codes := []string{"", "UnknownError", "ResourceNotFound", "ErrorInvalidUser", "ErrorItemNotFound"}
	users := tb.addUsers(len(codes))
	for i, code := range codes {
		if err := tb.sim.SetMailbox(users[i].ID, graphsim.Mailbox{Error: code}); err != nil {
			t.Fatal(err)
		}
	}
	tb.start("serve")
	tb.waitReady()
	monitor := func() {
		for _, u := range users {
			tb.monitor(u.UserPrincipalName, true)
		}
	}
	monitor()
	for i, u := range users {
		tb.eventually("the state of the mailbox with the error "+codes[i], func() bool {
			_, answer := tb.get("/api/users/" + u.UserPrincipalName)
			unknown := strings.Contains(answer, `"state":"unknown"`)
			return unknown == (codes[i] != "") && strings.Contains(answer, u.ID) && !strings.Contains(answer, `"pending"`)
		})
	}
	monitor()
	if logins := tb.sim.Stats().Calls["token"]["200"]; logins != 1 {
		t.Errorf("%d logins, want 1", logins)
	}
}
