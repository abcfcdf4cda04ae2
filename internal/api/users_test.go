package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
)

// Those that are described are in TestAnswersAreAsDescribed.
func TestOtherRoutes(t *testing.T) {
	tests := map[string]struct {
		request
		status int
		answer string // contained
	}{
		"an address with a slash and plus": {get("/api/users/a%2Fb+c@contoso.example"), 200, `"email":"a/b+c@contoso.example"`},
		"a history of nothing":             {get("/api/users/ann@contoso.example/history"), 200, `{"events":[]}`},
		"many, too many":                   {postJSON("/api/users", `{"emails":[`+strings.Repeat(`"a",`, 10_000)+`"a"]}`), 400, "10000"},
		"an unknown path":                  {get("/nothing"), 404, `"error"`},
		"a slash at the end":               {postJSON("/monitor/", `{"email":"bob@contoso.example","status":"True"}`), 200, "<h1>"},
		"two slashes at the start":         {postJSON("//monitor", `{}`), 404, ""},
		"another method":                   {get("/monitor"), 405, `"error"`},
		"another method of the main page":  {post("/"), 405, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := monitorWorld()
			w.add(named("a/b+c@contoso.example"))
			answer, body := tt.ask(handler(t, w))
			if answer.Code != tt.status || !strings.Contains(body, tt.answer) {
				t.Errorf("%s %s = %d %q, want %d with %q", tt.method, tt.path, answer.Code, body, tt.status, tt.answer)
			}
			if h := answer.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || (h.Get("Allow") == "") != (tt.status != 405) {
				t.Errorf("headers = %v, want nosniff, no-store, and Allow with 405 only", h)
			}
		})
	}
}

func TestAUserInJSON(t *testing.T) {
	w := newWorld()
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.FixedZone("", 3600))
	w.add(ooo.User{Mailbox: ooo.Mailbox{
		Condition: ooo.Watching,
		Person:    ooo.Person{ID: "oid", UserPrincipalName: "ann@contoso.example", DisplayName: "Ann"},
		Setting:   &ooo.Setting{Status: ooo.Scheduled, ExternalAudience: "all", Start: at, End: at.Add(time.Hour), Message: "Hi"},
		State:     &ooo.State{Away: true, Message: "Hi"}, CheckedAt: at, ChangedAt: at,
		Subscriptions: []ooo.Subscription{{Resource: "/users/{id}/events", ID: "sub", State: ooo.SubscriptionLive, ExpiresAt: at}},
	}, Address: ooo.Address{
		Spelling: "Ann@contoso.example", Sequence: 3,
		Delivery: ooo.Delivery{State: ooo.DeliveryDelivered, Sequence: 3, Attempts: 2, DeliveredAt: at},
	}})
	_, body := get("/api/users/ann@contoso.example").ask(handler(t, w))
	want := `{"email":"Ann@contoso.example","id":"oid","userPrincipalName":"ann@contoso.example","displayName":"Ann","state":"watching",` +
		`"outOfOffice":true,"setting":{"status":"scheduled","externalAudience":"all","scheduledStart":"2026-11-24T09:00:00Z",` +
		`"scheduledEnd":"2026-11-24T10:00:00Z","message":"Hi"},"checkedAt":"2026-11-24T09:00:00Z","changedAt":"2026-11-24T09:00:00Z",` +
		`"delivery":{"state":"delivered","sequence":3,"attempts":2,"deliveredAt":"2026-11-24T09:00:00Z","nextAttemptAt":null},` +
		`"subscriptions":[{"id":"sub","resource":"/users/oid/events","expiresAt":"2026-11-24T09:00:00Z","state":"live","spokeAt":null}]}`
	if body != want {
		t.Errorf("user = %s\nwant   %s", body, want)
	}
	w.add(ooo.User{Mailbox: ooo.Mailbox{Condition: ooo.Unknown, Reason: "denied"}, Address: ooo.Address{Spelling: "ann@contoso.example"}})
	_, body = get("/api/users/ann@contoso.example").ask(handler(t, w))
	for _, part := range []string{`"state":"unknown"`, `"reason":"denied"`, `"outOfOffice":null`, `"setting":null`, `"checkedAt":null`, `"subscriptions":[]`} {
		if !strings.Contains(body, part) {
			t.Errorf("user = %s, want %s in it", body, part)
		}
	}
}

func TestPages(t *testing.T) {
	w := newWorld()
	for i := range 7 {
		w.add(named(fmt.Sprintf("user%d@contoso.example", i)))
	}
	h := handler(t, w)
	seen := 0
	for cursor, page := "", 0; page < 4; page++ {
		_, body := get("/api/users?limit=3&cursor=" + cursor).ask(h)
		var answer struct {
			Users  []struct{ Email string }
			Cursor *string
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		if seen += len(answer.Users); answer.Cursor == nil {
			break
		}
		cursor = *answer.Cursor
	}
	if seen != 7 {
		t.Errorf("%d users on all pages, want 7", seen)
	}
}

func TestReady(t *testing.T) {
	good := func(context.Context) (string, error) { return "fine", nil }
	bad := func(context.Context) (string, error) { return "", errors.New("login refused") }
	excused := func(is bool) func() bool { return func() bool { return is } }
	tests := map[string]struct {
		checks []api.Check
		status int
		answer string
	}{
		"all is well":               {[]api.Check{{Name: "redis", Required: true, Probe: good}}, 200, `{"checks":{"redis":{"ok":true,"required":true,"detail":"fine"}},"ready":true}`},
		"what is needed is missing": {[]api.Check{{Name: "graph", Required: true, Probe: bad}}, 503, `{"checks":{"graph":{"ok":false,"required":true,"error":"login refused"}},"ready":false}`},
		"what is needed is excused": {[]api.Check{{Name: "graph", Required: true, Excused: excused(true), Probe: bad}}, 200, `{"checks":{"graph":{"ok":false,"required":true,"excused":true,"error":"login refused"}},"ready":true}`},
		"it is excused no longer":   {[]api.Check{{Name: "graph", Required: true, Excused: excused(false), Probe: bad}}, 503, `{"checks":{"graph":{"ok":false,"required":true,"error":"login refused"}},"ready":false}`},
		"what is well has no need":  {[]api.Check{{Name: "graph", Required: true, Excused: excused(true), Probe: good}}, 200, `{"checks":{"graph":{"ok":true,"required":true,"detail":"fine"}},"ready":true}`},
		"what is not needed":        {[]api.Check{{Name: "mediator", Probe: bad}}, 200, `{"checks":{"mediator":{"ok":false,"required":false,"error":"login refused"}},"ready":true}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.checks = tt.checks
			h := handler(t, w)
			if response, body := get("/readyz").ask(h); response.Code != tt.status || body != tt.answer {
				t.Errorf("readyz = %d %s, want %d %s", response.Code, body, tt.status, tt.answer)
			}
			w.token = "the-token"
			if response, body := get("/readyz").ask(handler(t, w)); response.Code != tt.status || strings.Contains(body, "refused") || strings.Contains(body, "fine") {
				t.Errorf("readyz for strangers = %d %s, want %d without reasons", response.Code, body, tt.status)
			}
		})
	}
}
