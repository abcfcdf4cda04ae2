package api_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.opentelemetry.io/otel/trace/noop"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

func TestTheDescriptionIsOpenAPI(t *testing.T) {
	d := description(t)
	if version := d.text("openapi"); !strings.HasPrefix(version, "3.1.") {
		t.Errorf("openapi = %s, want 3.1", version)
	}
	text, err := os.ReadFile("testdata/oas31.json") // the OpenAPI Initiative's
	if err != nil {
		t.Fatal(err)
	}
	if err := add(t, jsonschema.NewCompiler(), "https://spec.openapis.org/oas/3.1/schema/2022-10-07", text).Validate(d.tree); err != nil {
		t.Errorf("the description is no OpenAPI: %v", err)
	}
}

// whole is an engine with all that the description tells of.
func whole(t *testing.T, w *world) *gin.Engine {
	t.Helper()
	engine := handler(t, w).(*gin.Engine)
	webhook.New(webhook.Config{
		Ready: func() bool { return true }, Leave: w.leave, Log: w.log, Tracer: noop.Tracer{},
		Keys:     func(context.Context) (ooo.ClientStateKeys, error) { return ooo.NewClientStateKeys("key"), nil },
		Public:   server.NewPublic(server.PublicConfig{Concurrency: 1, Refused: func(int) {}, Log: w.log}),
		Counted:  func(string, int) {},
		Answered: func(time.Duration) {},
	}).Register(engine)
	return engine
}

// TestEachRouteIsDescribedAndOnlyThose leaves out HEAD, which answers as GET
// does, the slash at the end, the methods that Graph's paths refuse, and the
// profiles under /debug, which are for go tool pprof.
func TestEachRouteIsDescribedAndOnlyThose(t *testing.T) {
	there := map[string]bool{}
	for _, route := range whole(t, newWorld()).Routes() {
		graph := strings.HasPrefix(route.Path, "/graph/")
		if route.Path != "/" && strings.HasSuffix(route.Path, "/") || strings.HasPrefix(route.Path, "/debug/") ||
			route.Method == http.MethodHead && route.Path != "/" || graph && route.Method != http.MethodPost {
			continue
		}
		there[route.Method+" "+strings.ReplaceAll(route.Path, ":email", "{email}")] = true
	}
	told := map[string]bool{}
	for o := range description(t).operations() {
		told[strings.ToUpper(o.method)+" "+o.path] = true
	}
	for route := range there {
		if !told[route] {
			t.Errorf("%s is a route, but not described in openapi.json", route)
		}
	}
	for route := range told {
		if !there[route] {
			t.Errorf("%s is described in openapi.json, but no route", route)
		}
	}
}

// TestSecurityIsDescribed calls each route without the token.
func TestSecurityIsDescribed(t *testing.T) {
	w := monitorWorld()
	w.token = "the-token"
	server := httptest.NewServer(whole(t, w))
	defer server.Close()
	d := description(t)
	for o := range d.operations() {
		response, _ := request{method: strings.ToUpper(o.method), path: strings.ReplaceAll(o.path, "{email}", "ann@contoso.example")}.send(t, server.URL)
		_, tellsSo := d.response(o, http.StatusUnauthorized)
		security, own := o.tree["security"].([]any)
		open := own && len(security) == 0
		if refused := response.StatusCode == http.StatusUnauthorized; refused != tellsSo || refused == open {
			t.Errorf("%s %s without the token = %d, but described as open: %t, with a 401: %t", o.method, o.path, response.StatusCode, open, tellsSo)
		}
	}
}

// told is a call whose question and answer must be as described.
type told struct {
	request
	status int
	world  func(w *world) // changes it before; may be nil
	bad    bool           // the question itself is not as described
}

