package graphsim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

func TestCreateSubscription(t *testing.T) {
	w := start(t, graphsim.Config{})
	u, h := w.user("ann@contoso.example"), newHook(t)
	expires := time.Now().Add(3 * time.Hour).UTC().Truncate(time.Millisecond)
	body := subscription(u, h, 0)
	body["expirationDateTime"] = expires.Format(time.RFC3339Nano)
	a := w.graph("POST", "/subscriptions", body)
	if a.status != 201 {
		t.Fatalf("answer = %d %s, want 201", a.status, a.raw)
	}
	for _, field := range []string{"changeType", "notificationUrl", "lifecycleNotificationUrl", "resource", "clientState"} {
		if a.body[field] != body[field] {
			t.Errorf("%s = %v, want %v", field, a.body[field], body[field])
		}
	}
	got, err := time.Parse(time.RFC3339Nano, a.body["expirationDateTime"].(string))
	if err != nil || !got.Equal(expires) {
		t.Errorf("expiry = %v, want %v", a.body["expirationDateTime"], expires)
	}
	if len(h.handshakes) != 2 {
		t.Fatalf("%d handshakes, want one for each URL", len(h.handshakes))
	}
	first := h.handshakes[0]
	raw := first.URL.RawQuery
	if !strings.HasPrefix(raw, "tag=a&validationToken=Validation%3a+Testing+client+application+reachability+") {
		t.Errorf("query = %s, want the URL's own first, then the token spelled with + and %%3a", raw)
	}
	if got := first.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" || first.ContentLength != 0 || first.Method != "POST" {
		t.Errorf("handshake = %s, %q, %d bytes, want an empty POST of text/plain; charset=utf-8", first.Method, got, first.ContentLength)
	}
	if subs := w.Subscriptions(); len(subs) != 1 || subs[0].UserID != u.ID || subs[0].ClientState != body["clientState"] {
		t.Errorf("subscriptions = %+v, want the one, with its clientState", subs)
	}
	body["changeType"], body["lifecycleNotificationUrl"] = "created", body["notificationUrl"]
	if a := w.graph("POST", "/subscriptions", body); a.status != 201 || len(h.handshakes) != 3 {
		t.Errorf("answer = %d after %d handshakes, want 201 after one more: one URL is validated once", a.status, len(h.handshakes))
	}
}

func TestCreateSubscriptionIsRefused(t *testing.T) {
	w := start(t, graphsim.Config{})
	u, h := w.user("ann@contoso.example"), newHook(t)
	denied := w.user("denied@contoso.example")
	w.mailbox(denied, graphsim.Mailbox{Error: "ErrorAccessDenied"})
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
	tests := map[string]struct {
		field  string
		value  any
		status int
		code   string
	}{
		"without changeType":                      {"changeType", nil, 400, "InvalidRequest"},
		"with a kind of change there isn't":       {"changeType", "created,moved", 400, "InvalidRequest"},
		"with a kind of change twice":             {"changeType", "created,created", 400, "InvalidRequest"},
		"without notificationUrl":                 {"notificationUrl", nil, 400, "InvalidRequest"},
		"with http elsewhere":                     {"notificationUrl", "http://hooks.example/notify", 400, "InvalidRequest"},
		"with no URL at all":                      {"notificationUrl", "nonsense", 400, "InvalidRequest"},
		"with a lifecycle URL of http elsewhere":  {"lifecycleNotificationUrl", "http://hooks.example/notify", 400, "InvalidRequest"},
		"for long without a lifecycle URL":        {"lifecycleNotificationUrl", nil, 400, "InvalidRequest"},
		"without an expiry":                       {"expirationDateTime", nil, 400, "InvalidRequest"},
		"with one in the past":                    {"expirationDateTime", in(-time.Minute), 400, "InvalidRequest"},
		"with one that is no time":                {"expirationDateTime", "tomorrow", 400, "BadRequest"},
		"with one beyond the limit":               {"expirationDateTime", in(10071 * time.Minute), 400, "ExtensionError"},
		"with a long clientState":                 {"clientState", strings.Repeat("x", 129), 400, "InvalidRequest"},
		"with a TLS version there isn't":          {"latestSupportedTlsVersion", "v9", 400, "InvalidRequest"},
		"with an unknown property":                {"colour", "red", 400, "BadRequest"},
		"without a resource":                      {"resource", nil, 400, "InvalidRequest"},
		"to mailbox settings":                     {"resource", "users/" + u.ID + "/mailboxSettings", 400, "InvalidRequest"},
		"to the replies":                          {"resource", "users/" + u.ID + "/mailboxSettings/automaticRepliesSetting", 400, "InvalidRequest"},
		"to something unknown":                    {"resource", "planets/mars", 400, "InvalidRequest"},
		"to me":                                   {"resource", "me/events", 400, "BadRequest"},
		"to presence":                             {"resource", "communications/presences/" + u.ID, 403, "Forbidden"},
		"to a stranger's events":                  {"resource", "users/00000000-0000-4000-8000-000000000000/events", 404, "ResourceNotFound"},
		"to a mailbox that is closed":             {"resource", "users/" + denied.ID + "/events", 403, "ErrorAccessDenied"},
		"to a UPN with an apostrophe":             {"resource", "users/o'hara@contoso.example/events", 400, "ExtensionError"},
		"with data but no certificate":            {"includeResourceData", true, 400, "InvalidRequest"},
		"to a user, with a change there isn't":    {"resource", "users/" + u.ID, 400, "InvalidRequest"},
		"with a URL where nobody listens":         {"notificationUrl", "http://127.0.0.1:1/", 400, "ValidationError"},
		"with a lifecycle URL that isn't served ": {"lifecycleNotificationUrl", "http://127.0.0.1:1/", 400, "ValidationError"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			body := subscription(u, h, 2*time.Hour)
			body[tt.field] = tt.value
			a := w.graph("POST", "/subscriptions", body)
			if a.status != tt.status || a.code() != tt.code {
				t.Errorf("answer = %d %s, want %d %s", a.status, a.raw, tt.status, tt.code)
			}
			if tt.code == "ExtensionError" && tt.field == "expirationDateTime" &&
				a.message() != "Subscription expiration can only be 10070 minutes in the future." {
				t.Errorf("message = %q, want the limit in minutes", a.message())
			}
		})
	}
	if subs := w.Subscriptions(); len(subs) != 0 {
		t.Errorf("subscriptions = %+v, want none", subs)
	}
}

