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

// Graph has sent empty pages and repeated pages while all subscriptions existed. The second
// request of each listing is throttled: the loop continues with the same page.
func TestSubscriptionPages(t *testing.T) {
	t.Parallel()
	other := serveNobody(t)
	const self, path = "//self", "/v1.0/subscriptions?$skiptoken="
	const anotherHost, repeats = "the link leads to another host", "Graph repeats a page"
	page := func(number int) string { return "https:" + self + path + strconv.Itoa(number) }
	always := func(link string) func(int) string { return func(int) string { return link } }
	tests := map[string]struct {
		empty         int                   // pages before the first subscription
		next          func(page int) string // the link to the next page; empty on the last one
		subscriptions int
		requests      int32
		err           string
	}{
		"one page": {0, always(""), 1, 1, ""},
		"sixty empty pages": {60, func(n int) string {
			if n > 60 {
				return ""
			}
			return page(n + 1)
		}, 1, 62, ""},
		"repeated page":  {0, always(page(1)), 2, 3, repeats},
		"cycle of pages": {0, func(n int) string { return page(n%3 + 1) }, 4, 5, repeats},
		"endless":        {1e6, func(n int) string { return page(n + 1) }, 0, 10_001, "Graph sends too many pages"},
		"another port":   {0, always(other + path + "2"), 1, 1, anotherHost},
		"another host":   {0, always("https://graph.example" + path + "2"), 1, 1, anotherHost},
		"without TLS":    {0, always("http:" + self + path + "2"), 1, 1, anotherHost},
		"with userinfo":  {0, always("https://self@" + strings.TrimPrefix(other, "https://") + path + "2"), 1, 1, anotherHost},
		"without host":   {0, always(path + "2"), 1, 1, anotherHost},
		"malformed":      {0, always("https://%zz"), 1, 1, anotherHost},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			c := newStub(t, func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1) == 2 {
					w.Header().Set("Retry-After", "7")
					writeJSON(w, http.StatusTooManyRequests, "")
					return
				}
				page, err := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
				if err != nil {
					page = 1
				}
				body := `{"value":[{"id":""}`
				if page > tt.empty {
					body += `,{"id":"1"}`
				}
				body += `],"@odata.nextLink":"` + strings.Replace(tt.next(page), self, "//"+r.Host, 1) + `"}`
				writeJSON(w, http.StatusOK, body)
			}).client(t)
			found, waits := 0, 0
			var last error
			for listed, err := range c.SubscriptionPages(t.Context()) {
				found += len(listed)
				switch wait, ok := errors.AsType[*ooo.Throttled](err); {
				case ok && wait.After == 7*time.Second:
					waits++
				case err != nil && last != nil:
					t.Fatalf("the listing continues with %v after %v", err, last)
				default:
					last = err
				}
			}
			if found != tt.subscriptions || requests.Load() != tt.requests || waits != min(1, int(tt.requests)-1) {
				t.Errorf("%d subscriptions in %d requests with %d waits, want %d in %d", found, requests.Load(), waits, tt.subscriptions, tt.requests)
			}
			switch {
			case tt.err == "" && last == nil:
			case !errors.Is(last, ooo.ErrUnavailable), !strings.HasSuffix(last.Error(), "incomplete: "+tt.err):
				t.Errorf("the listing ends with %v, want %q", last, tt.err)
			}
		})
	}
}
