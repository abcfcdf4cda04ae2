package graphsim_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

func TestFaultyLists(t *testing.T) {
	f := start(t, graphsim.Config{})
	h := newHook(t)
	ann := f.addUser("ann@contoso.example")
	f.subscribe(ann, h, time.Hour)
	f.subscribe(f.addUser("bob@contoso.example"), h, time.Hour)
	f.setFault(graphsim.Fault{Operation: "subscription-list", Kind: "omit", User: ann.ID})
	if items, _ := f.listSubscriptions(); len(items) != 1 || len(f.Subscriptions()) != 2 {
		t.Errorf("listed %v, want one of two", items)
	}
	f.ClearFaults()
	f.setFault(graphsim.Fault{Operation: "subscription-list", Kind: "empty", Times: 3})
	if _, sizes := f.listSubscriptions(); !slices.Equal(sizes, []int{0, 0, 0, 2}) {
		t.Errorf("page sizes = %v, want three empty pages first", sizes)
	}
	f.setFault(graphsim.Fault{Operation: "subscription-list", Kind: "repeat", Times: 2})
	if items, sizes := f.listSubscriptions(); !slices.Equal(sizes, []int{2, 2, 2}) || items[0]["id"] != items[4]["id"] {
		t.Errorf("page sizes = %v, want the same page three times", sizes)
	}
}

// listSubscriptions follows all pages of GET /subscriptions.
func (f *fixture) listSubscriptions() (items []map[string]any, sizes []int) {
	f.t.Helper()
	for next := f.URL() + "/v1.0/subscriptions"; next != ""; {
		a := f.send("GET", next, f.header(), nil)
		var page struct {
			Value []map[string]any `json:"value"`
			Next  string           `json:"@odata.nextLink"`
		}
		if err := json.Unmarshal(a.raw, &page); err != nil || a.status != 200 {
			f.t.Fatalf("GET %s = %d %s", next, a.status, a.raw)
		}
		items, sizes, next = append(items, page.Value...), append(sizes, len(page.Value)), page.Next
	}
	return items, sizes
}

func TestExpiredSubscriptions(t *testing.T) {
	f := start(t, graphsim.Config{})
	u, h := f.addUser("ann@contoso.example"), newHook(t)
	f.setFault(graphsim.Fault{Operation: "subscription-create", Kind: "short-life", Life: 1, Times: 1})
	id := f.subscribe(u, h, time.Hour)
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		var body any
		if method == "PATCH" {
			body = map[string]any{"expirationDateTime": time.Now().Add(time.Hour).UTC()}
		}
		if a := f.graph(method, "/subscriptions/"+id, body); a.status != 404 {
			t.Errorf("%s = %d %s, want 404", method, a.status, a.raw)
		}
	}
	if a := f.graph("POST", "/subscriptions/"+id+"/reauthorize", nil); a.status != 404 {
		t.Errorf("reauthorize = %d, want 404", a.status)
	}
	f.setOut(u)
	if items, _ := f.listSubscriptions(); len(items) != 1 || items[0]["id"] != id {
		t.Errorf("listed = %v, want still the expired one", items)
	}
	if subs := f.Subscriptions(); len(subs) != 0 {
		t.Errorf("live subscriptions = %+v, want none", subs)
	}
	again := f.subscribe(u, h, time.Hour) // no conflict
	f.setOut(u)
	items := h.waitFor(t, 1)
	if items[0]["subscriptionId"] != again {
		t.Errorf("item = %v, want one of the new subscription: the old one expired silently", items[0])
	}
}

func TestSubscriptionQuotas(t *testing.T) {
	t.Parallel()
	f := start(t, graphsim.Config{})
	path := "/subscriptions/" + f.subscribe(f.addUser("ann@contoso.example"), newHook(t), time.Hour) // one write
	before := f.Subscriptions()
	tests := map[string]struct {
		method, path string
		allowed      int
		good         int
	}{
		"writes":           {"PATCH", path, 499, 200},
		"lists":            {"GET", "/subscriptions", 25, 200},
		"reauthorizations": {"POST", path + "/reauthorize", 1000, 204},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for i := range tt.allowed {
				if a := f.graph(tt.method, tt.path, "{}"); a.status != tt.good {
					t.Fatalf("request %d = %d %s, want %d", i+1, a.status, a.raw, tt.good)
				}
			}
			if a := f.graph(tt.method, tt.path, "{}"); a.status != 429 || a.header.Get("Retry-After") == "" {
				t.Errorf("one more = %d %s, Retry-After %q, want 429 with Retry-After", a.status, a.raw, a.header.Get("Retry-After"))
			}
		})
	}
	if a := f.graph("GET", path, nil); a.status != 200 {
		t.Errorf("GET of one = %d, want 200: it has no quota", a.status)
	}
	if got := f.Stats().Throttled; got != 3 {
		t.Errorf("throttled = %d, want 3", got)
	}
	if after := f.Subscriptions(); !slices.Equal(after, before) {
		t.Errorf("subscriptions = %+v, want %+v: reauthorize does not change the expiry", after, before)
	}
}

func TestLimitOfUserSubscriptions(t *testing.T) {
	f := start(t, graphsim.Config{})
	h := newHook(t)
	users := f.addUsers(101)
	for i, u := range users {
		body := subscription(u, h, time.Hour)
		body["resource"], body["changeType"] = "users/"+u.ID, "updated"
		a := f.graph("POST", "/subscriptions", body)
		if want := map[bool]int{true: 201, false: 403}[i < 100]; a.status != want {
			t.Fatalf("number %d = %d %s, want %d", i+1, a.status, a.raw, want)
		}
	}
}
