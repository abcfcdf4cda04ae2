package graph_test

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func list(t *testing.T, c *graph.Client) []ooo.GraphSubscription {
	t.Helper()
	var all []ooo.GraphSubscription
	for listed, err := range c.SubscriptionPages(t.Context()) {
		if err != nil {
			t.Fatalf("SubscriptionPages = %v", err)
		}
		all = append(all, listed...)
	}
	return all
}

func TestSubscriptionPages(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 205)
	hook := newHook(t)
	created := make(map[ooo.SubscriptionID]bool)
	for _, id := range ids {
		sub, err := c.CreateSubscription(t.Context(), subscriptionRequest(id, hook.URL, time.Hour))
		e.must(err)
		created[sub.ID] = true
	}
	var waits []string
	for listed, err := range c.SubscriptionPages(t.Context()) {
		if wait, ok := errors.AsType[*ooo.Throttled](err); ok {
			waits = append(waits, wait.After.String())
		} else if len(waits) == 0 { // before the second page
			e.setFault(graphsim.Fault{Operation: "subscription-list", Kind: "throttle", RetryAfter: graphsim.Duration(7 * time.Second), Times: 1})
		}
		for _, sub := range listed {
			if !created[sub.ID] {
				t.Errorf("listed %s, want each created subscription once", sub.ID)
			}
			delete(created, sub.ID)
		}
	}
	if len(created) != 0 {
		t.Errorf("%d subscriptions not listed, want all", len(created))
	}
	if got := e.requests.count("subscription-list", 200); got != 3 || !slices.Equal(waits, []string{"7s"}) {
		t.Errorf("%d pages, waits %v, want 3 pages and to continue after one wait of 7s", got, waits)
	}
	for range c.SubscriptionPages(t.Context()) {
		break
	}
	if got := e.requests.count("subscription-list", 200); got != 4 {
		t.Errorf("a loop that breaks requested %d pages, want 1", got-3)
	}
}

func TestLinkToAnotherHost(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	other := serveTLS(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	for name, link := range map[string]string{
		"another port":  other.URL + "/v1.0/subscriptions?$skiptoken=2",
		"another host":  "https://graph.example/v1.0/subscriptions",
		"without TLS":   strings.Replace(other.URL, "https", "http", 1),
		"with userinfo": "https://graph@" + strings.TrimPrefix(other.URL, "https://") + "/v1.0/subscriptions",
		"without host":  "/v1.0/subscriptions?$skiptoken=2",
		"malformed":     "https://%zz",
	} {
		t.Run(name, func(t *testing.T) {
			c := newStub(t, respond(http.StatusOK, `{"value":[{"id":"1"},{"id":""}],"@odata.nextLink":"`+link+`"}`)).client(t)
			var ids []ooo.SubscriptionID
			var last error
			for listed, err := range c.SubscriptionPages(t.Context()) {
				for _, sub := range listed {
					ids = append(ids, sub.ID)
				}
				last = err
			}
			if len(ids) != 1 || ids[0] != "1" || !errors.Is(last, ooo.ErrUnavailable) {
				t.Errorf("SubscriptionPages = %v, %v, want the first page and then %v", ids, last, ooo.ErrUnavailable)
			}
		})
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("the other host got %d requests, want none", n)
	}
}

// Graph has sent empty pages and repeated pages while all subscriptions existed.
func TestUnusualListings(t *testing.T) {
	t.Parallel()
	const sub, repeated = `{"id":"1"}`, "incomplete: Graph repeats a page"
	tests := map[string]struct {
		answer        func(page int) (body string, next int) // next is 0 on the last page
		subscriptions int
		requests      int32
		err           string
	}{
		"sixty empty pages": {func(page int) (string, int) {
			if page == 61 {
				return sub, 0
			}
			return "", page + 1
		}, 1, 61, ""},
		"repeated page":  {func(page int) (string, int) { return sub, 1 }, 2, 2, repeated},
		"cycle of pages": {func(page int) (string, int) { return sub, page%3 + 1 }, 4, 4, repeated},
		"endless":        {func(page int) (string, int) { return "", page + 1 }, 0, 10_000, "incomplete: Graph sends too many pages"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			c := newStub(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				page, err := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
				if err != nil {
					page = 1
				}
				body, next := tt.answer(page)
				link := ""
				if next > 0 {
					link = `,"@odata.nextLink":"https://` + r.Host + `/v1.0/subscriptions?$skiptoken=` + strconv.Itoa(next) + `"`
				}
				writeJSON(w, http.StatusOK, `{"value":[`+body+`]`+link+`}`)
			}).client(t)
			found, text := 0, ""
			for listed, err := range c.SubscriptionPages(t.Context()) {
				if found += len(listed); err != nil {
					text = err.Error()
				}
			}
			if found != tt.subscriptions || requests.Load() != tt.requests || !strings.HasSuffix(text, tt.err) || (text == "") != (tt.err == "") {
				t.Errorf("SubscriptionPages = %d in %d requests, %q, want %d in %d, %q", found, requests.Load(), text, tt.subscriptions, tt.requests, tt.err)
			}
		})
	}
}
