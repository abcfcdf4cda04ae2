package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.opentelemetry.io/otel/trace/noop"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

func TestOpenAPIDocumentIsValid(t *testing.T) {
	d := readDocument(t)
	if version := fmt.Sprint(d.tree["openapi"]); !strings.HasPrefix(version, "3.1.") {
		t.Errorf("openapi = %s, want 3.1", version)
	}
	schema, err := jsonschema.NewCompiler().Compile("testdata/oas31.json") // by the OpenAPI Initiative
	must.NoError(t, err)
	if err := schema.Validate(d.tree); err != nil {
		t.Errorf("openapi.json is not valid OpenAPI: %v", err)
	}
}

// fullEngine returns an engine with all described routes.
func fullEngine(t *testing.T, f *fixture) *gin.Engine {
	t.Helper()
	engine := handler(t, f)
	webhook.New(webhook.Config{
		Ready: func() bool { return true }, LeaveHints: f.leave, Log: f.log, Tracer: noop.Tracer{},
		Keys:     func(context.Context) (ooo.ClientStateKeys, error) { return ooo.NewClientStateKeys("key"), nil },
		Public:   server.NewPublic(server.PublicConfig{Concurrency: 1, Refused: func(int) {}, Log: f.log}),
		Counted:  func(string, int) {},
		Answered: func(time.Duration) {},
	}).Register(engine)
	return engine
}

// TestAllRoutesAreDescribed calls each without the token. It leaves out HEAD where it is like GET, trailing slashes, the
// methods that Graph's paths don't allow, and /debug, which is for go tool pprof.
func TestAllRoutesAreDescribed(t *testing.T) {
	f, routes := monitorFixture(), map[string]bool{}
	f.token = "the-token"
	engine := fullEngine(t, f)
	for _, route := range engine.Routes() {
		graph := strings.HasPrefix(route.Path, "/graph/")
		if route.Path != "/" && strings.HasSuffix(route.Path, "/") || strings.HasPrefix(route.Path, "/debug/") ||
			route.Method == http.MethodHead && route.Path != "/" || graph && route.Method != http.MethodPost {
			continue
		}
		routes[route.Method+" "+strings.ReplaceAll(route.Path, ":email", "{email}")] = true
	}
	described := readDocument(t).operations
	for route := range routes {
		if _, ok := described[route]; !ok {
			t.Errorf("%s is not described in openapi.json", route)
		}
	}
	for route, o := range described {
		if !routes[route] {
			t.Errorf("%s is described in openapi.json, but is not a route", route)
		}
		answer, _ := request{method: o.method, path: strings.ReplaceAll(o.path, "{email}", "ann@contoso.example")}.ask(engine)
		_, unauthorized := o.responses["401"]
		security, own := o.object["security"].([]any)
		open := own && len(security) == 0
		if refused := answer.Code == http.StatusUnauthorized; refused != unauthorized || refused == open {
			t.Errorf("%s without the token = %d, but described as open: %t, and with a 401: %t", route, answer.Code, open, unauthorized)
		}
		answer, _ = request{o.method, o.path, "", map[string]string{"Sec-Fetch-Site": "cross-site"}}.ask(engine)
		if answer.Code == http.StatusForbidden && !strings.Contains(fmt.Sprint(o.responses["default"]), "403") {
			t.Errorf("%s from a page of another site = 403, which is not described", route)
		}
	}
}

// exchange is a request and its answer, which must match the document.
type exchange struct {
	request
	status   int
	contains string
	setUp    func(f *fixture) // may be nil
	invalid  bool             // the request does not match the document
}

var emailParam = regexp.MustCompile("/api/users/[^/]+")

