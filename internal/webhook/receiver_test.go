package webhook_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

// tally counts verdicts.
type tally = map[string]int

// inbox remembers what it was asked to keep.
type inbox struct {
	mu       sync.Mutex
	hints    []ooo.Hint // guarded by mu, as all below
	verdicts tally
	err      error
	calls    int
}

func newInbox() *inbox { return &inbox{verdicts: tally{}} }

func (b *inbox) leave(_ context.Context, hints ...ooo.Hint) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.err == nil {
		b.hints = append(b.hints, hints...)
	}
	return b.err
}

func (b *inbox) counted(verdict string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.verdicts[verdict] += n
}

// of returns the mailboxes with hints of a kind.
func (b *inbox) of(kind ooo.HintKind) (ids []ooo.ObjectID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.hints {
		if h.Kind == kind {
			ids = append(ids, h.ID.ObjectID())
		}
	}
	return ids
}

var keys = ooo.NewClientStateKeys("a secret of the test", "an older one")

const (
	ann ooo.ObjectID = "00000000-0000-0000-0000-000000000001"
	bob ooo.ObjectID = "00000000-0000-0000-0000-000000000002"
)

const resource = "/users/{id}/events"

// receive answers requests without a network, as the service does; what tests don't care
// for is filled in.
func receive(cfg webhook.Config) http.Handler {
	if cfg.Keys == nil {
		cfg.Keys = func(context.Context) (ooo.ClientStateKeys, error) { return keys, nil }
	}
	if cfg.Ready == nil {
		cfg.Ready = func() bool { return true }
	}
	if cfg.Counted == nil {
		cfg.Counted = func(string, int) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Tracer == nil {
		cfg.Tracer = noop.Tracer{}
	}
	if cfg.Public == nil {
		cfg.Public = public(server.PublicConfig{Concurrency: 4})
	}
	cfg.Answered = func(time.Duration) {}
	engine := api.NewEngine(cfg.Log)
	webhook.New(cfg).Register(engine)
	return engine
}

// over is a receiver over b, whose keys may not be had.
func over(b *inbox, keysErr error) http.Handler {
	return receive(webhook.Config{
		Leave: b.leave, Counted: b.counted, Keys: func(context.Context) (ooo.ClientStateKeys, error) { return keys, keysErr },
	})
}

func public(cfg server.PublicConfig) *server.Public {
	cfg.Refused, cfg.Log = func(int) {}, slog.New(slog.DiscardHandler)
	return server.NewPublic(cfg)
}

// send makes one request without a network. A clientState in a header, which Graph never
// sends, proves nothing.
func send(h http.Handler, path, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("clientState", keys.Derive(ann, resource))
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, request)
	return answer
}

// notice is an item as Graph sends it, changed by the edits.
func notice(id ooo.ObjectID, edits ...func(map[string]any)) map[string]any {
	it := map[string]any{
		"subscriptionId": "sub-1", "subscriptionExpirationDateTime": "2026-11-27T09:00:00.0000000Z",
		"tenantId": "tenant", "clientState": keys.Derive(id, resource), "changeType": "updated",
		"resource": "Users/x/Events/y", "resourceData": map[string]any{"id": "y"},
	}
	for _, edit := range edits {
		edit(it)
	}
	return it
}

func put(name string, value any) func(map[string]any) {
	return func(it map[string]any) { it[name] = value }
}

func without(name string) func(map[string]any) { return func(it map[string]any) { delete(it, name) } }

func lifecycle(id ooo.ObjectID, kind string) map[string]any {
	return notice(id, without("changeType"), put("lifecycleEvent", kind))
}

