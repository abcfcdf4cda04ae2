package main_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
)

func TestUsersHistory(t *testing.T) {
	tb := newTestbed(t, "", graphsim.Config{Seed: 46})
	tb.env["OUTLOOK_MONITOR_URL"], tb.env["MONITOR_TOKEN"] = tb.base, "the-token"
	tb.addUser(graphsim.User{UserPrincipalName: "ann@contoso.example"})
	tb.mediator.Add("ann@contoso.example")
	tb.start("serve")
	tb.waitReady()
	tb.users(0, `{"email":"ann@contoso.example"}`+"\n"+`{"email":"absent@contoso.example"}`, "import")

	tb.eventually("the list has the reason for an unknown state", func() bool {
		text, _ := tb.users(0, "", "list")
		return regexp.MustCompile(`(?m)^absent@contoso\.example +unknown .* not in the directory$`).MatchString(text)
	})
	entry := func(kind, more string) *regexp.Regexp {
		return regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ +` + kind + ` .*` + more + `$`)
	}
	tb.eventually("the history has the delivery", func() bool {
		text, _ := tb.users(0, "", "history", "ann@contoso.example")
		return entry("delivered", "sequence 1").MatchString(text)
	})
	text, _ := tb.users(0, "", "history", "Ann@contoso.example")
	for _, want := range []*regexp.Regexp{
		regexp.MustCompile(`^WHEN +WHAT +SOURCE +DETAIL\n`), entry("started", "request +-"), entry("changed", "request +in the office, sequence 1"),
	} {
		if !want.MatchString(text) {
			t.Errorf("users history = %s, want %v", text, want)
		}
	}
	if text, _ := tb.users(0, "", "history", "absent@contoso.example"); !entry("unknown", "not in the directory").MatchString(text) {
		t.Errorf("users history of an unresolved user = %s, want the reason", text)
	}

	text, _ = tb.users(0, "", "history", "ann@contoso.example", "--json", "--limit", "1")
	var history struct{ Events []struct{ Kind string } }
	if err := json.Unmarshal([]byte(text), &history); err != nil || len(history.Events) != 1 || history.Events[0].Kind != "delivered" {
		t.Errorf("users history --json --limit 1 = %s, %v, want the newest entry as JSON", text, err)
	}
	if _, stderr := tb.users(1, "", "history", "ann@contoso.example", "--limit", "0"); !strings.Contains(stderr, "write limit as a number from 1 to 200") {
		t.Errorf("users history --limit 0 = %q, want the allowed range", stderr)
	}
	if _, stderr := tb.users(1, "", "history", "nobody@contoso.example"); !strings.Contains(stderr, "outlook-monitor users add") {
		t.Errorf("users history of an unknown user = %q, want how to add the user", stderr)
	}
}