func TestAnswersAreAsDescribed(t *testing.T) {
	const ann = "/api/users/ann@contoso.example"
	as := func(accept string, r request) request {
		r.header["Accept"] = accept
		return r
	}
	down := func(w *world) { w.err = errAway }
	unresolved := func(w *world) { w.finding = ooo.ErrUnavailable }
	several := func(w *world) { w.finding = ooo.ErrAmbiguous }
	failing := func(w *world) { w.sync = func(context.Context) error { return errors.New("away") } }
	unwell := func(w *world) {
		w.checks = []api.Check{{Name: "redis", Required: true, Probe: func(context.Context) (string, error) { return "", errAway }}}
	}
	excused := func(w *world) {
		unwell(w)
		w.checks[0].Excused = func() bool { return true }
	}
	const html, form = "text/html", "application/json"
	start, stop := `{"email":"bob@contoso.example","status":"True"}`, `{"email":"bob@contoso.example","status":false}`
	nowhere := `{"email":"nobody@contoso.example","status":"TRUE"}`
	many := request{"POST", "/api/users", "", map[string]string{"Content-Type": form}}
	bulk := func(body string) request { many.body = body; return many }
	tests := map[string]told{
		"the main page":                         {request{method: "GET", path: "/"}, 200, nil, false},
		"the main page, a sync that fails":      {request{method: "GET", path: "/"}, 200, failing, false},
		"a look at the main page":               {request{method: "HEAD", path: "/"}, 200, nil, false},
		"a start":                               {asJSON(start), 200, nil, false},
		"a start, answered in HTML":             {as(html, asJSON(start)), 200, nil, false},
		"a start, answered in JSON":             {as(form, asJSON(start)), 200, nil, false},
		"a start while Graph is away":           {asJSON(start), 202, unresolved, false},
		"a start while Graph is away, in JSON":  {as(form, asJSON(start)), 202, unresolved, false},
		"a stop":                                {asJSON(stop), 200, nil, false},
		"no JSON":                               {asJSON("x"), 400, nil, true},
		"wrong fields":                          {asJSON(`{"email":"bob@contoso.example","status":"yes"}`), 400, nil, true},
		"nobody":                                {asJSON(nowhere), 404, nil, false},
		"nobody, in JSON":                       {as(form, asJSON(nowhere)), 404, nil, false},
		"an address of several":                 {asJSON(start), 409, several, false},
		"an address of several, in JSON":        {as(form, asJSON(start)), 409, several, false},
		"a start that is too long":              {as(form, asJSON(`{"email":"`+strings.Repeat("x", 70_000)+`","status":"True"}`)), 413, nil, false},
		"a start while Redis is away":           {asJSON(start), 503, down, false},
		"a start while Redis is away, in JSON":  {as(form, asJSON(start)), 503, down, false},
		"all users":                             {request{method: "GET", path: "/api/users"}, 200, nil, false},
		"a page of users":                       {request{method: "GET", path: "/api/users?limit=1"}, 200, nil, false},
		"a page of no users":                    {request{method: "GET", path: "/api/users?limit=0"}, 400, nil, true},
		"users while Redis is away":             {request{method: "GET", path: "/api/users"}, 503, down, false},
		"many at once":                          {bulk(`{"emails":["bob@contoso.example","nobody",5,null]}`), 202, nil, false},
		"many that are no JSON":                 {bulk("x"), 400, nil, true},
		"many without names":                    {bulk(`{}`), 400, nil, true},
		"many in too many bytes":                {bulk(`{"emails":["` + strings.Repeat("x", 5<<20) + `"]}`), 413, nil, false},
		"many while Redis is away":              {bulk(`{"emails":["bob@contoso.example"]}`), 503, down, false},
		"a user":                                {request{method: "GET", path: ann}, 200, nil, false},
		"a user with everything":                {request{method: "GET", path: "/api/users/full@contoso.example"}, 200, nil, false},
		"a user who is not monitored":           {request{method: "GET", path: "/api/users/bob@contoso.example"}, 404, nil, false},
		"a user while Redis is away":            {request{method: "GET", path: ann}, 503, down, false},
		"a start by PUT":                        {request{method: "PUT", path: "/api/users/bob@contoso.example"}, 200, nil, false},
		"a start by PUT while Graph is away":    {request{method: "PUT", path: "/api/users/bob@contoso.example"}, 202, unresolved, false},
		"a start of what is no address":         {request{method: "PUT", path: "/api/users/bob"}, 400, nil, false},
		"a start of nobody by PUT":              {request{method: "PUT", path: "/api/users/nobody@contoso.example"}, 404, nil, false},
		"a start of several by PUT":             {request{method: "PUT", path: "/api/users/bob@contoso.example"}, 409, several, false},
		"a start by PUT while Redis is away":    {request{method: "PUT", path: ann}, 503, down, false},
		"a stop by DELETE":                      {request{method: "DELETE", path: ann}, 204, nil, false},
		"a stop by DELETE while Redis is away":  {request{method: "DELETE", path: ann}, 503, down, false},
		"a check":                               {request{method: "POST", path: ann + "/check"}, 202, nil, false},
		"a check of nobody":                     {request{method: "POST", path: "/api/users/bob@contoso.example/check"}, 404, nil, false},
		"a resend":                              {request{method: "POST", path: ann + "/resend"}, 202, nil, false},
		"a resend while Redis is away":          {request{method: "POST", path: ann + "/resend"}, 503, down, false},
		"a history":                             {request{method: "GET", path: ann + "/history?limit=5"}, 200, nil, false},
		"a history of a word":                   {request{method: "GET", path: ann + "/history?limit=few"}, 400, nil, true},
		"a history of nobody":                   {request{method: "GET", path: "/api/users/bob@contoso.example/history"}, 404, nil, false},
		"this description":                      {request{method: "GET", path: "/api/openapi.json"}, 200, nil, false},
		"the log level":                         {request{method: "GET", path: "/api/loglevel"}, 200, nil, false},
		"another log level":                     {request{"PUT", "/api/loglevel", `{"level":"Debug"}`, map[string]string{"Content-Type": form}}, 200, nil, false},
		"a log level that is none":              {request{"PUT", "/api/loglevel", `{"level":"loud"}`, map[string]string{"Content-Type": form}}, 400, nil, false},
		"metrics":                               {request{method: "GET", path: "/metrics"}, 200, nil, false},
		"alive":                                 {request{method: "GET", path: "/healthz"}, 200, nil, false},
		"ready":                                 {request{method: "GET", path: "/readyz"}, 200, nil, false},
		"not ready":                             {request{method: "GET", path: "/readyz"}, 503, unwell, false},
		"ready without what is needed":          {request{method: "GET", path: "/readyz"}, 200, excused, false},
		"a notification":                        {request{"POST", "/graph/notifications", `{"value":[{"subscriptionId":"x"},null]}`, map[string]string{"Content-Type": form}}, 202, nil, false},
		"a notification of nothing":             {request{"POST", "/graph/lifecycle", `{"value":null}`, map[string]string{"Content-Type": form}}, 202, nil, false},
		"a handshake":                           {request{method: "POST", path: "/graph/notifications?validationToken=Validation%3a+x", header: map[string]string{"Content-Type": form}, body: `{"value":[]}`}, 200, nil, false},
		"a notification that is none":           {request{"POST", "/graph/notifications", `{}`, map[string]string{"Content-Type": form}}, 400, nil, true},
		"a handshake that is markup":            {request{method: "POST", path: "/graph/lifecycle?validationToken=%3Cb%3E"}, 400, nil, true},
		"a notification that is far too long":   {request{"POST", "/graph/notifications", `{"value":["` + strings.Repeat("x", 5<<20) + `"]}`, map[string]string{"Content-Type": form}}, 413, nil, false},
		"a user in another spelling of the URL": {request{method: "GET", path: "/api/users/ann%40contoso.example"}, 200, nil, false},
	}
	d := description(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := full()
			if tt.world != nil {
				tt.world(w)
			}
			r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body))
			for name, value := range tt.header {
				r.Header.Set(name, value)
			}
			r.Header.Set("Authorization", "Bearer the-token")
			answer := httptest.NewRecorder()
			whole(t, w).ServeHTTP(answer, r)
			if answer.Code != tt.status {
				t.Fatalf("%s %s = %d %.200s, want %d", tt.method, tt.path, answer.Code, answer.Body, tt.status)
			}
			o, ok := d.operation(tt.method, r.URL.Path)
			if !ok {
				t.Fatalf("%s %s is not described", tt.method, r.URL.Path)
			}
			if err := d.question(o, r, tt.body); (err != nil) != tt.bad {
				t.Errorf("question = %v, want it to be as described: %t", err, !tt.bad)
			}
			if err := d.answer(o, answer.Result()); err != nil {
				t.Errorf("the answer %d %.300s is not as described: %v", answer.Code, answer.Body, err)
			}
		})
	}
}

