package webhook_test

import (
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
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

// counts are the numbers of items by verdict.
type counts = map[string]int

// hintStore records hints and verdicts.
type hintStore struct {
	mu       sync.Mutex
	hints    []ooo.Hint // guarded by mu, as all below
	verdicts counts
	err      error // returned instead of storing hints
	calls    int
}

func newHintStore() *hintStore { return &hintStore{verdicts: counts{}} }

func (s *hintStore) leave(_ context.Context, hints ...ooo.Hint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.err == nil {
		s.hints = append(s.hints, hints...)
	}
	return s.err
}

func (s *hintStore) count(verdict string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verdicts[verdict] += n
}

// mailboxes returns the mailboxes with hints of a kind.
func (s *hintStore) mailboxes(kind ooo.HintKind) (ids []ooo.ObjectID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hints {
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

// newConfig returns a configuration with which only clientStates are verified.
func newConfig(s *hintStore) webhook.Config {
	return webhook.Config{
		Ready: func() bool { return true }, Public: newPublic(server.PublicConfig{Concurrency: 4}), LeaveHints: s.leave,
		Keys:    func(context.Context) (ooo.ClientStateKeys, error) { return keys, nil },
		Counted: s.count, Answered: func(time.Duration) {}, Tracer: noop.Tracer{}, Log: slog.New(slog.DiscardHandler),
	}
}

func newPublic(cfg server.PublicConfig) *server.Public {
	cfg.Refused, cfg.Log = func(int) {}, slog.New(slog.DiscardHandler)
	return server.NewPublic(cfg)
}

// serve serves a receiver as the service does.
func serve(cfg webhook.Config) http.Handler {
	engine := api.NewEngine(cfg.Log)
	webhook.New(cfg).Register(engine)
	return engine
}

// send POSTs a body. A clientState in a header, which Graph never sends, must not count.
func send(h http.Handler, path, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("clientState", keys.Derive(ann, resource))
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, request)
	return answer
}

// changeItem is a change notification as Graph sends it, with edits applied.
func changeItem(id ooo.ObjectID, edits ...func(map[string]any)) map[string]any {
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

func lifecycleItem(id ooo.ObjectID, event string, edits ...func(map[string]any)) map[string]any {
	return changeItem(id, append(edits, without("changeType"), set("lifecycleEvent", event))...)
}

func set(name string, value any) func(map[string]any) {
	return func(it map[string]any) { it[name] = value }
}

func without(name string) func(map[string]any) { return func(it map[string]any) { delete(it, name) } }

func collection(t testing.TB, items ...any) string { return collectionWith(t, nil, items...) }

func collectionWith(t testing.TB, tokens any, items ...any) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"value": items, "validationTokens": tokens})
	must.NoError(t, err)
	return string(body)
}

var forAnn, forBob = []ooo.ObjectID{ann}, []ooo.ObjectID{bob}

// exchange is a request, its answer and what it leads to.
type exchange struct {
	body          string
	status        int
	reads         []ooo.ObjectID // mailboxes with a read hint
	subscriptions int            // subscription hints
	verdicts      counts
}

func (e exchange) run(t testing.TB, path string, tokens *webhook.Tokens, certificates *webhook.Certificates) {
	t.Helper()
	s := newHintStore()
	cfg := newConfig(s)
	cfg.Tokens, cfg.Certificates = tokens, certificates
	answer := send(serve(cfg), path, e.body)
	if answer.Code != e.status || e.status == 202 && answer.Body.Len() > 0 {
		t.Errorf("answer = %d %q, want %d and no body", answer.Code, answer.Body, e.status)
	}
	reads, subscriptions := s.mailboxes(ooo.HintRead), s.mailboxes(ooo.HintSubscription)
	if !slices.Equal(reads, e.reads) || len(subscriptions) != e.subscriptions || len(s.hints) != len(e.reads)+e.subscriptions || s.calls > 1 {
		t.Errorf("read hints for %v, subscription hints for %v, in %d calls, want %v and %d, no others, in one call",
			reads, subscriptions, s.calls, e.reads, e.subscriptions)
	}
	if !maps.Equal(s.verdicts, e.verdicts) {
		t.Errorf("verdicts = %v, want %v", s.verdicts, e.verdicts)
	}
}

