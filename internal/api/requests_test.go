package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
)

func TestWhatIsAskedForIsLeftToTheOwner(t *testing.T) {
	tests := map[string]string{
		"/api/users/ANN@contoso.example/check":    "[check id-ann-at-contoso.example]",
		"/api/users/ANN@contoso.example/resend":   "[resend id-ann-at-contoso.example ann@contoso.example]",
		"/api/users/nobody@contoso.example/check": "[]",
	}
	for path, want := range tests {
		w := monitorWorld()
		response, _ := post(path).ask(handler(t, w))
		if got := fmt.Sprint(w.left()); got != want || (response.Code == 202) != (want != "[]") {
			t.Errorf("POST %s = %d with hints %s, want %s", path, response.Code, got, want)
		}
		for _, h := range w.hints {
			if h.Nonce == "" || h.At.IsZero() || h.Source != ooo.SourceRequest {
				t.Errorf("hint = %+v, want a nonce, a time and a source", h)
			}
		}
	}
}

func TestTheSpellingIsTheMediators(t *testing.T) {
	w := monitorWorld()
	h := handler(t, w)
	asJSON(`{"email":" BOB@Contoso.example ","status":"True"}`).ask(h)
	asJSON(`{"email":"aNN@contoso.example","status":"True"}`).ask(h)
	put("/api/users/O'Hara%2Bx@contoso.example").ask(h)
	for _, operator := range []request{
		put("/api/users/bob@contoso.example"),
		{"POST", "/api/users", `{"emails":["ann@contoso.example"]}`, map[string]string{"Content-Type": "application/json"}},
	} {
		operator.ask(h)
	}
	if want := []string{"BOB@Contoso.example", "aNN@contoso.example", "O'Hara+x@contoso.example"}; !slices.Equal(w.starts, want) {
		t.Errorf("written = %q, want %q: the operator respells nobody", w.starts, want)
	}
}

func TestTheLastOfDoubledFieldsCounts(t *testing.T) {
	w := monitorWorld()
	response, body := asJSON(`{"status":"False","email":"ann@contoso.example","email":"bob@contoso.example","status":"True"}`).ask(handler(t, w))
	if want := []string{"bob@contoso.example"}; response.Code != 200 || !slices.Equal(w.starts, want) {
		t.Errorf("answer = %d %q with %q started, want 200 with %q", response.Code, body, w.starts, want)
	}
}

func TestHistory(t *testing.T) {
	for query, want := range map[string]int{"": 100, "?limit=5": 5, "?limit=1000": 200} {
		w := monitorWorld()
		w.events = []ooo.Event{
			{At: time.Date(2026, 11, 24, 9, 0, 1, 0, time.UTC), Kind: ooo.EventDelivered, Sequence: 2, Attempt: 1, WebhookID: "wid"},
			{At: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), Kind: ooo.EventChanged, Source: ooo.SourcePoll, Sequence: 2, Away: new(true)},
		}
		_, body := get("/api/users/ann@contoso.example/history" + query).ask(handler(t, w))
		text := `{"events":[{"at":"2026-11-24T09:00:01Z","kind":"delivered","sequence":2,"attempt":1,"webhookId":"wid"},` +
			`{"at":"2026-11-24T09:00:00Z","kind":"changed","source":"poll","sequence":2,"outOfOffice":true}]}`
		if body != text || w.asked != want {
			t.Errorf("history%s = %s, %d asked for, want %s and %d", query, body, w.asked, text, want)
		}
	}
}

func TestALimitIsANumber(t *testing.T) {
	tests := map[string]struct {
		limit  string
		status int
	}{
		"the least":               {"1", 200},
		"more than is ever given": {"100000", 200},
		"more than a number can":  {"99999999999999999999", 200},
		"none":                    {"0", 400},
		"below none":              {"-1", 400},
		"far below none":          {"-99999999999999999999", 400},
		"a word":                  {"abc", 400},
		"nothing":                 {"", 400},
		"a part of one":           {"1.5", 400},
	}
	h := handler(t, monitorWorld())
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for path, most := range map[string]string{"/api/users": "500", "/api/users/ann@contoso.example/history": "200"} {
				response, body := get(path + "?limit=" + tt.limit).ask(h)
				if response.Code != tt.status {
					t.Errorf("GET %s?limit=%s = %d %s, want %d", path, tt.limit, response.Code, body, tt.status)
				}
				if tt.status == 400 && !strings.Contains(body, "write limit as a number from 1 to "+most) {
					t.Errorf("GET %s?limit=%s = %s, want it to say what to write", path, tt.limit, body)
				}
			}
		})
	}
}