// full is a world with a user of whom everything is known and with a history of
// everything.
func full() *world {
	w := monitorWorld()
	w.token, w.log = "the-token", slog.New(slog.DiscardHandler)
	w.add(named("ann@contoso.example"))
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	w.add(ooo.User{Mailbox: ooo.Mailbox{
		Condition: ooo.Unknown, Reason: "denied",
		Person:  ooo.Person{ID: "oid", UserPrincipalName: "full@contoso.example", DisplayName: "Full"},
		Setting: &ooo.Setting{Status: ooo.Scheduled, ExternalAudience: "all", Start: at, End: at.Add(time.Hour), Message: "Hi"},
		State:   &ooo.State{Away: true, Message: "Hi"}, CheckedAt: at, ChangedAt: at,
		Subscriptions: []ooo.Subscription{{Resource: "/users/{id}/events", ID: "sub", State: ooo.SubscriptionFailed,
			ExpiresAt: at, SpokeAt: at, Error: "quota"}},
	}, Address: ooo.Address{
		Spelling: "full@contoso.example", Sequence: 3,
		Delivery: ooo.Delivery{State: ooo.DeliveryRefused, Sequence: 2, Attempts: 2, DeliveredAt: at, NextAttemptAt: at, Error: "the mediator answered 404"},
	}})
	for _, kind := range []ooo.EventKind{
		ooo.EventStarted, ooo.EventChanged, ooo.EventNotification, ooo.EventUnknown, ooo.EventKnown, ooo.EventResend,
		ooo.EventDelivered, ooo.EventRefused, ooo.EventFailed, ooo.EventOvertaken,
	} {
		w.events = append(w.events, ooo.Event{At: at, Kind: kind})
	}
	for _, source := range []ooo.Source{
		ooo.SourcePoll, ooo.SourceNotification, ooo.SourceWindow, ooo.SourceRequest, ooo.SourceSubscription,
	} {
		w.events = append(w.events, ooo.Event{At: at, Kind: ooo.EventChanged, Source: source, Sequence: 3, Away: new(true),
			NotificationID: "n", NotifiedAt: at, Attempt: 1, WebhookID: "msg", Detail: "a reason"})
	}
	w.checks = []api.Check{
		{Name: "redis", Required: true, Probe: func(context.Context) (string, error) { return "fine", nil }},
		{Name: "mediator", Probe: func(context.Context) (string, error) { return "", io.ErrUnexpectedEOF }},
	}
	return w
}

// TestTheExamplesAreAsDescribed checks each example of a question or an answer.
func TestTheExamplesAreAsDescribed(t *testing.T) {
	d := description(t)
	examples := slices.Collect(d.examples())
	if len(examples) < 20 {
		t.Errorf("%d examples, want those of all routes", len(examples))
	}
	for _, e := range examples {
		if err := d.fits(e.at+"/schema", e.value); err != nil {
			t.Errorf("the example at %s is not as described: %v", e.at, err)
		}
	}
}
