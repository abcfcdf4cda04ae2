package main_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"outlook-monitor/internal/graphsim"
)

func TestUsersWatch(t *testing.T) {
	tb := newTestbed(t, "", graphsim.Config{Seed: 44})
	tb.env["MONITOR_TOKEN"], tb.env["POLL_INTERVAL"] = "the-token", "200ms"
	tb.sim.AddUser(graphsim.User{UserPrincipalName: "ann@contoso.example"})
	tb.sim.AddUser(graphsim.User{UserPrincipalName: "bob@contoso.example"})
	service := tb.startReady()
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
	tb.sim.SetReplies("ann@contoso.example", graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), ExternalReplyMessage: new("<p>Gone fishing</p>")})
	for _, p := range []*program{text, annOnly} {
		tb.eventually("the change is printed", has(p, `  changed    ann@contoso\.example  watching  yes            delivered  Gone fishing$`))
	}
	tb.users(0, "", "remove", "ann@contoso.example")
	tb.eventually("the removal of the only user is printed", has(annOnly, `  removed    ann@contoso\.example`))
	// Meanwhile Ann is read several times.
	for _, of := range []struct{ command, event string }{{"add", "added"}, {"remove", "removed"}} {
		tb.users(0, "", of.command, "bob@contoso.example")
		tb.eventually("the event is printed", has(text, `  `+of.event+` +bob@contoso\.example`))
		tb.eventually("the event is printed as JSON", has(lines, `"event":"`+of.event+`".*"bob@contoso\.example"`))
	}
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
	tb.env["MONITOR_TOKEN"] = "another-token-of-16"
	tb.startReady()
	tb.eventually("another failure is printed", has(text, `different token.*; retrying$`))
	for _, p := range []*program{text, lines, annOnly} {
		_ = p.Signal(syscall.SIGINT)
		if code := p.Wait(); code != 0 {
			t.Errorf("exit code after Ctrl-C = %d, want 0", code)
		}
	}
}
