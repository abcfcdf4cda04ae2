package graphsim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
)

func TestCreateSubscription(t *testing.T) {
	f := start(t, graphsim.Config{})
	u, h := f.addUser("ann@contoso.example"), newHook(t)
	expires := time.Now().Add(3 * time.Hour).UTC().Truncate(time.Millisecond)
	body := subscription(u, h, 0)
	body["expirationDateTime"], body["clientState"] = expires.Format(time.RFC3339Nano), strings.Repeat("ä", 128)
	a := f.graph("POST", "/subscriptions", body)
	a.want(t, 201, "")
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
		t.Errorf("query = %s, want the query of the URL first, then the token escaped with + and %%3a", raw)
	}
	if got := first.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" || first.ContentLength != 0 || first.Method != "POST" {
		t.Errorf("handshake = %s, %q, %d bytes, want an empty POST of text/plain; charset=utf-8", first.Method, got, first.ContentLength)
	}
	if subs := f.Subscriptions(); len(subs) != 1 || subs[0].UserID != u.ID || subs[0].ClientState != body["clientState"] {
		t.Errorf("subscriptions = %+v, want the one, with its clientState", subs)
	}
	listed, _ := f.listSubscriptions()
	for _, read := range append(listed, f.graph("GET", "/subscriptions/"+a.body["id"].(string), nil).body) {
		if state, ok := read["clientState"]; !ok || state != nil || read["id"] != a.body["id"] {
			t.Errorf("subscription = %v, want clientState null", read)
		}
	}
	before := time.Now()
	body["changeType"], body["lifecycleNotificationUrl"], body["expirationDateTime"] = "created", body["notificationUrl"], before.Add(time.Minute)
	if a := f.graph("POST", "/subscriptions", body); a.status != 201 || len(h.handshakes) != 3 {
		t.Errorf("answer = %d after %d handshakes, want 201 and one more: the same URL is validated once", a.status, len(h.handshakes))
	}
	raised := f.Subscriptions()[1].ExpirationDateTime
	if raised.Before(before.Add(45*time.Minute)) || raised.After(time.Now().Add(45*time.Minute)) {
		t.Errorf("expiry = %v, want 45 min from %v", raised, before)
	}
}

func TestCreateInvalidSubscription(t *testing.T) {
	f := start(t, graphsim.Config{})
	u, h := f.addUser("ann@contoso.example"), newHook(t)
	denied := f.addUser("denied@contoso.example")
	f.Must(f.SetMailbox(denied.ID, graphsim.Mailbox{Error: "ErrorAccessDenied"}))
	subscribed := f.addUser("bob@contoso.example")
	existing := subscription(subscribed, h, time.Hour)
	existing["changeType"] = "deleted,created,updated"
	f.graph("POST", "/subscriptions", existing)
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
	for name, tt := range map[string]struct {
		field  string
		value  any
		status int
		code   string
	}{
		"no changeType":                     {"changeType", nil, 400, "InvalidRequest"},
		"unknown changeType":                {"changeType", "created,moved", 400, "InvalidRequest"},
		"repeated changeType":               {"changeType", "created,created", 400, "InvalidRequest"},
		"no notificationUrl":                {"notificationUrl", nil, 400, "InvalidRequest"},
		"http notificationUrl":              {"notificationUrl", "http://hooks.example/notify", 400, "InvalidRequest"},
		"invalid notificationUrl":           {"notificationUrl", "nonsense", 400, "InvalidRequest"},
		"http lifecycle URL":                {"lifecycleNotificationUrl", "http://hooks.example/notify", 400, "InvalidRequest"},
		"long life without lifecycle URL":   {"lifecycleNotificationUrl", nil, 400, "InvalidRequest"},
		"no expiry":                         {"expirationDateTime", nil, 400, "InvalidRequest"},
		"expiry in the past":                {"expirationDateTime", in(-time.Minute), 400, "InvalidRequest"},
		"expiry that is no time":            {"expirationDateTime", "tomorrow", 400, "BadRequest"},
		"expiry beyond the limit":           {"expirationDateTime", in(10071 * time.Minute), 400, "ExtensionError"},
		"long clientState":                  {"clientState", strings.Repeat("ä", 129), 400, "InvalidRequest"},
		"unknown TLS version":               {"latestSupportedTlsVersion", "v9", 400, "InvalidRequest"},
		"unknown property":                  {"colour", "red", 400, "BadRequest"},
		"no resource":                       {"resource", nil, 400, "InvalidRequest"},
		"mailbox settings":                  {"resource", "users/" + u.ID + "/mailboxSettings", 400, "InvalidRequest"},
		"unknown resource":                  {"resource", "planets/mars", 400, "InvalidRequest"},
		"me":                                {"resource", "me/events", 400, "BadRequest"},
		"presence":                          {"resource", "communications/presences/" + u.ID, 403, "Forbidden"},
		"unknown user":                      {"resource", "users/00000000-0000-4000-8000-000000000000/events", 404, "ResourceNotFound"},
		"denied mailbox":                    {"resource", "users/" + denied.ID + "/events", 403, "ErrorAccessDenied"},
		"duplicate in another order":        {"resource", "/Users/" + subscribed.ID + "/Events/", 409, "Conflict"},
		"UPN with an apostrophe":            {"resource", "users/o'hara@contoso.example/events", 400, "ExtensionError"},
		"resource data without certificate": {"includeResourceData", true, 400, "InvalidRequest"},
		"unreachable notificationUrl":       {"notificationUrl", "http://127.0.0.1:1/", 400, "ValidationError"},
		"unreachable lifecycle URL":         {"lifecycleNotificationUrl", "http://127.0.0.1:1/", 400, "ValidationError"},
	} {
		t.Run(name, func(t *testing.T) {
			body := subscription(u, h, 2*time.Hour)
			body[tt.field] = tt.value
			a := f.graph("POST", "/subscriptions", body)
			a.want(t, tt.status, tt.code)
			if tt.code == "ExtensionError" && tt.field == "expirationDateTime" &&
				a.message() != "Subscription expiration can only be 10070 minutes in the future." {
				t.Errorf("message = %q, want the limit in minutes", a.message())
			}
		})
	}
	if subs := f.Subscriptions(); len(subs) != 1 {
		t.Errorf("subscriptions = %+v, want only bob's", subs)
	}
}

