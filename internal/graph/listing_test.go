package graph_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
)

func list(t *testing.T, c *graph.Client) []ooo.GraphSubscription {
	t.Helper()
	var all []ooo.GraphSubscription
	for link := ""; ; {
		listed, next, err := c.SubscriptionPage(t.Context(), link)
		must.NoError(t, err)
		all = append(all, listed...)
		if link = next; link == "" {
			return all
		}
	}
}

// Graph has sent empty pages while all subscriptions existed.
func TestSubscriptionPages(t *testing.T) {
	t.Parallel()
	c := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		bodies := map[string]string{
			"":  `{"value":[{"id":""}],"@odata.nextLink":"https://%s/v1.0/subscriptions?$skiptoken=2"}`,
			"2": `{"value":[{"id":""},{"id":"1"}],"@odata.nextLink":"https://%s/v1.0/subscriptions?$skiptoken=3"}`,
			"3": `{"value":[{"id":"2"}],"@odata.nextLink":"%.0s"}`,
		}
		writeJSON(w, http.StatusOK, fmt.Sprintf(bodies[r.URL.Query().Get("$skiptoken")], r.Host))
	}).client(t)
	if listed := list(t, c); len(listed) != 2 || listed[0].ID != "1" || listed[1].ID != "2" {
		t.Errorf("SubscriptionPage = %+v, want those of all pages", listed)
	}
}

func TestLinkToAnotherHost(t *testing.T) {
	t.Parallel()
	s, other := newStub(t, http.NotFound), serveNobody(t)
	c, own := s.client(t), strings.TrimPrefix(s.config.Endpoint, "https://")
	const path = "/v1.0/subscriptions?$skiptoken=2"
	for _, link := range []string{
		other + path, "https://graph.example" + path, "http://" + own + path,
		"https://" + own + "@" + strings.TrimPrefix(other, "https://") + path, path, "https://%zz",
	} {
		_, _, err := c.SubscriptionPage(t.Context(), link)
		if !errors.Is(err, ooo.ErrUnavailable) || !strings.HasSuffix(err.Error(), "another host") {
			t.Errorf("SubscriptionPage at %s = %v, want it refused", link, err)
		}
	}
}
