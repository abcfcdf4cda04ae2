package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// tracebook takes spans over OTLP and keeps them by trace.
type tracebook struct {
	mu     sync.Mutex
	raw    bytes.Buffer             // all of it as text; guarded by mu, as all below
	traces map[string][]*spans.Span // by trace id
}

func (b *tracebook) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &sent) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.raw.WriteString(protojson.Format(&sent))
	for _, of := range sent.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				b.traces[string(s.GetTraceId())] = append(b.traces[string(s.GetTraceId())], s)
			}
		}
	}
}

// shape draws a trace: each span with those below it in the order of their names.
func shape(trace []*spans.Span) string {
	var draw func(s *spans.Span) string
	draw = func(s *spans.Span) string {
		var inner []string
		for _, child := range trace {
			if string(child.GetParentSpanId()) == string(s.GetSpanId()) {
				inner = append(inner, draw(child))
			}
		}
		if len(inner) == 0 {
			return s.GetName()
		}
		return s.GetName() + "(" + strings.Join(slices.Sorted(slices.Values(inner)), " ") + ")"
	}
	var roots []string
	for _, s := range trace {
		if len(s.GetParentSpanId()) == 0 {
			roots = append(roots, draw(s))
		}
	}
	return strings.Join(slices.Sorted(slices.Values(roots)), " ")
}

// shapes counts the traces of each shape.
func (b *tracebook) shapes() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[string]int{}
	for _, trace := range b.traces {
		n[shape(trace)]++
	}
	return n
}

// ids returns the values of an attribute, over all spans of one name.
func (b *tracebook) ids(name, attribute string) (values []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, trace := range b.traces {
		for _, s := range trace {
			for _, a := range s.GetAttributes() {
				if s.GetName() == name && a.GetKey() == attribute {
					values = append(values, a.GetValue().GetStringValue())
				}
			}
		}
	}
	return values
}

// TestATraceGoesFromTheNotificationToTheMediator follows changes through the
// built binary, Redis and both other sides.
func TestATraceGoesFromTheNotificationToTheMediator(t *testing.T) {
	t.Parallel()
	book := &tracebook{traces: map[string][]*spans.Span{}}
	endpoint := httptest.NewServer(book)
	t.Cleanup(endpoint.Close)
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 21})
	w.env["OTEL_EXPORTER_OTLP_ENDPOINT"], w.env["OTEL_BSP_SCHEDULE_DELAY"] = endpoint.URL, "50"
	w.env["MEDIATOR_TOKEN"] = "mediators-token"
	c := newCrowd(w, 2)
	p := c.begin()
	const delivered = "read(deliver(POST 127.0.0.1) graph read save)"
	// One change of each round is announced; now and then the poll is faster.
	changing := func(what string, done func() bool) {
		c.eventually(what, func() bool {
			if done() {
				return true
			}
			c.change()
			c.settle()
			return false
		})
	}
	changing("an announced change is one trace", func() bool { return book.shapes()["notification("+delivered+")"] > 0 })
	changing("a polled change is one trace", func() bool {
		shapes := book.shapes()
		return slices.Contains(book.ids("read", "outlook_monitor.source"), "poll") &&
			shapes[delivered]+shapes[strings.Replace(delivered, "graph read", "graph batch", 1)] > 0
	})
	for _, id := range append(book.ids("graph read", "graph.client_request_id"), book.ids("graph read", "graph.request_id")...) {
		if len(id) != 36 {
			t.Errorf("an id of a Graph call = %q, want a UUID", id)
		}
	}
	if n := len(book.ids("graph read", "graph.request_id")); n == 0 {
		t.Error("no span tells Graph's request-id")
	}

	// What is forged, and polls that find nothing new, leave no trace.
	sub := w.sim.Subscriptions()[0]
	status, _ := w.post("/graph/notifications", fmt.Sprintf(`{"value":[{"subscriptionId":%q,"clientState":"x","changeType":"updated"}]}`, sub.ID))
	if status != http.StatusAccepted {
		t.Errorf("a forged notification = %d, want 202", status)
	}
	c.eventually("every genuine notification is read", func() bool { return book.shapes()["notification"] == 0 })
	p.stop()
	// The program has ended, so all traces are complete. A genuine notification
	// leaves one even if the poll was first.
	for shape := range book.shapes() {
		announced := strings.HasPrefix(shape, "notification(read(")
		if !announced && !(strings.HasPrefix(shape, "read(") && strings.Contains(shape, "save")) {
			t.Errorf("a trace of %s, want none but of changes and of genuine notifications", shape)
		}
	}

	secrets := map[string]string{
		"the client secret": graphsim.DefaultClientSecret, "the mediator's token": "mediators-token",
		"a clientState": sub.ClientState, "a message": "Round", "an address": "@contoso.example",
	}
	for what, secret := range secrets {
		if strings.Contains(book.raw.String(), secret) {
			t.Errorf("the spans tell %s", what)
		}
	}
}

func TestProfilesAreWhereTheAPIIs(t *testing.T) {
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 22})
	private := programtest.FreeAddress(t)
	w.env["PRIVATE_ADDR"], w.env["MONITOR_TOKEN"] = private, "the-token"
	public := w.base
	w.start("serve")
	ask := func(base, token string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/debug/pprof/goroutine?debug=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		status, _ := send(request)
		return status
	}
	w.eventually("the private listener gives profiles", func() bool { return ask("http://"+private, "the-token") == http.StatusOK })
	if got := ask("http://"+private, ""); got != http.StatusUnauthorized {
		t.Errorf("a profile without the token = %d, want 401", got)
	}
	if got := ask(public, "the-token"); got != http.StatusNotFound {
		t.Errorf("a profile from the public listener = %d, want 404", got)
	}
}