func TestAnswersMatchTheDocument(t *testing.T) {
	const ann = "/api/users/ann@contoso.example"
	with := func(name, value string, r request) request {
		r.header[name] = value
		return r
	}
	down, unready := func(f *fixture) { f.err = errAway }, func(f *fixture) { f.unready = true }
	unresolved := func(f *fixture) { f.lookupErr = ooo.ErrUnavailable }
	several := func(f *fixture) { f.lookupErr = ooo.ErrAmbiguous }
	failing := func(f *fixture) { f.sync = func(context.Context) error { return errors.New("away") } }
	noSync := func(f *fixture) { f.sync = func(context.Context) error { panic("a sync") } }
	badCursor := func(f *fixture) { f.err = ooo.ErrBadCursor }
	graph := func(required bool, excused func() bool, err error) func(*fixture) {
		probe := func(context.Context) (string, error) { return "details", err }
		return func(f *fixture) {
			f.checks = []api.Check{{Name: "graph", Required: required, Excused: excused, Probe: probe}}
		}
	}
	yes, no, refused := func() bool { return true }, func() bool { return false }, errors.New("login refused")
	accepted, invalid := `{"email":"bob@contoso.example","result":"accepted"}`, `"result":"invalid","error":"`+ooo.ErrBadAddress.Error()+`"}`
	const html, form = "text/html", "application/json"
	start, stop := `{"email":"bob@contoso.example","status":"True"}`, `{"email":"bob@contoso.example","status":false}`
	long := start + strings.Repeat(" ", 70_000)
	bulk := func(body string) request { return postJSON("/api/users", body) }
	d := readDocument(t)
	for name, tt := range map[string]exchange{
		"main page":                        {get("/"), 200, "SUCCESSFUL", nil, false},
		"main page, failed sync":           {get("/"), 200, "Unable", failing, false},
		"main page, HEAD":                  {head("/"), 200, "", noSync, false},
		"monitor":                          {with("Accept", html, postMonitor(start)), 200, `<h1>You would like to monitor bob@contoso.example True</h1>`, nil, false},
		"monitor, JSON":                    {with("Accept", form, postMonitor(start)), 200, `{"email":"bob@contoso.example","result":"You would like to monitor bob@contoso.example True","status":"True"}`, nil, false},
		"monitor, Graph unreachable":       {postMonitor(start), 202, "", unresolved, false},
		"monitor, Graph unreachable, JSON": {with("Accept", form, postMonitor(start)), 202, "", unresolved, false},
		"monitor, not JSON":                {with("Accept", form, postMonitor("x")), 400, `{"result":"Not JSON"}`, nil, true},
		"monitor, invalid fields":          {with("Accept", form, postMonitor(`{"email":"bob@contoso.example","status":"yes"}`)), 400, `{"result":"Invalid JSON"}`, nil, true},
		"monitor, unknown user":            {monitor("nobody@contoso.example", "TRUE"), 404, "", nil, false},
		"monitor, unknown user, JSON":      {with("Accept", form, monitor("nobody@contoso.example", "TRUE")), 404, `{"email":"nobody@contoso.example","error":"User nobody@contoso.example not in Active Directory"}`, nil, false},
		"monitor, ambiguous address":       {postMonitor(start), 409, "", several, false},
		"monitor, ambiguous address, JSON": {with("Accept", form, postMonitor(start)), 409, "", several, false},
		"monitor, body too large":          {postMonitor(long), 413, "<h1>", nil, false},
		"monitor, body too large, JSON":    {with("Accept", form, postMonitor(long)), 413, "", nil, false},
		"monitor, Redis unreachable":       {postMonitor(start), 503, "", down, false},
		"monitor, Redis unreachable, JSON": {with("Accept", form, postMonitor(start)), 503, "", down, false},
		"list, first page":                 {get("/api/users?limit=1"), 200, `"cursor":"ann@contoso.example"`, nil, false},
		"list, last page":                  {get("/api/users?limit=1&cursor=ann@contoso.example"), 200, fullUser + "]}", nil, false},
		"list, invalid cursor":             {get("/api/users?cursor=garbage"), 400, "cursor", badCursor, false},
		"list, invalid limit":              {get("/api/users?limit=0"), 400, "", nil, true},
		"list, Redis unreachable":          {get("/api/users"), 503, "", down, false},
		"bulk":                             {bulk(`{"emails":["bob@contoso.example","bob@contoso.example","nobody",["a@b"]]}`), 202, `{"results":[` + accepted + `,` + accepted + `,{"email":"nobody",` + invalid + `,{"email":"[\"a@b\"]",` + invalid + `]}`, nil, false},
		"bulk, not JSON":                   {bulk("x"), 400, `"Not JSON"`, nil, true},
		"bulk, no object":                  {bulk(`[]`), 400, `{"error":"write {\"emails\":`, nil, true},
		"bulk, no list":                    {bulk(`{"emails":"a@b"}`), 400, `{"error":"write {\"emails\":`, nil, true},
		"bulk, body too large":             {with("Transfer-Encoding", "chunked", bulk(`{"emails":["`+strings.Repeat("x", 5<<20)+`"]}`)), 413, "", nil, false},
		"bulk, Redis unreachable":          {bulk(`{"emails":["bob@contoso.example"]}`), 503, "", down, false},
		"user":                             {get(ann), 200, annUser, nil, false},
		"user, all fields":                 {get("/api/users/full@contoso.example"), 200, fullUser, nil, false},
		"user, not monitored":              {get("/api/users/bob@contoso.example"), 404, `"error":"not monitored"`, nil, false},
		"user, Redis unreachable":          {get(ann), 503, "", down, false},
		"PUT":                              {put("/api/users/bob@contoso.example"), 200, `"id":"id-bob"`, nil, false},
		"PUT, Graph unreachable":           {put("/api/users/bob@contoso.example"), 202, "", unresolved, false},
		"PUT, invalid address":             {put("/api/users/bob"), 400, `e-mail address`, nil, false},
		"PUT, unknown user":                {put("/api/users/nobody@contoso.example"), 404, `not in the directory`, nil, false},
		"PUT, ambiguous address":           {put("/api/users/bob@contoso.example"), 409, "", several, false},
		"PUT, Redis unreachable":           {put(ann), 503, "", down, false},
		"DELETE, invalid address":          {remove("/api/users/bob"), 204, "", nil, false},
		"DELETE, Redis unreachable":        {remove(ann), 503, "", down, false},
		"check":                            {post(ann + "/check"), 202, "", nil, false},
		"check, not monitored":             {post("/api/users/bob@contoso.example/check"), 404, "", nil, false},
		"cover":                            {post(ann + "/cover"), 202, "", nil, false},
		"resend":                           {post(ann + "/resend"), 202, "", nil, false},
		"resend, Redis unreachable":        {post(ann + "/resend"), 503, "", down, false},
		"history":                          {get(ann + "/history?limit=5"), 200, "", nil, false},
		"history, invalid limit":           {get(ann + "/history?limit=few"), 400, "", nil, true},
		"history, not monitored":           {get("/api/users/bob@contoso.example/history"), 404, "", nil, false},
		"OpenAPI":                          {get("/api/openapi.json"), 200, "", nil, false},
		"log level":                        {get("/api/loglevel"), 200, "", nil, false},
		"log level, change":                {putJSON("/api/loglevel", `{"level":"Debug"}`), 200, "", nil, false},
		"log level, unknown":               {putJSON("/api/loglevel", `{"level":"loud"}`), 400, "", nil, false},
		"metrics":                          {get("/metrics"), 200, `metrics`, nil, false},
		"healthz":                          {get("/healthz"), 200, `ok`, nil, false},
		"readyz":                           {get("/readyz"), 200, "", nil, false},
		"readyz, required, ok":             {get("/readyz"), 200, `{"checks":{"graph":{"ok":true,"required":true,"detail":"details"}},"ready":true}`, graph(true, nil, nil), false},
		"readyz, required, failed":         {get("/readyz"), 503, `{"checks":{"graph":{"ok":false,"required":true,"detail":"details","error":"login refused"}},"ready":false}`, graph(true, nil, refused), false},
		"readyz, excused":                  {get("/readyz"), 200, `{"checks":{"graph":{"ok":false,"required":true,"excused":true,"detail":"details","error":"login refused"}},"ready":true}`, graph(true, yes, refused), false},
		"readyz, no longer excused":        {get("/readyz"), 503, `{"checks":{"graph":{"ok":false,"required":true,"detail":"details","error":"login refused"}},"ready":false}`, graph(true, no, refused), false},
		"readyz, excused, ok":              {get("/readyz"), 200, `{"checks":{"graph":{"ok":true,"required":true,"detail":"details"}},"ready":true}`, graph(true, yes, nil), false},
		"readyz, not required":             {get("/readyz"), 200, `{"checks":{"graph":{"ok":false,"required":false,"detail":"details","error":"login refused"}},"ready":true}`, graph(false, nil, refused), false},
		"notification":                     {postJSON("/graph/notifications", `{"value":[{"subscriptionId":"x"},null]}`), 202, "", nil, false},
		"handshake":                        {request{method: "POST", path: "/graph/notifications?validationToken=Validation%3a+x", header: map[string]string{"Content-Type": form}, body: `{"value":[]}`}, 200, "", nil, false},
		"notification, not a collection":   {postJSON("/graph/notifications", `{}`), 400, "", nil, true},
		"handshake, markup":                {post("/graph/lifecycle?validationToken=%3Cb%3E"), 400, "", nil, true},
		"notification, too large":          {postJSON("/graph/notifications", `{"value":["`+strings.Repeat("x", 5<<20)+`"]}`), 413, "", nil, false},
		"monitor, stop, JSON":              {with("Accept", form, postMonitor(stop)), 200, `{"email":"bob@contoso.example","result":"You would like to monitor bob@contoso.example False","status":"False"}`, nil, false},
		"user, invalid address":            {get("/api/users/nobody"), 404, `"error"`, nil, false},
		"check, Redis not reached yet":     {post(ann + "/check"), 503, "has not been reached", unready, false},
		"history, Redis unreachable":       {get(ann + "/history"), 503, "", down, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := fullFixture()
			if tt.setUp != nil {
				tt.setUp(f)
			}
			if tt.header == nil {
				tt.header = map[string]string{}
			}
			tt.header["Authorization"] = "Bearer the-token"
			answer, body := tt.ask(fullEngine(t, f))
			if answer.Code != tt.status || !strings.Contains(body, tt.contains) {
				t.Fatalf("%s %s = %d %.200s, want %d with %q", tt.method, tt.path, answer.Code, body, tt.status, tt.contains)
			}
			if f.err != nil && strings.Contains(body, "refused") {
				t.Errorf("answer = %s, want no error of the store", body)
			}
			if h := answer.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("Server") != "" {
				t.Errorf("headers = %v, want nosniff, no-store and no banner", h)
			}
			target, err := url.Parse(tt.path)
			must.NoError(t, err)
			o, ok := d.operations[tt.method+" "+emailParam.ReplaceAllString(target.Path, "/api/users/{email}")]
			if !ok {
				t.Fatalf("%s %s is not described", tt.method, tt.path)
			}
			if example := fmt.Sprint(o.responses["409"]); tt.status == http.StatusConflict && !strings.Contains(example, ooo.ErrAmbiguous.Error()) {
				t.Errorf("described answer = %s, want %q in it", example, ooo.ErrAmbiguous)
			}
			if err := d.checkRequest(o, target.Query(), tt.body); (err != nil) != tt.invalid {
				t.Errorf("request: %v, want it to match the document: %t", err, !tt.invalid)
			}
			if err := d.checkAnswer(o, answer.Result()); err != nil {
				t.Errorf("answer %d %.300s does not match the document: %v", answer.Code, answer.Body, err)
			}
		})
	}
}

