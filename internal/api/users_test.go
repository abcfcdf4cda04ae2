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

func TestRoutes(t *testing.T) {
	typed := map[string]string{"Content-Type": "application/json"}
	tests := map[string]struct {
		request
		status int
		answer string // contained
	}{
		"one user":                         {request{method: "GET", path: "/api/users/ann@contoso.example"}, 200, `"email":"Ann@contoso.example"`},
		"one user, escaped":                {request{method: "GET", path: "/api/users/ANN%40contoso.example"}, 200, `"state":"watching"`},
		"an address with a slash and plus": {request{method: "GET", path: "/api/users/a%2Fb+c@contoso.example"}, 200, `"email":"a/b+c@contoso.example"`},
		"an unknown user":                  {request{method: "GET", path: "/api/users/no@contoso.example"}, 404, `"error":"not monitored"`},
		"what is no address":               {request{method: "GET", path: "/api/users/no"}, 404, `"error"`},
		"a stopped user":                   {request{method: "GET", path: "/api/users/gone@contoso.example"}, 404, `"error"`},
		"a start":                          {request{method: "PUT", path: "/api/users/bob@contoso.example"}, 200, `"id":"id-bob"`},
		"a start of nobody":                {request{method: "PUT", path: "/api/users/no@contoso.example"}, 404, `not in the directory`},
		"a start of what is no address":    {request{method: "PUT", path: "/api/users/no"}, 400, `e-mail address`},
		"a stop":                           {request{method: "DELETE", path: "/api/users/ann@contoso.example"}, 204, ""},
		"a stop of nobody":                 {request{method: "DELETE", path: "/api/users/no@contoso.example"}, 204, ""},
		"a check":                          {request{method: "POST", path: "/api/users/ann@contoso.example/check"}, 202, ""},
		"a check of nobody":                {request{method: "POST", path: "/api/users/no@contoso.example/check"}, 404, ""},
		"a resend":                         {request{method: "POST", path: "/api/users/ann@contoso.example/resend"}, 202, ""},
		"a resend of a stopped user":       {request{method: "POST", path: "/api/users/gone@contoso.example/resend"}, 404, ""},
		"a history":                        {request{method: "GET", path: "/api/users/ann@contoso.example/history"}, 200, `{"events":[]}`},
		"a history of nobody":              {request{method: "GET", path: "/api/users/no@contoso.example/history"}, 404, ""},
		"many":                             {request{"POST", "/api/users", `{"emails":["bob@contoso.example","no",7]}`, typed}, 202, `{"results":[{"email":"bob@contoso.example","result":"accepted"},{"email":"no","result":"invalid","error":`},
		"many, none given":                 {request{"POST", "/api/users", `{}`, typed}, 400, `emails`},
		"many, not JSON":                   {request{"POST", "/api/users", `x`, typed}, 400, `error`},
		"many, too many":                   {request{"POST", "/api/users", `{"emails":[` + strings.Repeat(`"a",`, 10_000) + `"a"]}`, typed}, 400, `10000`},
		"an unknown path":                  {request{method: "GET", path: "/nothing"}, 404, `"error"`},
		"a slash at the end":               {request{"POST", "/monitor/", `{"email":"bob@contoso.example","status":"True"}`, typed}, 200, "<h1>"},
		"two slashes at the start":         {request{"POST", "//monitor", `{}`, typed}, 404, ""},
		"another method":                   {request{method: "GET", path: "/monitor"}, 405, `"error"`},
		"another method of the main page":  {request{method: "POST", path: "/"}, 405, ""},
		"the main page":                    {request{method: "GET", path: "/"}, 200, "EXCHANGE OOO MAIN PAGE : Mediator Server sync SUCCESSFUL."},
		"a look at the main page":          {request{method: "HEAD", path: "/"}, 200, ""},
		"alive":                            {request{method: "GET", path: "/healthz"}, 200, "ok"},
		"metrics":                          {request{method: "GET", path: "/metrics"}, 200, "metrics"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := monitorWorld()
			w.add(named("a/b+c@contoso.example"))
			w.wishes["gone@contoso.example"] = ooo.Wish{Address: "gone@contoso.example", Nonce: "1"}
			response, body := tt.send(t, serve(t, w))
			if response.StatusCode != tt.status || !strings.Contains(body, tt.answer) {
				t.Errorf("%s %s = %d %q, want %d with %q", tt.method, tt.path, response.StatusCode, body, tt.status, tt.answer)
			}
			if response.Header.Get("X-Content-Type-Options") != "nosniff" || response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Server") != "" {
				t.Errorf("headers = %v, want nosniff, no-store and no banner", response.Header)
			}
			if response.StatusCode == 405 && response.Header.Get("Allow") == "" {
				t.Error("Allow is missing")
			}
		})
	}
}