func TestNotifications(t *testing.T) {
	forged := keys.Derive(ann, resource)
	forged = forged[:len(forged)-1] + string('A'+(forged[len(forged)-1]-'A'+1)%26)
	repeat := func(n int, item any) []any { return slices.Repeat([]any{item}, n) }
	for name, tt := range map[string]exchange{
		"change":                        {collection(t, changeItem(ann)), 202, forAnn, 0, counts{"accepted": 1}},
		"older clientState key":         {collection(t, changeItem(ann, set("clientState", ooo.NewClientStateKeys("an older one").Derive(ann, resource)))), 202, forAnn, 0, counts{"accepted": 1}},
		"two changes of a mailbox":      {collection(t, changeItem(ann), changeItem(ann), changeItem(bob)), 202, []ooo.ObjectID{ann, bob}, 0, counts{"accepted": 3}},
		"forged clientState":            {collection(t, changeItem(ann, set("clientState", forged))), 202, nil, 0, counts{"forged": 1}},
		"missing clientState":           {collection(t, changeItem(ann, without("clientState"))), 202, nil, 0, counts{"forged": 1}},
		"numeric clientState":           {collection(t, changeItem(ann, set("clientState", 7))), 202, nil, 0, counts{"forged": 1}},
		"forged after genuine":          {collection(t, changeItem(ann), changeItem(bob, set("clientState", "x"))), 202, forAnn, 0, counts{"accepted": 1, "forged": 1}},
		"null, non-object, empty items": {`{"value":[null,1,"x",[],{},{"clientState":"x"}]}`, 202, nil, 0, counts{"forged": 2, "ignored": 4}},
		"fields of wrong types":         {collection(t, changeItem(ann, set("resourceData", 1), set("id", []any{}), set("tenantId", nil), set("subscriptionExpirationDateTime", "soon"))), 202, forAnn, 0, counts{"accepted": 1}},
		"removal":                       {collection(t, lifecycleItem(ann, "subscriptionRemoved")), 202, forAnn, 1, counts{"lifecycle": 1}},
		"missed":                        {collection(t, lifecycleItem(ann, "missed")), 202, forAnn, 0, counts{"lifecycle": 1}},
		"five reauthorizations":         {collection(t, repeat(5, lifecycleItem(ann, "reauthorizationRequired"))...), 202, nil, 1, counts{"lifecycle": 5}},
		"event that is also a change":   {collection(t, changeItem(ann, set("lifecycleEvent", "reauthorizationRequired"))), 202, forAnn, 1, counts{"lifecycle": 1}},
		"change with an unknown event":  {collection(t, changeItem(ann, set("lifecycleEvent", "renamed"))), 202, forAnn, 0, counts{"accepted": 1}},
		"change and removal":            {collection(t, changeItem(ann), lifecycleItem(ann, "subscriptionRemoved")), 202, forAnn, 1, counts{"accepted": 1, "lifecycle": 1}},
		"removal and reauthorization":   {collection(t, lifecycleItem(ann, "subscriptionRemoved"), lifecycleItem(ann, "reauthorizationRequired")), 202, forAnn, 2, counts{"lifecycle": 2}},
		"forged removal":                {collection(t, lifecycleItem(ann, "subscriptionRemoved", set("clientState", "x"))), 202, nil, 0, counts{"forged": 1}},
		"neither change nor event":      {collection(t, changeItem(ann, without("changeType"))), 202, forAnn, 0, counts{"accepted": 1}},
		"unknown event":                 {collection(t, lifecycleItem(ann, "renamed")), 202, nil, 0, counts{"ignored": 1}},
		"escapes in the clientState":    {strings.Replace(collection(t, changeItem(ann)), `"clientState":"0`, `"client\u0053tate":"\u0030`, 1), 202, forAnn, 0, counts{"accepted": 1}},
		"names in another letter case":  {strings.NewReplacer("value", "Value", "clientState", "ClientState").Replace(collection(t, changeItem(ann))), 202, forAnn, 0, counts{"accepted": 1}},
		"one after 9,000 items":         {collection(t, append(repeat(9000, changeItem(ann, set("clientState", "x"))), changeItem(bob), nil)...), 202, forBob, 0, counts{"accepted": 1, "forged": 9000, "ignored": 1}},
		"empty body":                    {``, 400, nil, 0, nil},
		"text after the JSON":           {`{"value":[]} x`, 400, nil, 0, nil},
		"no value":                      {`{"items":[]}`, 400, nil, 0, nil},
		"value that is no list":         {`{"value":{}}`, 400, nil, 0, nil},
	} {
		for _, path := range []string{webhook.NotificationPath, webhook.LifecyclePath} {
			t.Run(name+" at "+path, func(t *testing.T) { tt.run(t, path, nil, nil) })
		}
	}
}

