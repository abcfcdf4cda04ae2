package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
)

func TestHistory(t *testing.T) {
	for query, want := range map[string]int{"": 100, "?limit=5": 5, "?limit=1000": 200} {
		f := monitorFixture()
		f.events = []ooo.Event{
			{At: time.Date(2026, 11, 24, 9, 0, 1, 0, time.UTC), Kind: ooo.EventDelivered, Sequence: 2, Attempt: 1, WebhookID: "wid"},
			{At: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), Kind: ooo.EventChanged, Source: ooo.SourcePoll, Sequence: 2, Away: new(true)},
		}
		_, body := get("/api/users/ann@contoso.example/history" + query).ask(handler(t, f))
		text := `{"events":[{"at":"2026-11-24T09:00:01Z","kind":"delivered","sequence":2,"attempt":1,"webhookId":"wid"},` +
			`{"at":"2026-11-24T09:00:00Z","kind":"changed","source":"poll","sequence":2,"outOfOffice":true}]}`
		if body != text || f.historyLimit != want {
			t.Errorf("history%s = %s, limit %d, want %s and %d", query, body, f.historyLimit, text, want)
		}
	}
}

func TestLimitParam(t *testing.T) {
	h := handler(t, monitorFixture())
	for limit, status := range map[string]int{
		"1": 200, "100000": 200, "99999999999999999999": 200, "0": 400, "-99999999999999999999": 400, "abc": 400, "": 400,
	} {
		for path, maximum := range map[string]string{"/api/users": "500", "/api/users/ann@contoso.example/history": "200"} {
			answer, body := get(path + "?limit=" + limit).ask(h)
			if answer.Code != status || status == 400 && !strings.Contains(body, "write limit as a number from 1 to "+maximum) {
				t.Errorf("GET %s?limit=%s = %d %s, want %d, with the allowed range if it is 400", path, limit, answer.Code, body, status)
			}
		}
	}
}

// unreadable is a body that must not be read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// announce sends a request with a body that must not be read.
func announce(t *testing.T, h http.Handler, method, path string, length int64) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, unreadable{t})
	r.ContentLength = length
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	return answer
}

func TestPrivateRoutesNeedTheToken(t *testing.T) {
	f := monitorFixture()
	f.token, f.unready = "the-token", true // the token is checked before Redis
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
		for _, length := range []int64{-1, 100, 5 << 20} {
			answer := announce(t, handler, route.Method, path, length)
			if answer.Code != http.StatusUnauthorized || len(answer.Header().Values("WWW-Authenticate")) != 2 || answer.Header().Get("Connection") != "close" {
				t.Errorf("%s %s without a token = %d %v, want 401 with two challenges, and the connection closed",
					route.Method, path, answer.Code, answer.Header())
			}
		}
	}
	if len(f.hints) != 0 || len(f.wishes) != 1 || f.syncRequests != 0 {
		t.Error("requests without the token had an effect")
	}
}

// TestTooLongBodiesAreNotRead announces bodies of one byte more than allowed.
func TestTooLongBodiesAreNotRead(t *testing.T) {
	f := monitorFixture()
	handler := handler(t, f)
	for route, longest := range map[string]int64{
		"POST /monitor": 64 << 10, "POST /api/users": 4 << 20, "PUT /api/users/bob@contoso.example": 64 << 10,
		"DELETE /api/users/ann@contoso.example": 64 << 10, "POST /api/users/ann@contoso.example/check": 64 << 10, "PUT /api/loglevel": 64 << 10,
	} {
		method, path, _ := strings.Cut(route, " ")
		answer := announce(t, handler, method, path, longest+1)
		if answer.Code != http.StatusRequestEntityTooLarge || answer.Header().Get("Connection") != "close" {
			t.Errorf("%s = %d %v, want 413, and the connection closed", route, answer.Code, answer.Header())
		}
	}
	if len(f.hints) != 0 || len(f.wishes) != 1 {
		t.Error("too long requests had an effect")
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
	tests := map[string]struct {
		request
		status int
		answer string // contained
	}{
		"slash and plus in an address": {get("/api/users/a%2Fb+c@contoso.example"), 200, `"email":"a/b+c@contoso.example"`},
		"empty history":                {get("/api/users/ann@contoso.example/history"), 200, `{"events":[]}`},
		"unknown path":                 {get("/nothing"), 404, `"error"`},
		"trailing slash":               {postJSON("/monitor/", `{"email":"bob@contoso.example","status":"True"}`), 200, "<h1>"},
		"two leading slashes":          {postJSON("//monitor", `{}`), 404, ""},
		"HEAD of a list":               {head("/api/users"), 200, ""},
		"HEAD of a user":               {head("/api/users/ann@contoso.example/"), 200, ""},
		"HEAD of an unknown user":      {head("/api/users/nobody@contoso.example"), 404, ""},
		"method not allowed":           {get("/monitor"), 405, `"error"`},
		"HEAD not allowed":             {head("/monitor"), 405, ""},
		"POST of the main page":        {post("/"), 405, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := monitorFixture()
			f.add(userNamed("a/b+c@contoso.example"))
			answer, body := tt.ask(handler(t, f))
			if answer.Code != tt.status || !strings.Contains(body, tt.answer) {
				t.Errorf("%s %s = %d %q, want %d with %q", tt.method, tt.path, answer.Code, body, tt.status, tt.answer)
			}
			h := answer.Header()
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || (h.Get("Allow") == "") != (tt.status != 405) {
				t.Errorf("headers = %v, want nosniff, no-store, and Allow only with 405", h)
			}
		})
	}
}
