package main_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

func TestUsersCommands(t *testing.T) {
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 16})
	tb.env["MONITOR_TOKEN"] = "a-token-of-the-operator"
	email := tb.sim.AddUsers(2)[0].UserPrincipalName
	tb.startReady()
	for _, path := range []string{"/api/users", "/ui/", "/ui/api/summary", "/ui/api/users", "/ui/api/feed", "/ui/static/main.js", "/ui/api/openapi.json"} {
		if status, answer := tb.get(path); status != http.StatusUnauthorized || strings.Contains(answer, "contoso") {
			t.Errorf("GET %s without the token = %d %.80q, want 401", path, status, answer)
		}
	}
	shell := func(code int, args ...string) string {
		t.Helper()
		out, errs := tb.users(code, "", args...)
		return out + errs
	}
	// want runs a command whose output must match a pattern.
	want := func(pattern string, code int, args ...string) {
		t.Helper()
		if output := shell(code, args...); !regexp.MustCompile("(?m)" + pattern).MatchString(output) {
			t.Errorf("users %q = %s, want %s", args, output, pattern)
		}
	}
	shell(1, "show", email)
	shell(1, "add", "nobody@contoso.example")
	tb.mediator.Add(email)
	shell(0, "add", email)
	tb.eventually("the user is watched", func() bool { return strings.Contains(shell(0, "show", email), "watching") })
	var listed struct {
		Users []struct{ Email, State string }
	}
	if err := json.Unmarshal([]byte(shell(0, "--json", "list")), &listed); err != nil || len(listed.Users) != 1 || listed.Users[0].Email != email {
		t.Errorf("users --json list = %+v, %v, want the one user", listed, err)
	}

	const entry = `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ +`
	delivered := regexp.MustCompile("(?m)" + entry + "delivered .*sequence 1$")
	tb.eventually("the history has the delivery", func() bool { return delivered.MatchString(shell(0, "history", email)) })
	want(`\AWHEN +WHAT +SOURCE +DETAIL\n`, 0, "history", strings.ToUpper(email))
	want(entry+"started +request +-$", 0, "history", email)
	want(entry+"changed +request +in the office, sequence 1$", 0, "history", email)
	want(`^\{"events":\[\{[^{]*"kind":"delivered"[^{]*\}\]`, 0, "history", email, "--json", "--limit", "1")
	want("write limit as a number from 1 to 200", 1, "history", email, "--limit", "0")

	shell(0, "check", email)
	before := len(tb.mediator.Calls())
	shell(0, "resend", email)
	tb.eventually("the state is delivered again", func() bool { return len(tb.mediator.Calls()) > before })
	shell(0, "remove", email)
	shell(1, "show", email)
	for spaces, command := range []string{"history", "watch"} {
		want("EMAIL is blank: name the address of a user", 2, command, strings.Repeat(" ", spaces))
		want("start it with outlook-monitor users add", 1, command, email)
	}

	tb.sim.Must(tb.sim.SetMailbox(email, graphsim.Mailbox{Error: "MailboxNotEnabledForRESTAPI"}))
	tb.users(0, `{"email":"absent@contoso.example"}`+"\n"+`{"email":"`+email+`"}`, "import")
	absent := regexp.MustCompile(`(?m)^absent@contoso\.example +unknown .* not in the directory\n.* the mailbox is inactive, .+…$`)
	tb.eventually("the list has the reasons for unknown states", func() bool { return absent.MatchString(shell(0, "list")) })
	want(entry+"unknown .*not in the directory$", 0, "history", "absent@contoso.example")

	want("does not serve the API: set --server", 1, "show", email, "--server="+tb.base+"/base")

	tb.env["MONITOR_TOKEN"] = "another"
	want("the service has a different token", 1, "watch")
	delete(tb.env, "MONITOR_TOKEN")
	want("the service requires a token: set MONITOR_TOKEN", 1, "list")
}
