package main_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
)

func TestUsersTellWhatHappenedAndWhatIsWrong(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 46})
	w.env["OUTLOOK_MONITOR_URL"], w.env["MONITOR_TOKEN"] = w.base, "the-token"
	if _, err := w.sim.AddUser(graphsim.User{UserPrincipalName: "ann@contoso.example", Mail: "ann@contoso.example"}); err != nil {
		t.Fatal(err)
	}
	w.mediator.Add("ann@contoso.example")
	w.start("serve")
	w.answers()
	w.users(0, `{"email":"ann@contoso.example"}`+"\n"+`{"email":"absent@contoso.example"}`, "import")

	w.eventually("the list says why somebody can't be read", func() bool {
		text, _ := w.users(0, "", "list")
		return regexp.MustCompile(`(?m)^absent@contoso\.example +unknown .* not in the directory$`).MatchString(text)
	})
	entry := func(kind, more string) *regexp.Regexp {
		return regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ +` + kind + ` .*` + more + `$`)
	}
	w.eventually("the history has the delivery", func() bool {
		text, _ := w.users(0, "", "history", "ann@contoso.example")
		return entry("delivered", "sequence 1").MatchString(text)
	})
	text, _ := w.users(0, "", "history", "Ann@contoso.example")
	for _, want := range []*regexp.Regexp{
		regexp.MustCompile(`^WHEN +WHAT +SOURCE +DETAIL\n`), entry("started", "request +-"), entry("changed", "request +in the office, sequence 1"),
	} {
		if !want.MatchString(text) {
			t.Errorf("users history = %s, want %v", text, want)
		}
	}
	if text, _ := w.users(0, "", "history", "absent@contoso.example"); !entry("unknown", "not in the directory").MatchString(text) {
		t.Errorf("users history of one who is absent = %s, want the reason", text)
	}

	text, _ = w.users(0, "", "history", "ann@contoso.example", "--json", "--limit", "1")
	var history struct{ Events []struct{ Kind string } }
	if err := json.Unmarshal([]byte(text), &history); err != nil || len(history.Events) != 1 || history.Events[0].Kind != "delivered" {
		t.Errorf("users history --json --limit 1 = %s, %v, want the newest entry as JSON", text, err)
	}
	if _, said := w.users(1, "", "history", "ann@contoso.example", "--limit", "0"); !strings.Contains(said, "write limit as a number from 1 to 200") {
		t.Errorf("users history --limit 0 says %q, want what to write", said)
	}
	if _, said := w.users(1, "", "history", "nobody@contoso.example"); !strings.Contains(said, "outlook-monitor users add") {
		t.Errorf("users history of nobody says %q, want how to monitor them", said)
	}
}