func collection(t testing.TB, items ...any) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"value": items, "validationTokens": nil})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestHandshake(t *testing.T) {
	tests := map[string]struct {
		query  string
		status int
		body   string
	}{
		"Graph's token, decoded once": {"validationToken=Validation%3a+Testing+client+application+reachability+for+subscription+Request-Id%3a+9b7c", 200,
			"Validation: Testing client application reachability for subscription Request-Id: 9b7c"},
		"an encoded plus stays a plus":       {"validationToken=a%2Bb%2520c", 200, "a+b%20c"},
		"another query beside it":            {"x=1&validationToken=t&y=2", 200, "t"},
		"markup is refused":                  {"validationToken=%3Cscript%3E", 400, ""},
		"a line break is refused":            {"validationToken=a%0d%0ab", 400, ""},
		"an empty token is refused":          {"validationToken=", 400, ""},
		"a broken escape is refused":         {"validationToken=%zz", 400, ""},
		"no UTF-8 is refused":                {"validationToken=%ff", 400, ""},
		"a token of 4 KiB is the longest":    {"validationToken=" + strings.Repeat("a", 4096), 200, strings.Repeat("a", 4096)},
		"a token over 4 KiB is refused":      {"validationToken=" + strings.Repeat("a", 4097), 400, ""},
		"another spelling is not the token":  {"validationtoken=t", 400, ""},
		"an escape in its name":              {"%76alidationToken=t", 200, "t"},
		"its name alone":                     {"a=b&validationToken", 400, ""},
		"a broken pair before it is ignored": {"%zz=1&validationToken=t", 200, "t"},
	}
	for name, tt := range tests {
		for _, path := range []string{webhook.NotificationPath, webhook.LifecyclePath} {
			t.Run(name+" at "+path, func(t *testing.T) {
				b := newInbox()
				answer := send(over(b, errors.New("Redis is away")), path+"?"+tt.query, "not read")
				if body := answer.Body.String(); answer.Code != tt.status || body != tt.body {
					t.Errorf("answer = %d %q, want %d %q", answer.Code, body, tt.status, tt.body)
				}
				h := answer.Header()
				if tt.status == 200 && h.Get("Content-Type") != "text/plain; charset=utf-8" {
					t.Errorf("Content-Type = %q, want plain text", h.Get("Content-Type"))
				}
				if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
					t.Errorf("headers = %v, want nosniff and no-store", h)
				}
				if b.calls != 0 {
					t.Errorf("%d calls of the inbox, want none", b.calls)
				}
			})
		}
	}
}