func TestHandshake(t *testing.T) {
	f := start(t, graphsim.Config{RetryTimeout: 300 * time.Millisecond})
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
	for name, tt := range map[string]struct {
		serve  http.HandlerFunc
		status int
		code   string
	}{
		"decoded token":        {echo(200, "text/plain; charset=utf-8", decoded), 201, ""},
		"escaped token":        {echo(200, "text/plain", raw), 400, "ValidationError"},
		"path-unescaped token": {echo(200, "text/plain", unescaped), 400, "ValidationError"},
		"status 202":           {echo(202, "text/plain", decoded), 400, "ValidationError"},
		"html":                 {echo(200, "text/html", decoded), 400, "ValidationError"},
		"redirect":             {http.RedirectHandler(good.URL, http.StatusTemporaryRedirect).ServeHTTP, 400, "ValidationError"},
		"timeout":              {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 400, "ValidationError"},
	} {
		t.Run(name, func(t *testing.T) {
			body := subscription(f.addUser(strings.ReplaceAll(name, " ", ".")+"@contoso.example"), good, time.Hour)
			body["notificationUrl"] = programtest.Serve(t, tt.serve)
			f.graph("POST", "/subscriptions", body).want(t, tt.status, tt.code)
		})
	}
}

func TestRenewSubscription(t *testing.T) {
	f := start(t, graphsim.Config{})
	u, h, other := f.addUser("ann@contoso.example"), newHook(t), newHook(t)
	id := f.subscribe(u, h, time.Hour)
	body := subscription(u, h, 50*time.Minute)
	body["changeType"], body["lifecycleNotificationUrl"] = "updated", nil
	short := f.graph("POST", "/subscriptions", body).body["id"].(string)
	handshakes := len(h.handshakes)
	far := time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339)
	for name, tt := range map[string]struct {
		id     string
		body   map[string]any
		status int
		code   string
	}{
		"later expiry":                    {id, map[string]any{"expirationDateTime": far}, 200, ""},
		"expiry beyond the limit":         {id, map[string]any{"expirationDateTime": time.Now().Add(10071 * time.Minute).UTC()}, 400, "ExtensionError"},
		"long life without lifecycle URL": {short, map[string]any{"expirationDateTime": far}, 400, "InvalidRequest"},
		"other URL":                       {id, map[string]any{"notificationUrl": other.URL}, 200, ""},
		"unreachable URL":                 {id, map[string]any{"notificationUrl": "http://127.0.0.1:1/"}, 400, "ValidationError"},
		"other clientState":               {id, map[string]any{"clientState": "x"}, 400, "InvalidRequest"},
		"other resource":                  {id, map[string]any{"resource": "users/x/events"}, 400, "InvalidRequest"},
		"other changeType":                {id, map[string]any{"changeType": "created"}, 400, "InvalidRequest"},
		"other lifecycle URL":             {id, map[string]any{"lifecycleNotificationUrl": other.URL}, 400, "InvalidRequest"},
		"empty clientState":               {id, map[string]any{"clientState": ""}, 400, "InvalidRequest"},
		"lifecycle URL that is null":      {id, map[string]any{"lifecycleNotificationUrl": nil}, 400, "InvalidRequest"},
		"includeResourceData false":       {id, map[string]any{"includeResourceData": false}, 400, "InvalidRequest"},
		"empty URL":                       {id, map[string]any{"notificationUrl": ""}, 400, "InvalidRequest"},
		"expiry that is null":             {id, map[string]any{"expirationDateTime": nil}, 400, "InvalidRequest"},
		"expiry in the past":              {id, map[string]any{"expirationDateTime": "0001-01-01T00:00:00Z"}, 400, "InvalidRequest"},
		"unneeded certificate":            {id, map[string]any{"encryptionCertificateId": "1"}, 400, "InvalidRequest"},
		"unknown subscription":            {"00000000-0000-4000-8000-000000000000", map[string]any{"expirationDateTime": far}, 404, "ResourceNotFound"},
		"@odata.type":                     {id, map[string]any{"@odata.type": "#microsoft.graph.subscription", "expirationDateTime": far}, 200, ""},
		"unknown property":                {id, map[string]any{"colour": "red"}, 400, "BadRequest"},
		"expiry that is a number":         {id, map[string]any{"expirationDateTime": 5}, 400, "BadRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			f.graph("PATCH", "/subscriptions/"+tt.id, tt.body).want(t, tt.status, tt.code)
		})
	}
	if len(other.handshakes) != 1 || len(h.handshakes) != handshakes {
		t.Errorf("handshakes = %d at the new URL and %d at the old, want 1 and 0", len(other.handshakes), len(h.handshakes)-handshakes)
	}
	for _, sub := range f.Subscriptions() {
		if sub.ID == id && (sub.NotificationURL != other.URL || sub.ExpirationDateTime.Format(time.RFC3339) != far) {
			t.Errorf("subscription = %+v, want the new URL and expiry", sub)
		}
	}
}