// The users of fullFixture in JSON.
const (
	fullUser = `{"email":"full@contoso.example","id":"oid","userPrincipalName":"Full@contoso.example","displayName":"Full",` +
		`"state":"unknown","reason":"denied","outOfOffice":true,"setting":{"status":"scheduled","externalAudience":"all",` +
		`"scheduledStart":"2026-11-24T09:00:00Z","scheduledEnd":"2026-11-24T10:00:00Z","message":"Hi"},` +
		`"checkedAt":"2026-11-24T09:00:00Z","changedAt":"2026-11-24T09:00:00Z","delivery":{"state":"refused","sequence":3,` +
		`"attempts":2,"deliveredAt":"2026-11-24T09:00:00Z","nextAttemptAt":"2026-11-24T09:00:00Z","error":"the mediator answered 404"},` +
		`"subscriptions":[{"id":"sub","resource":"/users/oid/events","expiresAt":"2026-11-24T09:00:00Z","state":"failed",` +
		`"spokeAt":"2026-11-24T09:00:00Z","error":"quota"}]}`
	annUser = `{"email":"ann@contoso.example","id":"id-ann-at-contoso.example","userPrincipalName":"","displayName":"",` +
		`"state":"watching","outOfOffice":null,"setting":null,"checkedAt":null,"changedAt":null,"delivery":{"state":"none",` +
		`"sequence":0,"attempts":0,"deliveredAt":null,"nextAttemptAt":null},"subscriptions":[]}`
)

