package graphsim_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
)

func TestRequestFaults(t *testing.T) {
	w := start(t, graphsim.Config{})
	ann, bob, h := w.user("ann@contoso.example"), w.user("bob@contoso.example"), newHook(t)
	id, chris := w.subscribe(bob, h, time.Hour), w.user("chris@contoso.example")
	read := func(u graphsim.User) func() answer {
		return func() answer { return w.read(u) }
	}
	tests := map[string]struct {
		fault  graphsim.Fault
		ask    func() answer
		status int
		code   string
		wait   string
	}{
		"a throttled read":          {graphsim.Fault{Operation: "read", Kind: "throttle", RetryAfter: graphsim.Duration(3 * time.Second)}, read(ann), 429, "TooManyRequests", "3"},
		"a throttled read, no wait": {graphsim.Fault{Operation: "read", Kind: "throttle", RetryAfter: -1}, read(ann), 429, "TooManyRequests", ""},
		"a read out of service":     {graphsim.Fault{Operation: "read", Kind: "status"}, read(ann), 503, "ServiceUnavailable", ""},
		"with a wait":               {graphsim.Fault{Operation: "read", Kind: "status", RetryAfter: graphsim.Duration(1500 * time.Millisecond)}, read(ann), 503, "ServiceUnavailable", "2"},
		"a read that isn't let in":  {graphsim.Fault{Operation: "read", Kind: "status", Status: 401}, read(ann), 401, "InvalidAuthenticationToken", ""},
		"a read with its own code":  {graphsim.Fault{Operation: "read", Kind: "status", Status: 500, Code: "Oops"}, read(ann), 500, "Oops", ""},
		"a read of this user":       {graphsim.Fault{Operation: "read", Kind: "status", User: "ann@contoso.example"}, read(ann), 503, "ServiceUnavailable", ""},
		"a read of another user":    {graphsim.Fault{Operation: "read", Kind: "status", User: "ann@contoso.example"}, read(bob), 200, "", ""},
		"another operation":         {graphsim.Fault{Operation: "directory", Kind: "status"}, read(ann), 200, "", ""},
		"everything":                {graphsim.Fault{Operation: "all", Kind: "status", Status: 500}, read(ann), 500, "InternalServerError", ""},
		"the directory":             {graphsim.Fault{Operation: "directory", Kind: "status", Status: 403}, func() answer { return w.graph("GET", "/users/"+ann.ID, nil) }, 403, "ErrorAccessDenied", ""},
		"a batch as a whole": {graphsim.Fault{Operation: "batch", Kind: "throttle"}, func() answer {
			return w.graph("POST", "/$batch", map[string]any{"requests": []any{get("1", "/users/x")}})
		}, 429, "TooManyRequests", "1"},
		"the list of subscriptions":  {graphsim.Fault{Operation: "subscription-list", Kind: "status"}, func() answer { return w.graph("GET", "/subscriptions", nil) }, 503, "ServiceUnavailable", ""},
		"a renewal, for its user":    {graphsim.Fault{Operation: "subscription-renew", Kind: "status", User: bob.ID}, func() answer { return w.graph("PATCH", "/subscriptions/"+id, map[string]any{}) }, 503, "ServiceUnavailable", ""},
		"a creation, for its user":   {graphsim.Fault{Operation: "subscription-create", Kind: "status", User: ann.ID}, func() answer { return w.graph("POST", "/subscriptions", subscription(ann, h, time.Hour)) }, 503, "ServiceUnavailable", ""},
		"a deletion, for another":    {graphsim.Fault{Operation: "subscription-delete", Kind: "status", User: ann.ID}, func() answer { return w.graph("DELETE", "/subscriptions/"+w.subscribe(chris, h, time.Hour), nil) }, 204, "", ""},
		"a latency, which isn't all": {graphsim.Fault{Operation: "read", Kind: "latency", Delay: graphsim.Duration(time.Millisecond)}, read(ann), 200, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w.fault(tt.fault)
			defer w.ClearFaults()
			a := tt.ask()
			if a.status != tt.status || a.code() != tt.code || a.header.Get("Retry-After") != tt.wait {
				t.Errorf("answer = %d %s, Retry-After %q, want %d %s %q", a.status, a.raw, a.header.Get("Retry-After"), tt.status, tt.code, tt.wait)
			}
		})
	}
	if a := read(ann)(); a.status != 200 {
		t.Errorf("after the faults = %d, want 200", a.status)
	}
}

func TestFaultHappensSoManyTimes(t *testing.T) {
	w := start(t, graphsim.Config{})
	u := w.user("ann@contoso.example")
	w.fault(graphsim.Fault{Operation: "read", Kind: "status", Times: 2})
	var got []int
	for range 3 {
		got = append(got, w.read(u).status)
	}
	if want := []int{503, 503, 200}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("statuses = %v, want %v", got, want)
	}
	if f := w.Faults(); len(f) != 1 || f[0].Hits != 2 {
		t.Errorf("faults = %+v, want the one, hit twice", f)
	}
}

func TestSameSeedSameFaults(t *testing.T) {
	run := func(seed uint64) (statuses string) {
		w := start(t, graphsim.Config{Seed: seed})
		u := w.user("ann@contoso.example")
		w.fault(graphsim.Fault{Operation: "read", Kind: "status", Probability: 0.5})
		for range 100 {
			statuses += fmt.Sprint(w.read(u).status, " ")
		}
		return statuses
	}
	first := run(3)
	if again := run(3); again != first {
		t.Errorf("statuses differ with the same seed:\n%s\n%s", first, again)
	}
	if other := run(4); other == first {
		t.Error("statuses are the same with another seed")
	}
	if failed := strings.Count(first, "503"); failed < 25 || failed > 75 {
		t.Errorf("%d of 100 failed, want about half", failed)
	}
}