func TestRedisOutOfReach(t *testing.T) {
	for _, r := range []request{
		{method: "GET", path: "/api/users"}, {method: "GET", path: "/api/users/ann@contoso.example"},
		{method: "PUT", path: "/api/users/ann@contoso.example"}, {method: "DELETE", path: "/api/users/ann@contoso.example"},
		{method: "POST", path: "/api/users/ann@contoso.example/check"}, {method: "GET", path: "/api/users/ann@contoso.example/history"},
		{"POST", "/api/users", `{"emails":["bob@contoso.example"]}`, map[string]string{"Content-Type": "application/json"}},
	} {
		w := monitorWorld()
		w.err = errAway
		if response, body := r.send(t, serve(t, w)); response.StatusCode != 503 || strings.Contains(body, "refused") {
			t.Errorf("%s %s = %d %q, want 503 without the inside", r.method, r.path, response.StatusCode, body)
		}
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
	_, body := request{method: "GET", path: "/api/users/ann@contoso.example"}.send(t, serve(t, w))
	want := `{"email":"Ann@contoso.example","id":"oid","userPrincipalName":"ann@contoso.example","displayName":"Ann","state":"watching",` +
		`"outOfOffice":true,"setting":{"status":"scheduled","externalAudience":"all","scheduledStart":"2026-11-24T09:00:00Z",` +
		`"scheduledEnd":"2026-11-24T10:00:00Z","message":"Hi"},"checkedAt":"2026-11-24T09:00:00Z","changedAt":"2026-11-24T09:00:00Z",` +
		`"delivery":{"state":"delivered","sequence":3,"attempts":2,"deliveredAt":"2026-11-24T09:00:00Z","nextAttemptAt":null},` +
		`"subscriptions":[{"id":"sub","resource":"/users/oid/events","expiresAt":"2026-11-24T09:00:00Z","state":"live","spokeAt":null}]}`
	if body != want {
		t.Errorf("user = %s\nwant   %s", body, want)
	}
	w.add(ooo.User{Mailbox: ooo.Mailbox{Condition: ooo.Unknown, Reason: "denied"}, Address: ooo.Address{Spelling: "ann@contoso.example"}})
	_, body = request{method: "GET", path: "/api/users/ann@contoso.example"}.send(t, serve(t, w))
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
	base := serve(t, w)
	seen := 0
	for cursor, page := "", 0; page < 4; page++ {
		_, body := request{method: "GET", path: "/api/users?limit=3&cursor=" + cursor}.send(t, base)
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
			base := serve(t, w)
			if response, body := (request{method: "GET", path: "/readyz"}).send(t, base); response.StatusCode != tt.status || body != tt.answer {
				t.Errorf("readyz = %d %s, want %d %s", response.StatusCode, body, tt.status, tt.answer)
			}
			w.token = "the-token"
			if response, body := (request{method: "GET", path: "/readyz"}).send(t, serve(t, w)); response.StatusCode != tt.status || strings.Contains(body, "refused") || strings.Contains(body, "fine") {
				t.Errorf("readyz for strangers = %d %s, want %d without reasons", response.StatusCode, body, tt.status)
			}
		})
	}
}