func TestNotifications(t *testing.T) {
	forged := keys.Derive(ann, resource)
	forged = forged[:len(forged)-1] + string('A'+(forged[len(forged)-1]-'A'+1)%26)
	tests := map[string]struct {
		body     string
		status   int
		reads    []ooo.ObjectID // mailboxes to be read
		renewals int            // hints for subscriptions
		verdicts tally
	}{
		"a genuine item":                  {collection(t, notice(ann)), 202, []ooo.ObjectID{ann}, 0, tally{"accepted": 1}},
		"an older key is accepted":        {collection(t, notice(ann, put("clientState", ooo.NewClientStateKeys("an older one").Derive(ann, resource)))), 202, []ooo.ObjectID{ann}, 0, tally{"accepted": 1}},
		"doubled items are one hint":      {collection(t, notice(ann), notice(ann), notice(bob)), 202, []ooo.ObjectID{ann, bob}, 0, tally{"accepted": 3}},
		"a forged clientState":            {collection(t, notice(ann, put("clientState", forged))), 202, nil, 0, tally{"forged": 1}},
		"a missing clientState":           {collection(t, notice(ann, without("clientState"))), 202, nil, 0, tally{"forged": 1}},
		"a null clientState":              {collection(t, notice(ann, put("clientState", nil))), 202, nil, 0, tally{"forged": 1}},
		"a clientState that is no text":   {collection(t, notice(ann, put("clientState", 7))), 202, nil, 0, tally{"forged": 1}},
		"a forged item after a genuine":   {collection(t, notice(ann), notice(bob, put("clientState", "x"))), 202, []ooo.ObjectID{ann}, 0, tally{"accepted": 1, "forged": 1}},
		"a genuine item after a forged":   {collection(t, notice(bob, put("clientState", "x")), notice(ann)), 202, []ooo.ObjectID{ann}, 0, tally{"accepted": 1, "forged": 1}},
		"null, foreign and empty items":   {`{"value":[null,1,"x",[],{},{"clientState":"x"}]}`, 202, nil, 0, tally{"forged": 2, "ignored": 4}},
		"a null collection":               {`{"value":null}`, 202, nil, 0, nil},
		"an empty collection":             {`{"value":[]}`, 202, nil, 0, nil},
		"odd fields do not spoil an item": {collection(t, notice(ann, put("resourceData", 1), put("id", []any{}), put("tenantId", nil), put("subscriptionExpirationDateTime", "soon"))), 202, []ooo.ObjectID{ann}, 0, tally{"accepted": 1}},
		"a removed subscription":          {collection(t, lifecycle(ann, "subscriptionRemoved")), 202, []ooo.ObjectID{ann}, 1, tally{"lifecycle": 1}},
		"a reauthorization":               {collection(t, lifecycle(ann, "reauthorizationRequired")), 202, nil, 1, tally{"lifecycle": 1}},
		"missed notifications":            {collection(t, lifecycle(ann, "missed")), 202, []ooo.ObjectID{ann}, 0, tally{"lifecycle": 1}},
		"a removal that is also a change": {collection(t, notice(ann, put("lifecycleEvent", "subscriptionRemoved"))), 202, []ooo.ObjectID{ann}, 1, tally{"lifecycle": 1}},
		"a change with an unknown event":  {collection(t, notice(ann, put("lifecycleEvent", "renamed"))), 202, []ooo.ObjectID{ann}, 0, tally{"accepted": 1}},
		"a change and a removal of one":   {collection(t, notice(ann), lifecycle(ann, "subscriptionRemoved")), 202, []ooo.ObjectID{ann}, 1, tally{"accepted": 1, "lifecycle": 1}},
		"a forged lifecycle event":        {collection(t, notice(ann, without("changeType"), put("lifecycleEvent", "subscriptionRemoved"), put("clientState", "x"))), 202, nil, 0, tally{"forged": 1}},
		"a removal and a reauthorization": {collection(t, lifecycle(ann, "subscriptionRemoved"), lifecycle(ann, "reauthorizationRequired")), 202, []ooo.ObjectID{ann}, 2, tally{"lifecycle": 2}},
		"five reauthorizations of one":    {collection(t, again(5, lifecycle(ann, "reauthorizationRequired"))...), 202, nil, 1, tally{"lifecycle": 5}},
		"a genuine item of no kind":       {collection(t, notice(ann, without("changeType"))), 202, nil, 0, tally{"ignored": 1}},
		"an escape in a clientState":      {strings.Replace(collection(t, notice(ann)), `"clientState":"0`, `"client\u0053tate":"\u0030`, 1), 202, []ooo.ObjectID{ann}, 0, tally{"accepted": 1}},
		"names in another letter case":    {strings.NewReplacer("value", "Value", "clientState", "ClientState").Replace(collection(t, notice(ann))), 202, []ooo.ObjectID{ann}, 0, tally{"accepted": 1}},
		"items beyond 1,000 are ignored":  {collection(t, append(again(1000, notice(ann)), notice(bob), nil)...), 202, []ooo.ObjectID{ann}, 0, tally{"accepted": 1000, "ignored": 2}},
		"an unknown lifecycle event":      {collection(t, lifecycle(ann, "renamed")), 202, nil, 0, tally{"ignored": 1}},
		"encrypted content changes nothing": {collection(t, notice(ann, put("encryptedContent", map[string]any{"data": "eA=="}))), 202, []ooo.ObjectID{ann}, 0,
			tally{"accepted": 1}},
		"no JSON":                {`{`, 400, nil, 0, nil},
		"an empty body":          {``, 400, nil, 0, nil},
		"more after the JSON":    {`{"value":[]} x`, 400, nil, 0, nil},
		"no collection":          {`{"items":[]}`, 400, nil, 0, nil},
		"an array":               {`[]`, 400, nil, 0, nil},
		"null":                   {`null`, 400, nil, 0, nil},
		"a value that is a text": {`{"value":"x"}`, 400, nil, 0, nil},
		"a body over 4 MiB":      {`{"value":["` + strings.Repeat("x", 4<<20) + `"]}`, 413, nil, 0, nil},
	}
	for name, tt := range tests {
		for _, path := range []string{webhook.NotificationPath, webhook.LifecyclePath} {
			t.Run(name+" at "+path, func(t *testing.T) {
				b := newInbox()
				answer := send(over(b, nil), path, tt.body)
				if answer.Code != tt.status || tt.status == 202 && answer.Body.Len() > 0 {
					t.Errorf("answer = %d %q, want %d and no body", answer.Code, answer.Body, tt.status)
				}
				if got := b.of(ooo.HintRead); !slices.Equal(got, tt.reads) {
					t.Errorf("mailboxes to be read = %v, want %v", got, tt.reads)
				}
				if got := b.of(ooo.HintSubscription); len(got) != tt.renewals {
					t.Errorf("hints for subscriptions = %v, want %d", got, tt.renewals)
				}
				if b.calls > 1 || len(b.hints) != len(tt.reads)+tt.renewals {
					t.Errorf("hints = %+v in %d calls, want no others, in one", b.hints, b.calls)
				}
				if !maps.Equal(b.verdicts, tt.verdicts) {
					t.Errorf("verdicts = %v, want %v", b.verdicts, tt.verdicts)
				}
			})
		}
	}
}