func TestConnectionFaults(t *testing.T) {
	w := start(t, graphsim.Config{})
	path := w.URL() + "/v1.0/users/" + w.user("ann@contoso.example").ID
	w.fault(graphsim.Fault{Operation: "directory", Kind: "reset", Times: 1})
	if a, err := w.try("GET", path, w.header(), nil); err == nil {
		t.Errorf("reset = %d, want no answer", a.status)
	}
	w.fault(graphsim.Fault{Operation: "token", Kind: "reset", Times: 1})
	if a, err := w.try("POST", w.tokenURL(), nil, nil); err == nil {
		t.Errorf("reset of a login = %d, want no answer", a.status)
	}
	w.fault(graphsim.Fault{Operation: "token", Kind: "throttle", Times: 1})
	if a := w.postForm(w.tokenForm()); a.status != 429 || a.header.Get("Retry-After") != "1" || a.body["error_description"] == nil {
		t.Errorf("throttled login = %d %s, want 429 in the login endpoint's way", a.status, a.raw)
	}
	if a := w.ask("GET", path, w.header(), nil); a.status != 200 {
		t.Errorf("afterwards = %d, want 200", a.status)
	}
	if c := w.Stats().Calls["directory"]; c["0"] != 1 || c["200"] != 1 {
		t.Errorf("calls = %v, want one cut and one answered", c)
	}
}

func TestStopDoesNotWaitForWhatHangs(t *testing.T) {
	w := start(t, graphsim.Config{})
	u := w.user("ann@contoso.example")
	w.fault(graphsim.Fault{Operation: "directory", Kind: "hang"})
	go func() { _, _ = w.try("GET", w.URL()+"/v1.0/users/"+u.ID, w.header(), nil) }()
	await.True(t, "the fault happens", func() bool { return w.Faults()[0].Hits == 1 })
	// The cleanup fails if Run doesn't end.
}

func TestNotificationFaults(t *testing.T) {
	t.Parallel()
	const own, other, forged = "state of ann@contoso.example", "state of bob@contoso.example", "forged"
	tests := map[string]struct {
		fault graphsim.Fault
		early int   // items that come before the other change is made
		want  []any // clientStates in order of arrival
	}{
		"drop":    {graphsim.Fault{Kind: "drop"}, 0, []any{other}},
		"double":  {graphsim.Fault{Kind: "double"}, 2, []any{own, own, other}},
		"forge":   {graphsim.Fault{Kind: "forge"}, 2, []any{forged, own, other}},
		"reorder": {graphsim.Fault{Kind: "reorder"}, 0, []any{other, own}},
		"delay":   {graphsim.Fault{Kind: "delay", Delay: graphsim.Duration(time.Second)}, 0, []any{other, own}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := start(t, graphsim.Config{})
			ann, bob, h := w.user("ann@contoso.example"), w.user("bob@contoso.example"), newHook(t)
			w.subscribe(ann, h, time.Hour)
			w.subscribe(bob, h, time.Hour)
			tt.fault.Operation, tt.fault.Times = "notification", 1
			w.fault(tt.fault)
			w.setOut(ann)
			await.True(t, "the early items come", func() bool { return len(h.items()) >= tt.early })
			w.setOut(bob)
			var got []any
			for _, item := range h.only(t, len(tt.want)) {
				state, _, _ := strings.Cut(item["clientState"].(string), "-")
				got = append(got, state)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("arrived = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLivesAreCut(t *testing.T) {
	w := start(t, graphsim.Config{})
	h := newHook(t)
	for kind, shown := range map[string]time.Duration{"short-life": time.Second, "early-expiry": time.Hour} {
		t.Run(kind, func(t *testing.T) {
			u := w.user(kind + "@contoso.example")
			w.fault(graphsim.Fault{Operation: "subscription-create", Kind: kind, Life: graphsim.Duration(time.Second), User: u.ID})
			a := w.graph("POST", "/subscriptions", subscription(u, h, time.Hour))
			got, err := time.Parse(time.RFC3339Nano, a.body["expirationDateTime"].(string))
			if left := time.Until(got); err != nil || left > shown || left < shown-time.Minute {
				t.Errorf("expiry = %v, want %v from now, an hour was asked for", a.body["expirationDateTime"], shown)
			}
			await.True(t, "it expires", func() bool { return w.graph("GET", "/subscriptions/"+a.body["id"].(string), nil).status == 404 })
		})
	}
}

func TestFaultsAreChecked(t *testing.T) {
	w := start(t, graphsim.Config{})
	tests := map[string]graphsim.Fault{
		"an unknown operation":           {Operation: "write", Kind: "status"},
		"an unknown kind":                {Operation: "read", Kind: "explode"},
		"a kind of another operation":    {Operation: "read", Kind: "drop"},
		"a notification that is refused": {Operation: "notification", Kind: "status"},
		"a probability above one":        {Operation: "read", Kind: "status", Probability: 2},
		"a status that is no error":      {Operation: "read", Kind: "status", Status: 200},
		"a latency of nothing":           {Operation: "read", Kind: "latency"},
		"a life of nothing":              {Operation: "subscription-create", Kind: "short-life"},
		"times below zero":               {Operation: "read", Kind: "status", Times: -1},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := w.SetFault(f); !errors.Is(err, graphsim.ErrInvalid) {
				t.Errorf("SetFault = %v, want ErrInvalid", err)
			}
		})
	}
	if _, err := w.SetFault(graphsim.Fault{Operation: "read", Kind: "status", User: "nobody"}); !errors.Is(err, graphsim.ErrUnknownUser) {
		t.Errorf("SetFault for a stranger = %v, want ErrUnknownUser", err)
	}
}