// constants returns the values of all constants of a type of events.
func constants(kind string) (values []string) {
	source, _ := os.ReadFile("../ooo/event.go")
	for _, m := range regexp.MustCompile(`\t\w+ +`+kind+` += "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		values = append(values, m[1])
	}
	return values
}

// fullFixture has a user with all fields and a history with all kinds of events.
func fullFixture() *fixture {
	f := monitorFixture()
	f.token, f.log = "the-token", slog.New(slog.DiscardHandler)
	f.add(userNamed("ann@contoso.example"))
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.FixedZone("", 3600))
	f.add(ooo.User{Mailbox: ooo.Mailbox{
		Condition: ooo.Unknown, Reason: "denied",
		Person:  ooo.Person{ID: "oid", UserPrincipalName: "Full@contoso.example", DisplayName: "Full"},
		Setting: &ooo.Setting{Status: ooo.Scheduled, ExternalAudience: "all", Start: at, End: at.Add(time.Hour), Message: "Hi"},
		State:   &ooo.State{Away: true, Message: "Hi"}, CheckedAt: at, ChangedAt: at,
		Subscriptions: []ooo.Subscription{{Resource: "/users/{id}/events", ID: "sub", State: ooo.SubscriptionFailed,
			ExpiresAt: at, NotifiedAt: at, Error: "quota"}},
	}, Address: ooo.Address{
		Spelling: "full@contoso.example", Sequence: 3,
		Delivery: ooo.Delivery{State: ooo.DeliveryRefused, Sequence: 2, Attempts: 2, DeliveredAt: at, NextAttemptAt: at, Error: "the mediator answered 404"},
	}})
	for _, kind := range constants("EventKind") {
		if kind != string(ooo.EventStopped) { // only in the feed
			f.events = append(f.events, ooo.Event{At: at, Kind: ooo.EventKind(kind)})
		}
	}
	for _, source := range constants("Source") {
		f.events = append(f.events, ooo.Event{At: at, Kind: ooo.EventChanged, Source: ooo.Source(source), Sequence: 3, Away: new(true),
			NotificationID: "n", NotifiedAt: at, Attempt: 1, WebhookID: "msg", Detail: "a reason"})
	}
	f.checks = []api.Check{
		{Name: "redis", Required: true, Probe: func(context.Context) (string, error) { return "fine", nil }},
		{Name: "mediator", Probe: func(context.Context) (string, error) { return "", io.ErrUnexpectedEOF }},
	}
	return f
}

func TestExamplesMatchTheirSchemas(t *testing.T) {
	d, examples := readDocument(t), 0
	eachExample("", d.tree, func(schema string, value any) {
		examples++
		if err := d.validate(schema, value); err != nil {
			t.Errorf("an example does not match %s: %v", schema, err)
		}
	})
	if examples < 20 {
		t.Errorf("%d examples, want at least 20", examples)
	}
}