func again(n int, item any) []any { return slices.Repeat([]any{item}, n) }

func TestHintsSayWhatCameAndCarryTheTrace(t *testing.T) {
	b, spans := newInbox(), tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	h := receive(webhook.Config{Leave: b.leave, Tracer: tracer})
	body := collection(t, notice(ann, put("id", "n-1")), lifecycle(bob, "subscriptionRemoved"))
	began := time.Now()
	send(h, webhook.LifecyclePath, body)
	send(h, webhook.LifecyclePath, collection(t, notice(ann, without("clientState"))))
	ended := spans.Ended()
	if len(ended) != 1 || len(b.hints) != 3 {
		t.Fatalf("%d spans and hints %+v, want one span, none of a forged request, and 3 hints", len(ended), b.hints)
	}
	parent := ended[0].SpanContext()
	want := []ooo.Hint{
		{ID: ooo.RecordID(ann), Kind: ooo.HintRead, NotificationID: "n-1"},
		{ID: ooo.RecordID(bob), Kind: ooo.HintRead, Reason: "subscriptionRemoved"},
		{ID: ooo.RecordID(bob), Kind: ooo.HintSubscription, Subject: "subscriptionRemoved", Reason: "subscriptionRemoved"},
	}
	for i, got := range b.hints {
		w := want[i]
		w.Source, w.SubscriptionID, w.ResourceTag = ooo.SourceNotification, "sub-1", ooo.ResourceTag(resource)
		w.Trace = fmt.Sprintf("00-%s-%s-01", parent.TraceID(), parent.SpanID())
		w.NotificationID = cmp.Or(w.NotificationID, got.NotificationID)
		if got.NotificationID == "" || got.At.Before(began) {
			t.Errorf("hint = %+v, want a time and a notification", got)
		}
		got.At = time.Time{}
		if got != w {
			t.Errorf("hint = %+v, want %+v", got, w)
		}
	}
}

func TestWhatCanNotBeStoredIsSentAgain(t *testing.T) {
	away := errors.New("Redis is away")
	tests := map[string]struct {
		inbox, keys error
		body        string
		want        int
	}{
		"the inbox fails a change":           {away, nil, collection(t, notice(ann)), 503},
		"the inbox fails a lifecycle event":  {away, nil, collection(t, lifecycle(ann, "subscriptionRemoved")), 503},
		"the keys can't be had":              {nil, away, collection(t, notice(ann)), 503},
		"nothing to check needs no keys":     {nil, away, `{"value":[null]}`, 202},
		"a forged item needs no inbox":       {away, nil, collection(t, notice(ann, put("clientState", "x"))), 202},
		"a genuine one beside a forged does": {away, nil, collection(t, notice(bob, put("clientState", "x")), notice(ann)), 503},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newInbox()
			b.err = tt.inbox
			answer := send(over(b, tt.keys), webhook.NotificationPath, tt.body)
			if answer.Code != tt.want || answer.Body.Len() > 0 {
				t.Errorf("answer = %d %q, want %d and no body", answer.Code, answer.Body, tt.want)
			}
			if later := answer.Header().Get("Retry-After"); (later != "") != (tt.want == 503) {
				t.Errorf("Retry-After = %q with %d, want it with 503 only", later, tt.want)
			}
		})
	}
}
