package graphsim_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

func TestFaultyLists(t *testing.T) {
	w := start(t, graphsim.Config{})
	h := newHook(t)
	ann := w.user("ann@contoso.example")
	w.subscribe(ann, h, time.Hour)
	w.subscribe(w.user("bob@contoso.example"), h, time.Hour)
	w.fault(graphsim.Fault{Operation: "subscription-list", Kind: "omit", User: ann.ID})
	if items, _ := w.listSubscriptions(); len(items) != 1 || len(w.Subscriptions()) != 2 {
		t.Errorf("listed %v, want one of two", items)
	}
	w.ClearFaults()
	w.fault(graphsim.Fault{Operation: "subscription-list", Kind: "empty", Times: 3})
	if _, sizes := w.listSubscriptions(); !slices.Equal(sizes, []int{0, 0, 0, 2}) {
		t.Errorf("pages = %v, want three empty ones before the one that lists", sizes)
	}
	w.fault(graphsim.Fault{Operation: "subscription-list", Kind: "repeat", Times: 2})
	if items, sizes := w.listSubscriptions(); !slices.Equal(sizes, []int{2, 2, 2}) || items[0]["id"] != items[4]["id"] {
		t.Errorf("pages = %v, want the same one three times", sizes)
	}
}

// listSubscriptions follows all pages of GET /subscriptions.
func (w *world) listSubscriptions() (items []map[string]any, sizes []int) {
	w.t.Helper()
	for next := w.URL() + "/v1.0/subscriptions"; next != ""; {
		a := w.ask("GET", next, w.header(), nil)
		var page struct {
			Value []map[string]any `json:"value"`
			Next  string           `json:"@odata.nextLink"`
		}
		if err := json.Unmarshal(a.raw, &page); err != nil || a.status != 200 {
			w.t.Fatalf("GET %s = %d %s", next, a.status, a.raw)
		}
		items, sizes, next = append(items, page.Value...), append(sizes, len(page.Value)), page.Next
	}
	return items, sizes
}

func TestListSubscriptions(t *testing.T) {
	w := start(t, graphsim.Config{})
	h := newHook(t)
	users := w.users(130)
	ids := make(map[any]bool)
	for _, u := range users {
		ids[w.subscribe(u, h, time.Hour)] = true
	}
	items, sizes := w.listSubscriptions()
	if !slices.Equal(sizes, []int{100, 30}) {
		t.Errorf("pages = %v, want 100 and 30", sizes)
	}
	for _, item := range items {
		if state, there := item["clientState"]; !there || state != nil {
			t.Fatalf("clientState = %v, want null", state)
		}
		delete(ids, item["id"])
	}
	if len(ids) != 0 {
		t.Errorf("%d subscriptions are missing", len(ids))
	}
	one := w.graph("GET", "/subscriptions/"+items[0]["id"].(string), nil)
	if one.status != 200 || one.body["clientState"] != nil {
		t.Errorf("GET of one = %d %s, want 200 without clientState", one.status, one.raw)
	}
}

func TestExpiredSubscriptionsAreGoneButListedForAWhile(t *testing.T) {
	w := start(t, graphsim.Config{})
	u, h := w.user("ann@contoso.example"), newHook(t)
	w.fault(graphsim.Fault{Operation: "subscription-create", Kind: "short-life", Life: 1, Times: 1})
	id := w.subscribe(u, h, time.Hour)
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		var body any
		if method == "PATCH" {
			body = map[string]any{"expirationDateTime": time.Now().Add(time.Hour).UTC()}
		}
		if a := w.graph(method, "/subscriptions/"+id, body); a.status != 404 {
			t.Errorf("%s = %d %s, want 404", method, a.status, a.raw)
		}
	}
	if a := w.graph("POST", "/subscriptions/"+id+"/reauthorize", nil); a.status != 404 {
		t.Errorf("reauthorize = %d, want 404", a.status)
	}
	w.setOut(u)
	if items, _ := w.listSubscriptions(); len(items) != 1 || items[0]["id"] != id {
		t.Errorf("listed = %v, want the expired one still", items)
	}
	if subs := w.Subscriptions(); len(subs) != 0 {
		t.Errorf("living ones = %+v, want none", subs)
	}
	again := w.subscribe(u, h, time.Hour) // the combination is free
	w.setOut(u)
	items := h.only(t, 1)
	if items[0]["subscriptionId"] != again {
		t.Errorf("item = %v, want one of the new subscription: the old one notifies of nothing, not even its end", items[0])
	}
}

func TestSubscriptionQuotas(t *testing.T) {
	t.Parallel()
	w := start(t, graphsim.Config{})
	path := "/subscriptions/" + w.subscribe(w.user("ann@contoso.example"), newHook(t), time.Hour) // the first write
	before := w.Subscriptions()
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
				if a := w.graph(tt.method, tt.path, "{}"); a.status != tt.good {
					t.Fatalf("request %d = %d %s, want %d", i+1, a.status, a.raw, tt.good)
				}
			}
			if a := w.graph(tt.method, tt.path, "{}"); a.status != 429 || a.header.Get("Retry-After") == "" {
				t.Errorf("one more = %d %s, Retry-After %q, want 429 and a wait", a.status, a.raw, a.header.Get("Retry-After"))
			}
		})
	}
	if a := w.graph("GET", path, nil); a.status != 200 {
		t.Errorf("GET of one = %d, want 200: it has no such quota", a.status)
	}
	if got := w.Stats().Throttled; got != 3 {
		t.Errorf("throttled = %d, want 3", got)
	}
	if after := w.Subscriptions(); !slices.Equal(after, before) {
		t.Errorf("subscriptions = %+v, want %+v still: to reauthorize leaves the expiry", after, before)
	}
}

func TestSubscriptionsToUsersAreFew(t *testing.T) {
	w := start(t, graphsim.Config{})
	h := newHook(t)
	users := w.users(101)
	for i, u := range users {
		body := subscription(u, h, time.Hour)
		body["resource"], body["changeType"] = "users/"+u.ID, "updated"
		a := w.graph("POST", "/subscriptions", body)
		if want := map[bool]int{true: 201, false: 403}[i < 100]; a.status != want {
			t.Fatalf("number %d = %d %s, want %d", i+1, a.status, a.raw, want)
		}
	}
}
