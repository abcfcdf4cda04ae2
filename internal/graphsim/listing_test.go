package graphsim_test

import (
	"encoding/json"
	"slices"
	"strings"
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
	f.SetFault(graphsim.Fault{Operation: "subscription-list", Kind: "omit", User: ann.ID})
	if items, _ := f.listSubscriptions(); len(items) != 1 || len(f.Subscriptions()) != 2 {
		t.Errorf("listed %v, want one of two", items)
	}
	f.ClearFaults()
	f.SetFault(graphsim.Fault{Operation: "subscription-list", Kind: "empty", Times: 3})
	if _, sizes := f.listSubscriptions(); !slices.Equal(sizes, []int{0, 0, 0, 2}) {
		t.Errorf("page sizes = %v, want three empty pages first", sizes)
	}
	f.SetFault(graphsim.Fault{Operation: "subscription-list", Kind: "repeat", Times: 2})
	if items, sizes := f.listSubscriptions(); !slices.Equal(sizes, []int{2, 2, 2}) || items[0]["id"] != items[4]["id"] {
		t.Errorf("page sizes = %v, want the same page three times", sizes)
	}
}

// listSubscriptions follows all pages of GET /subscriptions.
func (f *fixture) listSubscriptions() (items []map[string]any, sizes []int) {
	f.T.Helper()
	for next := f.URL() + "/v1.0/subscriptions"; next != ""; {
		a := f.send("GET", next, f.header(), nil)
		var page struct {
			Value []map[string]any `json:"value"`
			Next  string           `json:"@odata.nextLink"`
		}
		if err := json.Unmarshal(a.raw, &page); err != nil || a.status != 200 {
			f.T.Fatalf("GET %s = %d %s", next, a.status, a.raw)
		}
		items, sizes, next = append(items, page.Value...), append(sizes, len(page.Value)), page.Next
	}
	return items, sizes
}

// TestExpiredSubscriptions creates subscriptions that expire at once.
func TestExpiredSubscriptions(t *testing.T) {
	for kind, granted := range map[string]time.Duration{"short-life": 0, "early-expiry": time.Hour} {
		t.Run(kind, func(t *testing.T) {
			f := start(t, graphsim.Config{})
			u, h := f.addUser("ann@contoso.example"), newHook(t)
			f.SetFault(graphsim.Fault{Operation: "subscription-create", Kind: kind, Life: 1, Times: 1, User: u.ID})
			a := f.graph("POST", "/subscriptions", subscription(u, h, time.Hour))
			expires, err := time.Parse(time.RFC3339Nano, a.body["expirationDateTime"].(string))
			if left := time.Until(expires); err != nil || left > granted || left < granted-time.Minute {
				t.Errorf("expiry = %v, %v, want %v from now", expires, err, granted)
			}
			path, later := "/subscriptions/"+a.body["id"].(string), map[string]any{"expirationDateTime": time.Now().Add(time.Hour).UTC()}
			for request, body := range map[string]any{"GET ": nil, "PATCH ": later, "DELETE ": nil, "POST /reauthorize": nil} {
				method, suffix, _ := strings.Cut(request, " ")
				f.graph(method, path+suffix, body).want(t, 404, "ResourceNotFound")
			}
			f.setOut(u)
			if items, _ := f.listSubscriptions(); len(items) != 1 || items[0]["id"] != a.body["id"] {
				t.Errorf("listed = %v, want still the expired one", items)
			}
			if subs := f.Subscriptions(); len(subs) != 0 {
				t.Errorf("live subscriptions = %+v, want none", subs)
			}
			again := f.subscribe(u, h, time.Hour) // no conflict
			f.setOut(u)
			if item := h.waitFor(t, 1)[0]; item["subscriptionId"] != again {
				t.Errorf("item = %v, want one of the new subscription: the old one expired silently", item)
			}
		})
	}
}

// TestQuotas exhausts the quotas of subscriptions and presence.
func TestQuotas(t *testing.T) {
	t.Parallel()
	f := start(t, graphsim.Config{})
	ann := f.addUser("ann@contoso.example")
	path := "/subscriptions/" + f.subscribe(ann, newHook(t), time.Hour) // one write
	before := f.Subscriptions()
	for _, tt := range []struct {
		name, method, path, body string
		allowed, good            int
	}{
		{"writes", "PATCH", path, "{}", 499, 200}, // first, because its window has begun
		{"lists", "GET", "/subscriptions", "", 25, 200},
		{"reauthorizations", "POST", path + "/reauthorize", "", 1000, 204},
		{"presence", "POST", "/communications/getPresencesByUserId", `{"ids":["` + ann.ID + `"]}`, 1500, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.allowed {
				if a := f.graph(tt.method, tt.path, tt.body); a.status != tt.good {
					t.Fatalf("request %d = %d %s, want %d", i+1, a.status, a.raw, tt.good)
				}
			}
			f.graph(tt.method, tt.path, tt.body).want(t, 429, "TooManyRequests")
		})
	}
	f.graph("GET", path, nil).want(t, 200, "") // it has no such quota, nor has a read
	f.read(ann).want(t, 200, "")
	if got := f.Stats().Throttled; got != 4 {
		t.Errorf("throttled = %d, want 4", got)
	}
	if after := f.Subscriptions(); !slices.Equal(after, before) {
		t.Errorf("subscriptions = %+v, want %+v: reauthorize does not change the expiry", after, before)
	}
}

func TestLimitOfUserSubscriptions(t *testing.T) {
	f := start(t, graphsim.Config{})
	h := newHook(t)
	users := f.AddUsers(101)
	for i, u := range users {
		body := subscription(u, h, time.Hour)
		body["resource"], body["changeType"] = "users/"+u.ID, "updated"
		a := f.graph("POST", "/subscriptions", body)
		if want := map[bool]int{true: 201, false: 403}[i < 100]; a.status != want {
			t.Fatalf("number %d = %d %s, want %d", i+1, a.status, a.raw, want)
		}
	}
}
