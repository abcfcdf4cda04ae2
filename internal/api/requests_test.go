package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
)

func TestHistoryAndLimits(t *testing.T) {
	const history = `{"events":[{"at":"2026-11-24T09:00:01Z","kind":"delivered","sequence":2,"attempt":1,"webhookId":"wid"},` +
		`{"at":"2026-11-24T09:00:00Z","kind":"changed","source":"poll","sequence":2,"outOfOffice":true}]}`
	for query, tt := range map[string]struct{ status, limit int }{
		"": {200, 100}, "?limit=1": {200, 1}, "?limit=1000": {200, 200}, "?limit=99999999999999999999": {200, 200},
		"?limit=0": {400, 0}, "?limit=-99999999999999999999": {400, 0}, "?limit=abc": {400, 0}, "?limit=&cursor=": {200, 100},
	} {
		f := monitorFixture()
		f.events = []ooo.Event{
			{At: time.Date(2026, 11, 24, 9, 0, 1, 0, time.UTC), Kind: ooo.EventDelivered, Sequence: 2, Attempt: 1, WebhookID: "wid"},
			{At: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), Kind: ooo.EventChanged, Source: ooo.SourcePoll, Sequence: 2, Away: new(true)},
		}
		h := handler(t, f)
		for path, list := range map[string]struct{ content, maximum string }{
			"/api/users/ann@contoso.example/history": {history, "200"}, "/api/users": {`"email":"Ann@contoso.example"`, "500"},
		} {
			want := list.content
			if tt.status == 400 {
				want = "write limit as a number from 1 to " + list.maximum
			}
			if answer, body := get(path + query).ask(h); answer.Code != tt.status || !strings.Contains(body, want) {
				t.Errorf("GET %s%s = %d %s, want %d with %s", path, query, answer.Code, body, tt.status, want)
			}
		}
		if f.historyLimit != tt.limit {
			t.Errorf("history%s has the limit %d, want %d", query, f.historyLimit, tt.limit)
		}
	}
}

func TestBodiesAreNotRead(t *testing.T) {
	f := monitorFixture()
	f.token, f.unready = "the-token", true // both are checked before Redis
	f.checks = []api.Check{{Name: "graph", Probe: func(context.Context) (string, error) { return "details", errAway }}}
	handler := handler(t, f)
	for _, route := range handler.Routes() {
		path := strings.ReplaceAll(route.Path, ":email", "ann@contoso.example")
		if strings.HasPrefix(path, "/healthz") || strings.HasPrefix(path, "/readyz") {
			if answer, body := get(path).ask(handler); answer.Code != 200 || strings.Contains(body, "details") || strings.Contains(body, "refused") {
				t.Errorf("%s without the token = %d %s, want 200 without reasons", path, answer.Code, body)
			}
			continue
		}
		longest := int64(64 << 10)
		if route.Method == http.MethodPost && strings.TrimSuffix(path, "/") == "/api/users" {
			longest = 4 << 20
		}
		for _, tt := range []struct {
			token              string
			length             int64
			status, challenges int
		}{
			{"", -1, 401, 2}, {"", 100, 401, 2}, {"", 5 << 20, 401, 2}, {"the-token", longest + 1, 413, 0},
		} {
			unread := strings.NewReader("x")
			r := httptest.NewRequestWithContext(t.Context(), route.Method, path, unread)
			r.ContentLength = tt.length
			r.Header.Set("Content-Type", "application/json")
			if tt.token != "" {
				r.SetBasicAuth("mediator", tt.token)
			}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, r)
			if h := answer.Header(); answer.Code != tt.status || len(h.Values("WWW-Authenticate")) != tt.challenges || h.Get("Connection") != "close" || unread.Len() == 0 {
				t.Errorf("%s %s of %d bytes with the token %q = %d %v, want %d with %d challenges, the connection closed and the body unread",
					route.Method, path, tt.length, tt.token, answer.Code, h, tt.status, tt.challenges)
			}
		}
	}
	if len(f.hints) != 0 || len(f.wishes) != 1 || f.syncRequests != 0 {
		t.Error("requests without the token, or with too long bodies, had an effect")
	}
}

func TestForbiddenRequests(t *testing.T) {
	f := monitorFixture()
	f.loopback = true
	f.checks = []api.Check{{Name: "redis", Probe: func(context.Context) (string, error) { return "10.0.0.7", nil }}}
	handler := handler(t, f)
	const local, evil = "http://localhost:8080", "http://evil.example"
	otherSite := map[string]string{"Sec-Fetch-Site": "cross-site"}
	for _, tt := range []struct {
		request
		status int
	}{
		{get(local + "/api/users"), 200}, {get(evil + "/api/users"), 403}, {get(evil + "/healthz"), 200}, {get(evil + "/readyz"), 200},
		{request{http.MethodGet, local + "/api/users", "", otherSite}, 200},
		{request{http.MethodDelete, local + "/api/users/ann@contoso.example", "", otherSite}, 403},
	} {
		answer, body := tt.ask(handler)
		if answer.Code != tt.status || strings.Contains(body, "10.0.0.7") || len(f.hints) > 0 {
			t.Errorf("%s %s %v = %d %s with hints %v, want %d and no details",
				tt.method, tt.path, tt.header, answer.Code, body, f.hintKeys(), tt.status)
		}
	}
}

// TestPaths has cases that openapi.json does not describe.
func TestPaths(t *testing.T) {
	for name, tt := range map[string]struct {
		request
		status int
		answer string // contained
	}{
		"slash and plus in an address": {get("/api/users/a%2Fb+c@contoso.example"), 200, `"email":"a/b+c@contoso.example"`},
		"empty history":                {get("/api/users/ann@contoso.example/history"), 200, `{"events":[]}`},
		"unknown path, not redirected": {get("/graph/lifecycle/"), 404, `"error"`},
		"trailing slash":               {postJSON("/monitor/", `{"email":"bob@contoso.example","status":"True"}`), 200, "<h1>"},
		"two leading slashes":          {postJSON("//monitor", `{}`), 404, ""},
		"HEAD of a user":               {head("/api/users/ann@contoso.example/"), 200, ""},
		"HEAD of an unknown user":      {head("/api/users/nobody@contoso.example"), 404, ""},
		"method not allowed":           {get("/monitor"), 405, `"error"`},
		"damaged wish":                 {post("/api/users/damaged@contoso.example/check"), 500, "start or stop monitoring the user"},
	} {
		f := monitorFixture()
		f.add(userNamed("a/b+c@contoso.example"))
		f.wishes["damaged@contoso.example"] = ooo.Wish{Nonce: "1"}
		answer, body := tt.ask(fullEngine(t, f))
		if answer.Code != tt.status || !strings.Contains(body, tt.answer) {
			t.Errorf("%s: %s %s = %d %q, want %d with %q", name, tt.method, tt.path, answer.Code, body, tt.status, tt.answer)
		}
		h := answer.Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || (h.Get("Allow") == "") != (tt.status != 405) {
			t.Errorf("%s: headers = %v, want nosniff, no-store, and Allow only with 405", name, h)
		}
	}
}
