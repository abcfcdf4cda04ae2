package graphsim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
)

func TestRequestFaults(t *testing.T) {
	f := start(t, graphsim.Config{})
	ann, bob, h := f.addUser("ann@contoso.example"), f.addUser("bob@contoso.example"), newHook(t)
	id, chris := f.subscribe(bob, h, time.Hour), f.addUser("chris@contoso.example")
	read := func(u graphsim.User) func() answer {
		return func() answer { return f.read(u) }
	}
	for name, tt := range map[string]struct {
		fault  graphsim.Fault
		ask    func() answer
		status int
		code   string
		wait   string
	}{
		"throttled":              {graphsim.Fault{Operation: "read", Kind: "throttle", RetryAfter: graphsim.Duration(3 * time.Second)}, read(ann), 429, "TooManyRequests", "3"},
		"no Retry-After":         {graphsim.Fault{Operation: "read", Kind: "throttle", RetryAfter: -1}, read(ann), 429, "TooManyRequests", ""},
		"default status":         {graphsim.Fault{Operation: "read", Kind: "status"}, read(ann), 503, "ServiceUnavailable", ""},
		"status and Retry-After": {graphsim.Fault{Operation: "read", Kind: "status", RetryAfter: graphsim.Duration(1500 * time.Millisecond)}, read(ann), 503, "ServiceUnavailable", "2"},
		"unauthorized":           {graphsim.Fault{Operation: "read", Kind: "status", Status: 401}, read(ann), 401, "InvalidAuthenticationToken", ""},
		"custom code":            {graphsim.Fault{Operation: "read", Kind: "status", Status: 500, Code: "Oops"}, read(ann), 500, "Oops", ""},
		"of this user":           {graphsim.Fault{Operation: "read", Kind: "status", User: "ann@contoso.example"}, read(ann), 503, "ServiceUnavailable", ""},
		"of another user":        {graphsim.Fault{Operation: "read", Kind: "status", User: "ann@contoso.example"}, read(bob), 200, "", ""},
		"of another operation":   {graphsim.Fault{Operation: "directory", Kind: "status"}, read(ann), 200, "", ""},
		"of all operations":      {graphsim.Fault{Operation: "all", Kind: "status", Status: 500}, read(ann), 500, "InternalServerError", ""},
		"of a batch": {graphsim.Fault{Operation: "batch", Kind: "throttle"}, func() answer {
			return f.graph("POST", "/$batch", map[string]any{"requests": []any{get("1", "/users/x")}})
		}, 429, "TooManyRequests", "1"},
		"renewal for this user":     {graphsim.Fault{Operation: "subscription-renew", Kind: "status", User: bob.ID}, func() answer { return f.graph("PATCH", "/subscriptions/"+id, map[string]any{}) }, 503, "ServiceUnavailable", ""},
		"creation for this user":    {graphsim.Fault{Operation: "subscription-create", Kind: "status", User: ann.ID}, func() answer { return f.graph("POST", "/subscriptions", subscription(ann, h, time.Hour)) }, 503, "ServiceUnavailable", ""},
		"deletion for another user": {graphsim.Fault{Operation: "subscription-delete", Kind: "status", User: ann.ID}, func() answer { return f.graph("DELETE", "/subscriptions/"+f.subscribe(chris, h, time.Hour), nil) }, 204, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f.SetFault(tt.fault)
			defer f.ClearFaults()
			a := tt.ask()
			if a.status != tt.status || a.code() != tt.code || a.header.Get("Retry-After") != tt.wait {
				t.Errorf("answer = %d %s, Retry-After %q, want %d %s %q", a.status, a.raw, a.header.Get("Retry-After"), tt.status, tt.code, tt.wait)
			}
		})
	}
	f.read(ann).want(t, 200, "")
}