func TestHintFields(t *testing.T) {
	s, spans, answers := newHintStore(), tracetest.NewSpanRecorder(), 0
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	cfg := newConfig(s)
	cfg.Tracer, cfg.Answered = tracer, func(time.Duration) { answers++ }
	h := serve(cfg)
	began := time.Now()
	send(h, webhook.LifecyclePath, collection(t, changeItem(ann, set("id", "n-1")), lifecycleItem(bob, "subscriptionRemoved")))
	send(h, webhook.LifecyclePath, collection(t, changeItem(ann, without("clientState"))))
	ended := spans.Ended()
	if len(ended) != 1 || len(s.hints) != 3 || answers != 2 {
		t.Fatalf("%d spans, hints %+v and %d answers, want one span, for the genuine request, 3 hints and 2 answers", len(ended), s.hints, answers)
	}
	parent := ended[0].SpanContext()
	want := []ooo.Hint{
		{ID: ooo.RecordID(ann), Kind: ooo.HintRead, NotificationID: "n-1"},
		{ID: ooo.RecordID(bob), Kind: ooo.HintRead, Reason: "subscriptionRemoved"},
		{ID: ooo.RecordID(bob), Kind: ooo.HintSubscription, Subject: "subscriptionRemoved", Reason: "subscriptionRemoved"},
	}
	for i, got := range s.hints {
		if got.NotificationID == "" || got.At.Before(began) {
			t.Errorf("hint = %+v, want a time and a notification id", got)
		}
		w := want[i]
		w.At, w.Source, w.SubscriptionID, w.ResourceTag = got.At, ooo.SourceNotification, "sub-1", ooo.ResourceTag(resource)
		w.Trace = fmt.Sprintf("00-%s-%s-01", parent.TraceID(), parent.SpanID())
		if w.NotificationID == "" {
			w.NotificationID = got.NotificationID // derived
		}
		if got != w {
			t.Errorf("hint = %+v, want %+v", got, w)
		}
	}
}

func TestStoreFailure(t *testing.T) {
	unreachable := func(context.Context) error { return errors.New("redis unreachable") }
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	genuine, forged := changeItem(ann), changeItem(bob, set("clientState", "x"))
	tests := map[string]struct {
		store, keys func(context.Context) error
		body        string
		want        int
	}{
		"hint of a change not stored":      {unreachable, nil, collection(t, genuine), 503},
		"genuine item beside a forged one": {unreachable, nil, collection(t, forged, genuine), 503},
		"forged item needs no store":       {unreachable, nil, collection(t, forged), 202},
		"store hangs":                      {hang, nil, collection(t, genuine, lifecycleItem(bob, "subscriptionRemoved")), 503},
		"keys unavailable":                 {nil, unreachable, collection(t, genuine), 503},
		"no object needs no keys":          {nil, unreachable, `{"value":[null]}`, 202},
	}
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range tests {
			hints := newHintStore()
			cfg, calls, began := newConfig(hints), 0, time.Now()
			if tt.store != nil {
				cfg.LeaveHints = func(ctx context.Context, _ ...ooo.Hint) error { calls++; return tt.store(ctx) }
			}
			if tt.keys != nil {
				cfg.Keys = func(ctx context.Context) (ooo.ClientStateKeys, error) { return keys, tt.keys(ctx) }
			}
			answer := send(serve(cfg), webhook.NotificationPath, tt.body)
			if took := time.Since(began); answer.Code != tt.want || answer.Body.Len() > 0 || took >= 3*time.Second || calls > 1 {
				t.Errorf("%s: answer = %d %q after %v and %d calls, want %d and no body within 3 s, and one call at most",
					name, answer.Code, answer.Body, took, calls, tt.want)
			}
			if tt.want == 503 && len(hints.verdicts) > 0 {
				t.Errorf("%s: verdicts = %v, want none: all items come again", name, hints.verdicts)
			}
			if later := answer.Header().Get("Retry-After"); (later != "") != (tt.want == 503) {
				t.Errorf("%s: Retry-After = %q with %d, want it with 503 only", name, later, tt.want)
			}
		}
	})
}

func TestStoreFailureIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := programtest.Logger()
		cfg := newConfig(newHintStore())
		cfg.Log, cfg.LeaveHints = log, func(context.Context, ...ooo.Hint) error { return errors.New("redis unreachable") }
		receiver := serve(cfg)
		for minute := 1; minute <= 2; minute++ {
			for range 3 {
				send(receiver, webhook.NotificationPath, collection(t, changeItem(ann)))
			}
			if got := strings.Count(out.String(), "redis unreachable"); got != minute {
				t.Errorf("%d lines in the log after %d minutes, want one a minute:\n%s", got, minute, out)
			}
			time.Sleep(time.Minute)
		}
	})
}
