package main_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
)

func TestUsersWatch(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 44})
	w.env["OUTLOOK_MONITOR_URL"], w.env["MONITOR_TOKEN"] = w.base, "the-token"
	w.env["POLL_INTERVAL"] = "200ms"
	ids := map[string]string{}
	for _, email := range []string{"ann@contoso.example", "bob@contoso.example"} {
		user, err := w.sim.AddUser(graphsim.User{UserPrincipalName: email, Mail: email})
		if err != nil {
			t.Fatal(err)
		}
		ids[email] = user.ID
	}
	service := w.start("serve")
	w.answers()
	w.eventually("the mediator was asked for its users", func() bool { return strings.Contains(service.log.String(), "sync with the mediator finished") })
	w.mediator.Add("ann@contoso.example", "bob@contoso.example")
	w.users(0, "", "add", "ann@contoso.example")
	w.eventually("Ann's state is delivered", func() bool {
		text, _ := w.users(0, "", "list")
		return strings.Contains(text, "delivered")
	})

	people, lines, alone := w.start("users", "watch", "--every=100ms"), w.start("users", "--json", "watch", "--every=100ms"), w.start("users", "watch", "--every=100ms", "ann@contoso.example")
	has := func(p *program, pattern string) func() bool {
		return func() bool { return regexp.MustCompile("(?m)" + pattern).MatchString(p.log.String()) }
	}
	for _, p := range []*program{people, alone} {
		w.eventually("the users are there", has(p, `^\d\d:\d\d:\d\d  monitored  ann@contoso\.example  watching  no             delivered$`))
	}
	w.eventually("lines have them too", has(lines, `"event":"monitored"`))
	if _, err := w.sim.SetAutomaticReplies(ids["ann@contoso.example"], graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), ExternalReplyMessage: new("<p>Gone fishing</p>")}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*program{people, alone} {
		w.eventually("a change is told", has(p, `  changed    ann@contoso\.example  watching  yes            delivered  Gone fishing$`))
	}
	w.users(0, "", "add", "bob@contoso.example")
	w.eventually("who comes is told", has(people, `  added      bob@contoso\.example`))
	w.eventually("who comes is told in lines", has(lines, `"event":"added"`))
	w.users(0, "", "remove", "bob@contoso.example")
	w.eventually("who goes is told", has(people, `  removed    bob@contoso\.example`))
	w.eventually("who goes is told in lines", has(lines, `"event":"removed"`))
	if text := alone.log.String(); strings.Contains(text, "bob@") {
		t.Errorf("watch of Ann = %s, want nothing of Bob", text)
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
	w.eventually("that the service went is told", has(people, `nothing listens on .*; retrying$`))
	for _, p := range []*program{people, lines, alone} {
		_ = p.Signal(syscall.SIGINT)
		if code := p.Wait(); code != 0 {
			t.Errorf("exit code after Ctrl-C = %d, want 0", code)
		}
	}
}

func TestUsersWatchSaysWhatIsWrong(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 45})
	w.env["MONITOR_TOKEN"] = "the-token"
	w.start("serve")
	w.answers()
	tests := map[string]struct {
		server, token string
		args          []string
		want          string
	}{
		"no service":      {"http://" + programtest.FreeAddress(t), "the-token", nil, "start outlook-monitor serve there"},
		"no token":        {w.base, "", nil, "the service requires a token: set MONITOR_TOKEN"},
		"a wrong token":   {w.base, "another", nil, "the service has a different token"},
		"an unknown user": {w.base, "the-token", []string{"nobody@contoso.example"}, "start it with outlook-monitor users add"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			mine := *w
			mine.t = t
			mine.env = map[string]string{"OUTLOOK_MONITOR_URL": tt.server, "MONITOR_TOKEN": tt.token}
			if _, said := mine.users(1, "", append([]string{"watch"}, tt.args...)...); !strings.Contains(said, tt.want) {
				t.Errorf("users watch says %q, want %q", said, tt.want)
			}
		})
	}
}