func TestSameSeedSameFaults(t *testing.T) {
	run := func(seed uint64) (statuses string) {
		f := start(t, graphsim.Config{Seed: seed})
		u := f.addUser("ann@contoso.example")
		f.SetFault(graphsim.Fault{Operation: "read", Kind: "status", Probability: new(0.5)})
		for range 100 {
			statuses += fmt.Sprint(f.read(u).status, " ")
		}
		return statuses
	}
	first, again, other := run(3), run(3), run(4)
	if first != again || first == other {
		t.Errorf("statuses with one seed:\n%s\n%swith another:\n%s\nwant the same for a seed", first, again, other)
	}
	if failed := strings.Count(first, "503"); failed < 25 || failed > 75 {
		t.Errorf("%d of 100 failed, want about half", failed)
	}
}

func TestConnectionFaults(t *testing.T) {
	f := start(t, graphsim.Config{})
	path := f.URL() + "/v1.0/users/" + f.addUser("ann@contoso.example").ID
	f.SetFault(graphsim.Fault{Operation: "directory", Kind: "reset", Times: 1})
	if a, err := f.trySend(t.Context(), "GET", path, f.header(), nil); err == nil {
		t.Errorf("reset = %d, want no answer", a.status)
	}
	f.SetFault(graphsim.Fault{Operation: "token", Kind: "reset", Times: 1})
	if a, err := f.trySend(t.Context(), "POST", f.tokenURL(), nil, nil); err == nil {
		t.Errorf("reset of a login = %d, want no answer", a.status)
	}
	f.SetFault(graphsim.Fault{Operation: "token", Kind: "throttle", Times: 1})
	if a := f.postForm(f.tokenForm()); a.status != 429 || a.header.Get("Retry-After") != "1" || a.body["error_description"] == nil {
		t.Errorf("throttled login = %d %s, want 429 in the format of the login endpoint", a.status, a.raw)
	}
	f.send("GET", path, f.header(), nil).want(t, 200, "")
	if c := f.Stats().Calls["directory"]; c["0"] != 1 || c["200"] != 1 {
		t.Errorf("calls = %v, want one reset and one answered", c)
	}
	f.SetFault(graphsim.Fault{Operation: "directory", Kind: "hang"})
	go func() { _, _ = f.trySend(t.Context(), "GET", path, f.header(), nil) }()
	await.True(t, "a request hangs", func() bool { return f.Faults()[3].Hits == 1 })
	// The cleanup fails if that keeps Run from ending.
}

func TestNotificationFaults(t *testing.T) {
	t.Parallel()
	const own, other, forged = "state of ann@contoso.example", "state of bob@contoso.example", "forged"
	for name, tt := range map[string]struct {
		fault graphsim.Fault
		early int   // items that arrive before bob's change
		want  []any // clientStates in order of arrival
	}{
		"drop":    {graphsim.Fault{Kind: "drop"}, 0, []any{other}},
		"double":  {graphsim.Fault{Kind: "double"}, 2, []any{own, own, other}},
		"forge":   {graphsim.Fault{Kind: "forge"}, 2, []any{forged, own, other}},
		"reorder": {graphsim.Fault{Kind: "reorder"}, 0, []any{other, own}},
		"delay":   {graphsim.Fault{Kind: "delay", Delay: graphsim.Duration(time.Second)}, 0, []any{other, own}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, graphsim.Config{})
			ann, bob, h := f.addUser("ann@contoso.example"), f.addUser("bob@contoso.example"), newHook(t)
			f.subscribe(ann, h, time.Hour)
			f.subscribe(bob, h, time.Hour)
			tt.fault.Operation, tt.fault.Times = "notification", 1
			f.SetFault(tt.fault)
			f.setOut(ann)
			await.True(t, "the early items arrive", func() bool { return len(h.items()) >= tt.early })
			f.setOut(bob)
			var got []any
			for _, item := range h.waitFor(t, len(tt.want)) {
				state, _, _ := strings.Cut(item["clientState"].(string), "-")
				got = append(got, state)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("arrived = %v, want %v", got, tt.want)
			}
		})
	}
}
