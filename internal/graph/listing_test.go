package graph_test

import (
	"errors"
	"net/http"
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

func TestListsPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	hook := newHook(t)
	made := make(map[ooo.SubscriptionID]bool)
	for _, id := range w.users(205) {
		sub, err := c.CreateSubscription(t.Context(), wanted(id, hook.URL, time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		made[sub.ID] = true
	}
	for _, sub := range list(t, c) {
		if !made[sub.ID] {
			t.Errorf("listed %s, want each that was made, once", sub.ID)
		}
		delete(made, sub.ID)
	}
	if len(made) != 0 {
		t.Errorf("%d are not listed, want all", len(made))
	}
	if got := w.seen.of("subscription-list", 200); got != 3 {
		t.Errorf("%d pages, want 3", got)
	}
	for range c.SubscriptionPages(t.Context()) {
		break
	}
	if got := w.seen.of("subscription-list", 200); got != 4 {
		t.Errorf("a listing that ends early asked for %d pages, want 1", got-3)
	}
}

func TestFollowsNoLinkToAnotherHost(t *testing.T) {
	t.Parallel()
	var strangers atomic.Int32
	elsewhere := serveTLS(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strangers.Add(1) }))
	for name, link := range map[string]string{
		"another port":     elsewhere.URL + "/v1.0/subscriptions?$skiptoken=2",
		"another host":     "https://graph.example/v1.0/subscriptions",
		"without TLS":      strings.Replace(elsewhere.URL, "https", "http", 1),
		"a name before it": "https://graph@" + strings.TrimPrefix(elsewhere.URL, "https://") + "/v1.0/subscriptions",
		"no host at all":   "/v1.0/subscriptions?$skiptoken=2",
		"no URL":           "https://%zz",
	} {
		t.Run(name, func(t *testing.T) {
			c := newStub(t, answers(http.StatusOK, `{"value":[{"id":"1"},{"id":""}],"@odata.nextLink":"`+link+`"}`)).client(t)
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
	if n := strangers.Load(); n != 0 {
		t.Errorf("the other host was asked %d times, want never", n)
	}
}

// Graph has listed nothing but empty pages, and the same page again and again, while
// everything lived.
func TestListsThatAreOdd(t *testing.T) {
	t.Parallel()
	const last = 61
	tests := map[string]struct {
		answer func(page int) (status int, body, next string)
		want   int // subscriptions
		calls  int
		err    string
	}{
		"sixty empty pages": {func(page int) (int, string, string) {
			if page == last {
				return 200, `{"id":"1"}`, ""
			}
			return 200, "", strconv.Itoa(page + 1)
		}, 1, last, ""},
		"a page that repeats": {func(page int) (int, string, string) { return 200, `{"id":"1"}`, "1" }, 2, 2, "incomplete: Graph repeats a page"},
		"pages that go round": {func(page int) (int, string, string) { return 200, `{"id":"1"}`, strconv.Itoa((page + 1) % 3) }, 3, 3, "incomplete: Graph repeats a page"},
		"a list without end":  {func(page int) (int, string, string) { return 200, "", strconv.Itoa(page + 1) }, 0, 2000, "incomplete: Graph sends too many pages"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			calls := 0
			c := newStub(t, func(w http.ResponseWriter, r *http.Request) {
				calls++
				page, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
				if page == 0 {
					page = 1
				}
				status, body, next := tt.answer(page)
				if next != "" {
					next = `,"@odata.nextLink":"https://` + r.Host + `/v1.0/subscriptions?$skiptoken=` + next + `"`
				}
				answerJSON(w, status, `{"value":[`+body+`]`+next+`}`)
			}).client(t)
			found, text := 0, ""
			for listed, err := range c.SubscriptionPages(t.Context()) {
				if found += len(listed); err != nil {
					text = err.Error()
				}
			}
			if found != tt.want || calls != tt.calls || !strings.HasSuffix(text, tt.err) || (text == "") != (tt.err == "") {
				t.Errorf("SubscriptionPages = %d in %d calls, %q, want %d in %d, %q", found, calls, text, tt.want, tt.calls, tt.err)
			}
		})
	}
}

func TestAListGoesOnAfterAWait(t *testing.T) {
	t.Parallel()
	calls := 0
	c := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		switch calls++; calls {
		case 1:
			answerJSON(w, http.StatusOK, `{"value":[{"id":"1"}],"@odata.nextLink":"https://`+r.Host+`/v1.0/subscriptions?$skiptoken=2"}`)
		case 2:
			w.Header().Set("Retry-After", "7")
			answerJSON(w, http.StatusTooManyRequests, graphError("TooManyRequests", ""))
		default:
			answerJSON(w, http.StatusOK, `{"value":[{"id":"`+r.URL.Query().Get("$skiptoken")+`"}]}`)
		}
	}).client(t)
	var story []string
	for listed, err := range c.SubscriptionPages(t.Context()) {
		if wait, ok := errors.AsType[*ooo.Throttled](err); ok {
			story = append(story, wait.After.String())
		}
		for _, sub := range listed {
			story = append(story, string(sub.ID))
		}
	}
	if got := strings.Join(story, " "); got != "1 7s 2" {
		t.Errorf("SubscriptionPages = %s, want the first page, the wait, and the second page", got)
	}
}