func TestHandshakeIsJudged(t *testing.T) {
	w := start(t, graphsim.Config{RetryTimeout: 300 * time.Millisecond})
	good := newHook(t)
	decoded := func(r *http.Request) string { return r.URL.Query().Get("validationToken") }
	raw := func(r *http.Request) string { return strings.TrimPrefix(r.URL.RawQuery, "validationToken=") }
	unescaped := func(r *http.Request) string { token, _ := url.PathUnescape(raw(r)); return token }
	echo := func(status int, contentType string, token func(*http.Request) string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", contentType)
			rw.WriteHeader(status)
			fmt.Fprint(rw, token(r))
		}
	}
	tests := map[string]struct {
		serve http.HandlerFunc
		want  int
	}{
		"the decoded token is right":                    {echo(200, "text/plain; charset=utf-8", decoded), 201},
		"the token as it came is wrong":                 {echo(200, "text/plain", raw), 400},
		"a path's unescaping leaves the + and is wrong": {echo(200, "text/plain", unescaped), 400},
		"202 is wrong":                                  {echo(202, "text/plain", decoded), 400},
		"html is wrong":                                 {echo(200, "text/html", decoded), 400},
		"a redirect is wrong":                           {http.RedirectHandler(good.URL, http.StatusTemporaryRedirect).ServeHTTP, 400},
		"no answer in time is wrong":                    {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tt.serve)
			defer server.Close()
			body := subscription(w.user(strings.ReplaceAll(name, " ", ".")+"@contoso.example"), good, time.Hour)
			body["notificationUrl"] = server.URL
			a := w.graph("POST", "/subscriptions", body)
			if a.status != tt.want || tt.want == 400 && a.code() != "ValidationError" {
				t.Errorf("answer = %d %s, want %d", a.status, a.raw, tt.want)
			}
		})
	}
}

func TestTheSameAgainIsAConflict(t *testing.T) {
	w := start(t, graphsim.Config{})
	u, h := w.user("ann@contoso.example"), newHook(t)
	id := w.subscribe(u, h, time.Hour)
	body := subscription(u, h, time.Hour)
	body["changeType"], body["resource"] = "deleted,created,updated", "/Users/"+u.ID+"/Events/"
	a := w.graph("POST", "/subscriptions", body)
	if want := "Subscription Id <" + id + "> already exists for the requested combination"; a.status != 409 || a.message() != want {
		t.Errorf("answer = %d %s, want 409 %q", a.status, a.raw, want)
	}
	body["changeType"] = "updated"
	if a := w.graph("POST", "/subscriptions", body); a.status != 201 {
		t.Errorf("another combination = %d %s, want 201", a.status, a.raw)
	}
	if a := w.graph("DELETE", "/subscriptions/"+id, nil); a.status != 204 || len(a.raw) != 0 {
		t.Errorf("DELETE = %d %s, want 204 and nothing", a.status, a.raw)
	}
	w.subscribe(u, h, time.Hour)
}

