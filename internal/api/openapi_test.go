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
	says   string         // a part of the answer
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
	bulk := func(body string) request { return postJSON("/api/users", body) }
	tests := map[string]told{
		"the main page":                         {get("/"), 200, "", nil, false},
		"the main page, a sync that fails":      {get("/"), 200, "", failing, false},
		"a look at the main page":               {head("/"), 200, "", nil, false},
		"a start":                               {asJSON(start), 200, "", nil, false},
		"a start, answered in HTML":             {as(html, asJSON(start)), 200, `<h1>You would like to monitor bob@contoso.example True</h1>`, nil, false},
		"a start, answered in JSON":             {as(form, asJSON(start)), 200, `{"email":"bob@contoso.example","result":"You would like to monitor bob@contoso.example True","status":"True"}`, nil, false},
		"a start while Graph is away":           {asJSON(start), 202, "", unresolved, false},
		"a start while Graph is away, in JSON":  {as(form, asJSON(start)), 202, "", unresolved, false},
		"a stop":                                {asJSON(stop), 200, "", nil, false},
		"no JSON":                               {as(form, asJSON("x")), 400, `{"result":"Not JSON"}`, nil, true},
		"wrong fields":                          {as(form, asJSON(`{"email":"bob@contoso.example","status":"yes"}`)), 400, `{"result":"Invalid JSON"}`, nil, true},
		"nobody":                                {asJSON(nowhere), 404, "", nil, false},
		"nobody, in JSON":                       {as(form, asJSON(nowhere)), 404, `{"email":"nobody@contoso.example","error":"User nobody@contoso.example not in Active Directory"}`, nil, false},
		"an address of several":                 {asJSON(start), 409, "", several, false},
		"an address of several, in JSON":        {as(form, asJSON(start)), 409, "", several, false},
		"a start that is too long":              {as(form, asJSON(`{"email":"`+strings.Repeat("x", 70_000)+`","status":"True"}`)), 413, "", nil, false},
		"a start while Redis is away":           {asJSON(start), 503, "", down, false},
		"a start while Redis is away, in JSON":  {as(form, asJSON(start)), 503, "", down, false},
		"all users":                             {get("/api/users"), 200, "", nil, false},
		"a page of users":                       {get("/api/users?limit=1"), 200, "", nil, false},
		"a page of no users":                    {get("/api/users?limit=0"), 400, "", nil, true},
		"users while Redis is away":             {get("/api/users"), 503, "", down, false},
		"many at once":                          {bulk(`{"emails":["bob@contoso.example","nobody",5,null]}`), 202, `{"results":[{"email":"bob@contoso.example","result":"accepted"},{"email":"nobody","result":"invalid","error":`, nil, false},
		"many that are no JSON":                 {bulk("x"), 400, `error`, nil, true},
		"many without names":                    {bulk(`{}`), 400, `emails`, nil, true},
		"many in too many bytes":                {bulk(`{"emails":["` + strings.Repeat("x", 5<<20) + `"]}`), 413, "", nil, false},
		"many while Redis is away":              {bulk(`{"emails":["bob@contoso.example"]}`), 503, "", down, false},
		"a user":                                {get(ann), 200, `"email":"ann@contoso.example"`, nil, false},
		"a user with everything":                {get("/api/users/full@contoso.example"), 200, "", nil, false},
		"a user who is not monitored":           {get("/api/users/bob@contoso.example"), 404, `"error":"not monitored"`, nil, false},
		"a user while Redis is away":            {get(ann), 503, "", down, false},
		"a start by PUT":                        {put("/api/users/bob@contoso.example"), 200, `"id":"id-bob"`, nil, false},
		"a start by PUT while Graph is away":    {put("/api/users/bob@contoso.example"), 202, "", unresolved, false},
		"a start of what is no address":         {put("/api/users/bob"), 400, `e-mail address`, nil, false},
		"a start of nobody by PUT":              {put("/api/users/nobody@contoso.example"), 404, `not in the directory`, nil, false},
		"a start of several by PUT":             {put("/api/users/bob@contoso.example"), 409, "", several, false},
		"a start by PUT while Redis is away":    {put(ann), 503, "", down, false},
		"a stop by DELETE":                      {remove(ann), 204, "", nil, false},
		"a stop by DELETE while Redis is away":  {remove(ann), 503, "", down, false},
		"a check":                               {post(ann + "/check"), 202, "", nil, false},
		"a check of nobody":                     {post("/api/users/bob@contoso.example/check"), 404, "", nil, false},
		"a resend":                              {post(ann + "/resend"), 202, "", nil, false},
		"a resend while Redis is away":          {post(ann + "/resend"), 503, "", down, false},
		"a history":                             {get(ann + "/history?limit=5"), 200, "", nil, false},
		"a history of a word":                   {get(ann + "/history?limit=few"), 400, "", nil, true},
		"a history of nobody":                   {get("/api/users/bob@contoso.example/history"), 404, "", nil, false},
		"this description":                      {get("/api/openapi.json"), 200, "", nil, false},
		"the log level":                         {get("/api/loglevel"), 200, "", nil, false},
		"another log level":                     {putJSON("/api/loglevel", `{"level":"Debug"}`), 200, "", nil, false},
		"a log level that is none":              {putJSON("/api/loglevel", `{"level":"loud"}`), 400, "", nil, false},
		"metrics":                               {get("/metrics"), 200, `metrics`, nil, false},
		"alive":                                 {get("/healthz"), 200, `ok`, nil, false},
		"ready":                                 {get("/readyz"), 200, "", nil, false},
		"not ready":                             {get("/readyz"), 503, "", unwell, false},
		"ready without what is needed":          {get("/readyz"), 200, "", excused, false},
		"a notification":                        {postJSON("/graph/notifications", `{"value":[{"subscriptionId":"x"},null]}`), 202, "", nil, false},
		"a notification of nothing":             {postJSON("/graph/lifecycle", `{"value":null}`), 202, "", nil, false},
		"a handshake":                           {request{method: "POST", path: "/graph/notifications?validationToken=Validation%3a+x", header: map[string]string{"Content-Type": form}, body: `{"value":[]}`}, 200, "", nil, false},
		"a notification that is none":           {postJSON("/graph/notifications", `{}`), 400, "", nil, true},
		"a handshake that is markup":            {post("/graph/lifecycle?validationToken=%3Cb%3E"), 400, "", nil, true},
		"a notification that is far too long":   {postJSON("/graph/notifications", `{"value":["`+strings.Repeat("x", 5<<20)+`"]}`), 413, "", nil, false},
		"a user in another spelling of the URL": {get("/api/users/ANN%40contoso.example"), 200, `"state":"watching"`, nil, false},
		"a stop, in JSON":                       {as(form, asJSON(stop)), 200, `{"email":"bob@contoso.example","result":"You would like to monitor bob@contoso.example False","status":"False"}`, nil, false},
		"a stop of nobody by DELETE":            {remove("/api/users/nobody@contoso.example"), 204, "", nil, false},
		"what is no address":                    {get("/api/users/nobody"), 404, `"error"`, nil, false},
		"a check while Redis is away":           {post(ann + "/check"), 503, "", down, false},
		"a history while Redis is away":         {get(ann + "/history"), 503, "", down, false},
	}
	d := description(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := full()
			if tt.world != nil {
				tt.world(w)
			}
			r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body))
			if tt.header == nil {
				tt.header = map[string]string{}
			}
			tt.header["Authorization"] = "Bearer the-token"
			answer, body := tt.ask(whole(t, w))
			if answer.Code != tt.status || !strings.Contains(body, tt.says) {
				t.Fatalf("%s %s = %d %.200s, want %d with %q", tt.method, tt.path, answer.Code, body, tt.status, tt.says)
			}
			if w.err != nil && strings.Contains(body, "refused") {
				t.Errorf("answer = %s, want nothing of the inside", body)
			}
			if h := answer.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("Server") != "" {
				t.Errorf("headers = %v, want nosniff, no-store and no banner", h)
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
			ExpiresAt: at, NotifiedAt: at, Error: "quota"}},
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
