package graph_test

import (
	"errors"
	"net/http"
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
	for sub, err := range c.Subscriptions(t.Context()) {
		if err != nil {
			t.Fatalf("Subscriptions = %v", err)
		}
		all = append(all, sub)
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
	for range c.Subscriptions(t.Context()) {
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
			c := newStub(t, func(w http.ResponseWriter, r *http.Request) {
				answerJSON(w, http.StatusOK, `{"value":[{"id":"1"},{"id":""}],"@odata.nextLink":"`+link+`"}`)
			}).client(t)
			var ids []ooo.SubscriptionID
			var last error
			for sub, err := range c.Subscriptions(t.Context()) {
				ids, last = append(ids, sub.ID), err
			}
			if len(ids) != 2 || ids[0] != "1" || !errors.Is(last, ooo.ErrUnavailable) {
				t.Errorf("Subscriptions = %v, %v, want the first page and then %v", ids, last, ooo.ErrUnavailable)
			}
		})
	}
	if n := strangers.Load(); n != 0 {
		t.Errorf("the other host was asked %d times, want never", n)
	}
}

func TestAnEndlessListEnds(t *testing.T) {
	t.Parallel()
	c := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		answerJSON(w, http.StatusOK, `{"value":[],"@odata.nextLink":"https://`+r.Host+`/v1.0/subscriptions?$skiptoken=2"}`)
	}).client(t)
	var last error
	for _, err := range c.Subscriptions(t.Context()) {
		last = err
	}
	if !errors.Is(last, ooo.ErrUnavailable) {
		t.Errorf("Subscriptions = %v, want %v", last, ooo.ErrUnavailable)
	}
}