func TestMany(t *testing.T) {
	many := func(n int) string {
		body, err := json.Marshal(map[string][]string{"emails": slices.Repeat([]string{"bob@contoso.example"}, n)})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	tests := map[string]struct {
		body            string
		status          int
		results, starts int
	}{
		"none":                           {`{"emails":[]}`, 202, 0, 0},
		"doubled ones are each answered": {many(3), 202, 3, 1},
		"as many as may be":              {many(10_000), 202, 10_000, 1},
		"one more":                       {many(10_001), 400, 0, 0},
		"a body over 4 MiB":              {`{"emails":["` + strings.Repeat("a", 4<<20) + `"]}`, 413, 0, 0},
		"a null list":                    {`{"emails":null}`, 400, 0, 0},
		"a list that is a text":          {`{"emails":"bob@contoso.example"}`, 400, 0, 0},
		"only wrong ones":                {`{"emails":["x",null,{}]}`, 202, 3, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			response, body := postJSON("/api/users", tt.body).ask(handler(t, w))
			var answer struct {
				Results []struct{ Email, Result, Error string }
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatal(err)
			}
			if response.Code != tt.status || len(answer.Results) != tt.results || len(w.starts) != tt.starts || w.lookups != 0 {
				t.Errorf("answer = %d with %d results, %d starts and %d look-ups, want %d with %d, %d and none",
					response.Code, len(answer.Results), len(w.starts), w.lookups, tt.status, tt.results, tt.starts)
			}
			for _, r := range answer.Results {
				if (r.Result == "accepted") == (r.Error != "") {
					t.Errorf("result = %+v, want an error exactly with invalid ones", r)
				}
			}
		})
	}
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body is read before the token is known")
	return 0, io.EOF
}

// TestEverythingPrivateNeedsTheToken sends bodies, declared or not, that are never read.
func TestEverythingPrivateNeedsTheToken(t *testing.T) {
	w := monitorWorld()
	w.token, w.unready = "the-token", true // strangers don't even learn whether Redis is there
	handler := handler(t, w)
	for _, route := range []string{
		"GET /", "HEAD /", "POST /monitor", "POST /monitor/", "GET /api/users", "POST /api/users", "GET /api/users/ann@contoso.example",
		"PUT /api/users/bob@contoso.example", "DELETE /api/users/ann@contoso.example", "POST /api/users/ann@contoso.example/check",
		"POST /api/users/ann@contoso.example/resend", "GET /api/users/ann@contoso.example/history", "GET /metrics", "GET /api/openapi.json",
		"PUT /api/loglevel", "GET /debug/pprof", "GET /debug/pprof/heap",
	} {
		method, path, _ := strings.Cut(route, " ")
		for _, length := range []int64{-1, 100, 5 << 20} {
			r := httptest.NewRequestWithContext(t.Context(), method, path, unread{t})
			r.ContentLength = length
			r.Header.Set("Content-Type", "application/json")
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, r)
			if answer.Code != http.StatusUnauthorized || len(answer.Header().Values("WWW-Authenticate")) != 2 || answer.Header().Get("Connection") != "close" {
				t.Errorf("%s without a token = %d %v, want 401, how to do better, and the connection closed", route, answer.Code, answer.Header())
			}
		}
	}
	if len(w.starts) != 0 || len(w.hints) != 0 || len(w.wishes) != 1 || w.owed != 0 {
		t.Error("a stranger changed something, or made the service owe a sync, want neither")
	}
}

func TestAnotherSiteChangesNothing(t *testing.T) {
	const site, origin = "Sec-Fetch-Site", "Origin"
	tests := map[string]struct {
		request
		status int
	}{
		"a start":         {request{"POST", "/monitor", `{}`, map[string]string{site: "cross-site"}}, 403},
		"a sync":          {request{"GET", "/", "", map[string]string{site: "cross-site"}}, 403},
		"a stop":          {request{"DELETE", "/api/users/ann@contoso.example", "", map[string]string{site: "cross-site"}}, 403},
		"a look":          {request{"GET", "/api/users", "", map[string]string{site: "cross-site"}}, 200},
		"the page itself": {request{"DELETE", "/api/users/ann@contoso.example", "", map[string]string{site: "same-origin"}}, 204},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := monitorWorld()
			if response, body := tt.ask(handler(t, w)); response.Code != tt.status || tt.status == 403 && len(w.hints) > 0 {
				t.Errorf("answer = %d %s with hints %v, want %d", response.Code, body, w.left(), tt.status)
			}
		})
	}
}

func TestWithoutATokenOnlyLoopbackHostsAreServed(t *testing.T) {
	w := monitorWorld()
	w.loopback = true
	w.checks = []api.Check{{Name: "redis", Probe: func(context.Context) (string, error) { return "10.0.0.7", nil }}}
	handler := handler(t, w)
	for path, want := range map[string]int{
		"//localhost:8080/api/users": 200, "//evil.example/api/users": 403, "//evil.example/healthz": 200, "//evil.example/readyz": 200,
	} {
		answer, body := get("http:" + path).ask(handler)
		if answer.Code != want || strings.Contains(body, "10.0.0.7") {
			t.Errorf("GET %s = %d %s, want %d and no inside address", path, answer.Code, body, want)
		}
	}
}
