package main_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

func TestUsersWatch(t *testing.T) {
	tb := newTestbed(t, "", graphsim.Config{Seed: 44})
	tb.env["OUTLOOK_MONITOR_URL"], tb.env["MONITOR_TOKEN"] = tb.base, "the-token"
	tb.env["POLL_INTERVAL"] = "200ms"
	tb.addUser(graphsim.User{UserPrincipalName: "ann@contoso.example"})
	tb.addUser(graphsim.User{UserPrincipalName: "bob@contoso.example"})
	service := tb.start("serve")
	tb.waitReady()
	tb.eventually("the sync with the mediator is finished", func() bool { return strings.Contains(service.log.String(), "sync with the mediator finished") })
	tb.mediator.Add("ann@contoso.example", "bob@contoso.example")
	tb.users(0, "", "add", "ann@contoso.example")
	tb.eventually("Ann's state is delivered", func() bool {
		text, _ := tb.users(0, "", "list")
		return strings.Contains(text, "delivered")
	})

	text := tb.start("users", "watch", "--every=100ms")
	lines := tb.start("users", "--json", "watch", "--every=100ms")
	annOnly := tb.start("users", "watch", "--every=100ms", "ann@contoso.example")
	has := func(p *program, pattern string) func() bool {
		return func() bool { return regexp.MustCompile("(?m)" + pattern).MatchString(p.log.String()) }
	}
	for _, p := range []*program{text, annOnly} {
		tb.eventually("the users are printed", has(p, `^\d\d:\d\d:\d\d  monitored  ann@contoso\.example  watching  no             delivered$`))
	}
	tb.eventually("the users are printed as JSON", has(lines, `"event":"monitored"`))
	tb.setReplies("ann@contoso.example", graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), ExternalReplyMessage: new("<p>Gone fishing</p>")})
	for _, p := range []*program{text, annOnly} {
		tb.eventually("the change is printed", has(p, `  changed    ann@contoso\.example  watching  yes            delivered  Gone fishing$`))
	}
	tb.users(0, "", "add", "bob@contoso.example")
	tb.eventually("the new user is printed", has(text, `  added      bob@contoso\.example`))
	tb.eventually("the new user is printed as JSON", has(lines, `"event":"added"`))
	tb.users(0, "", "remove", "bob@contoso.example")
	tb.eventually("the removal is printed", has(text, `  removed    bob@contoso\.example`))
	tb.eventually("the removal is printed as JSON", has(lines, `"event":"removed"`))
	tb.users(0, "", "remove", "ann@contoso.example")
	tb.eventually("the removal of the only user is printed", has(annOnly, `  removed    ann@contoso\.example`))
	time.Sleep(300 * time.Millisecond) // further reads print nothing
	tb.users(0, "", "add", "ann@contoso.example")
	tb.eventually("the only user is printed again", has(annOnly, `  added      ann@contoso\.example`))
	if output := annOnly.log.String(); strings.Contains(output, "bob@") || strings.Contains(output, "retrying") || strings.Count(output, "removed") != 1 {
		t.Errorf("watch of Ann = %s, want one removal, no error and nothing about Bob", output)
	}
	for line := range strings.Lines(lines.log.String()) {
		var change struct {
			At, Event string
			User      struct{ Email string }
		}
		if err := json.Unmarshal([]byte(line), &change); err != nil || change.At == "" || change.Event == "" || change.User.Email == "" {
			t.Errorf("line = %s, %v, want an object with at, event and user", line, err)
		}
	}

	service.stop()
	tb.eventually("the outage is printed", has(text, `nothing listens on .*; retrying$`))
	for _, p := range []*program{text, lines, annOnly} {
		_ = p.Signal(syscall.SIGINT)
		if code := p.Wait(); code != 0 {
			t.Errorf("exit code after Ctrl-C = %d, want 0", code)
		}
	}
}