func TestLifeIsRaisedToTheShortest(t *testing.T) {
	w := start(t, graphsim.Config{})
	u, h := w.user("ann@contoso.example"), newHook(t)
	before := time.Now()
	id := w.subscribe(u, h, time.Minute)
	got := w.Subscriptions()[0].ExpirationDateTime
	if got.Before(before.Add(45*time.Minute)) || got.After(time.Now().Add(45*time.Minute)) {
		t.Errorf("expiry = %v, want 45 min from %v", got, before)
	}
	a := w.graph("PATCH", "/subscriptions/"+id, map[string]any{"expirationDateTime": time.Now().Add(time.Minute).UTC()})
	if again := w.Subscriptions()[0].ExpirationDateTime; a.status != 200 || again.Before(got) {
		t.Errorf("expiry after PATCH = %d %v, want 45 min again", a.status, again)
	}
}

func TestRenewSubscription(t *testing.T) {
	w := start(t, graphsim.Config{})
	u, h, other := w.user("ann@contoso.example"), newHook(t), newHook(t)
	id := w.subscribe(u, h, time.Hour)
	short := func() string {
		body := subscription(u, h, time.Hour)
		body["changeType"] = "updated"
		delete(body, "lifecycleNotificationUrl")
		body["expirationDateTime"] = time.Now().Add(50 * time.Minute).UTC()
		return w.graph("POST", "/subscriptions", body).body["id"].(string)
	}()
	h.forget()
	far := time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339)
	tests := map[string]struct {
		id     string
		body   map[string]any
		status int
		code   string
	}{
		"a later expiry":                           {id, map[string]any{"expirationDateTime": far}, 200, ""},
		"an expiry beyond the limit":               {id, map[string]any{"expirationDateTime": time.Now().Add(10071 * time.Minute).UTC()}, 400, "ExtensionError"},
		"a long life without a lifecycle URL":      {short, map[string]any{"expirationDateTime": far}, 400, "InvalidRequest"},
		"another URL, which is validated":          {id, map[string]any{"notificationUrl": other.URL}, 200, ""},
		"another URL, where nobody listens":        {id, map[string]any{"notificationUrl": "http://127.0.0.1:1/"}, 400, "ValidationError"},
		"another clientState":                      {id, map[string]any{"clientState": "x"}, 400, "InvalidRequest"},
		"another resource":                         {id, map[string]any{"resource": "users/x/events"}, 400, "InvalidRequest"},
		"another changeType":                       {id, map[string]any{"changeType": "created"}, 400, "InvalidRequest"},
		"another lifecycle URL":                    {id, map[string]any{"lifecycleNotificationUrl": other.URL}, 400, "InvalidRequest"},
		"a certificate for nothing":                {id, map[string]any{"encryptionCertificateId": "1"}, 400, "InvalidRequest"},
		"a subscription that doesn't exist":        {"00000000-0000-4000-8000-000000000000", map[string]any{"expirationDateTime": far}, 404, "ResourceNotFound"},
		"a body that says what the type of it is":  {id, map[string]any{"@odata.type": "#microsoft.graph.subscription", "expirationDateTime": far}, 200, ""},
		"nothing of it but an unknown property":    {id, map[string]any{"colour": "red"}, 400, "BadRequest"},
		"an expiry that is no time, but a number ": {id, map[string]any{"expirationDateTime": 5}, 400, "BadRequest"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := w.graph("PATCH", "/subscriptions/"+tt.id, tt.body)
			if a.status != tt.status || a.code() != tt.code {
				t.Errorf("answer = %d %s, want %d %s", a.status, a.raw, tt.status, tt.code)
			}
		})
	}
	if len(other.handshakes) != 1 || len(h.handshakes) != 0 {
		t.Errorf("handshakes = %d at the new URL and %d at the old, want 1 and 0", len(other.handshakes), len(h.handshakes))
	}
	for _, sub := range w.Subscriptions() {
		if sub.ID == id && (sub.NotificationURL != other.URL || sub.ExpirationDateTime.Format(time.RFC3339) != far) {
			t.Errorf("subscription = %+v, want the new URL and expiry", sub)
		}
	}
}
