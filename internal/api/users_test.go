package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

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
		"method not allowed":           {get("/monitor"), 405, `"error"`},
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
			if h := answer.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || (h.Get("Allow") == "") != (tt.status != 405) {
				t.Errorf("headers = %v, want nosniff, no-store, and Allow only with 405", h)
			}
		})
	}
}

func TestUserJSON(t *testing.T) {
	f := newFixture()
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.FixedZone("", 3600))
	f.add(ooo.User{Mailbox: ooo.Mailbox{
		Condition: ooo.Watching,
		Person:    ooo.Person{ID: "oid", UserPrincipalName: "ann@contoso.example", DisplayName: "Ann"},
		Setting:   &ooo.Setting{Status: ooo.Scheduled, ExternalAudience: "all", Start: at, End: at.Add(time.Hour), Message: "Hi"},
		State:     &ooo.State{Away: true, Message: "Hi"}, CheckedAt: at, ChangedAt: at,
		Subscriptions: []ooo.Subscription{{Resource: "/users/{id}/events", ID: "sub", State: ooo.SubscriptionLive, ExpiresAt: at}},
	}, Address: ooo.Address{
		Spelling: "Ann@contoso.example", Sequence: 3,
		Delivery: ooo.Delivery{State: ooo.DeliveryDelivered, Sequence: 3, Attempts: 2, DeliveredAt: at},
	}})
	_, body := get("/api/users/ann@contoso.example").ask(handler(t, f))
	want := `{"email":"Ann@contoso.example","id":"oid","userPrincipalName":"ann@contoso.example","displayName":"Ann","state":"watching",` +
		`"outOfOffice":true,"setting":{"status":"scheduled","externalAudience":"all","scheduledStart":"2026-11-24T09:00:00Z",` +
		`"scheduledEnd":"2026-11-24T10:00:00Z","message":"Hi"},"checkedAt":"2026-11-24T09:00:00Z","changedAt":"2026-11-24T09:00:00Z",` +
		`"delivery":{"state":"delivered","sequence":3,"attempts":2,"deliveredAt":"2026-11-24T09:00:00Z","nextAttemptAt":null},` +
		`"subscriptions":[{"id":"sub","resource":"/users/oid/events","expiresAt":"2026-11-24T09:00:00Z","state":"live","spokeAt":null}]}`
	if body != want {
		t.Errorf("user = %s\nwant   %s", body, want)
	}
	f.add(ooo.User{Mailbox: ooo.Mailbox{Condition: ooo.Unknown, Reason: "denied"}, Address: ooo.Address{Spelling: "ann@contoso.example"}})
	_, body = get("/api/users/ann@contoso.example").ask(handler(t, f))
	for _, part := range []string{`"state":"unknown"`, `"reason":"denied"`, `"outOfOffice":null`, `"setting":null`, `"checkedAt":null`, `"subscriptions":[]`} {
		if !strings.Contains(body, part) {
			t.Errorf("user = %s, want it to contain %s", body, part)
		}
	}
}

func TestPaging(t *testing.T) {
	f := newFixture()
	for i := range 7 {
		f.add(userNamed(fmt.Sprintf("user%d@contoso.example", i)))
	}
	h := handler(t, f)
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

func TestHEAD(t *testing.T) {
	f := newFixture()
	f.add(userNamed("ann@contoso.example"))
	h := handler(t, f)
	// /monitor does not answer GET either.
	for _, path := range []string{"/api/users", "/api/users/ann@contoso.example/", "/api/users/nobody@contoso.example", "/monitor"} {
		want, _ := get(path).ask(h)
		got, _ := head(path).ask(h)
		if got.Code != want.Code || got.Header().Get("Content-Type") != want.Header().Get("Content-Type") {
			t.Errorf("HEAD %s = %d %v, want %d %v as for GET", path, got.Code, got.Header(), want.Code, want.Header())
		}
	}
}

// cursorStore is a store that rejects cursors.
type cursorStore struct{ *fixture }

func (s cursorStore) Users(ctx context.Context, limit int, cursor string) ([]ooo.User, string, error) {
	if cursor != "" {
		return nil, "", ooo.ErrBadCursor
	}
	return s.fixture.Users(ctx, limit, cursor)
}

func TestInvalidCursor(t *testing.T) {
	f := newFixture()
	answer, body := get("/api/users?cursor=garbage").ask(over(t, f, cursorStore{f}, f))
	if answer.Code != 400 || !strings.Contains(body, "cursor") {
		t.Errorf("answer to an invalid cursor = %d %s, want 400 with the reason", answer.Code, body)
	}
}

// TestStoppedUserIsNotFound has a user whose record remains until the subscriptions are
// deleted.
func TestStoppedUserIsNotFound(t *testing.T) {
	f := newFixture()
	f.add(userNamed("ann@contoso.example"))
	wish := f.wishes["ann@contoso.example"]
	wish.On = false
	f.wishes["ann@contoso.example"] = wish
	h := handler(t, f)
	const user = "/api/users/ann@contoso.example"
	for _, r := range []request{get(user), get(user + "/history"), post(user + "/check"), post(user + "/resend")} {
		if answer, body := r.ask(h); answer.Code != 404 {
			t.Errorf("%s %s = %d %s, want 404", r.method, r.path, answer.Code, body)
		}
	}
	if answer, body := get("/api/users").ask(h); answer.Code != 200 || strings.Contains(body, "ann@") {
		t.Errorf("list = %d %s, want no users", answer.Code, body)
	}
	if answer, _ := remove("/api/users/ann@contoso.example").ask(h); answer.Code != 204 {
		t.Errorf("DELETE = %d, want 204", answer.Code)
	}
}
