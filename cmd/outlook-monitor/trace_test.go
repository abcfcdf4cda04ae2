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
	"outlook-monitor/internal/redistest"
)

// spanCollector receives spans over OTLP.
type spanCollector struct {
	mu     sync.Mutex
	raw    bytes.Buffer             // all spans as text; guarded by mu
	traces map[string][]*spans.Span // by trace id; guarded by mu
}

func (b *spanCollector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &sent) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.raw.WriteString(protojson.Format(&sent))
	for _, resource := range sent.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				b.traces[string(s.GetTraceId())] = append(b.traces[string(s.GetTraceId())], s)
			}
		}
	}
}

// shape formats a trace as a tree: each span with its children, sorted by name.
func shape(trace []*spans.Span) string {
	var format func(s *spans.Span) string
	format = func(s *spans.Span) string {
		var children []string
		for _, child := range trace {
			if string(child.GetParentSpanId()) == string(s.GetSpanId()) {
				children = append(children, format(child))
			}
		}
		if len(children) == 0 {
			return s.GetName()
		}
		return s.GetName() + "(" + strings.Join(slices.Sorted(slices.Values(children)), " ") + ")"
	}
	var roots []string
	for _, s := range trace {
		if len(s.GetParentSpanId()) == 0 {
			roots = append(roots, format(s))
		}
	}
	return strings.Join(slices.Sorted(slices.Values(roots)), " ")
}

// shapes counts the traces by shape.
func (b *spanCollector) shapes() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[string]int{}
	for _, trace := range b.traces {
		n[shape(trace)]++
	}
	return n
}

// values returns the values of an attribute of all spans with a name.
func (b *spanCollector) values(name, attribute string) (values []string) {
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

// TestTraces expects one trace for each change, from the notification to the mediator.
func TestTraces(t *testing.T) {
	t.Parallel()
	collected := &spanCollector{traces: map[string][]*spans.Span{}}
	endpoint := httptest.NewServer(collected)
	t.Cleanup(endpoint.Close)
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 21})
	tb.env["OTEL_EXPORTER_OTLP_ENDPOINT"], tb.env["OTEL_BSP_SCHEDULE_DELAY"] = endpoint.URL, "50"
	tb.env["MEDIATOR_TOKEN"] = "mediator-token"
	load := newWorkload(tb, 2)
	p := load.startCovered()
	const delivered = "read(deliver(POST 127.0.0.1) graph read save)"
	// Each round has a change with a notification, but sometimes the poll is faster.
	changeUntil := func(what string, done func() bool) {
		load.eventually(what, func() bool {
			if done() {
				return true
			}
			load.change()
			load.waitDelivered()
			return false
		})
	}
	changeUntil("a change with a notification is one trace", func() bool { return collected.shapes()["notification("+delivered+")"] > 0 })
	changeUntil("a change seen by the poll is one trace", func() bool {
		shapes := collected.shapes()
		return slices.Contains(collected.values("read", "outlook_monitor.source"), "poll") &&
			shapes[delivered]+shapes[strings.Replace(delivered, "graph read", "graph batch", 1)] > 0
	})
	for _, id := range append(collected.values("graph read", "graph.client_request_id"), collected.values("graph read", "graph.request_id")...) {
		if len(id) != 36 {
			t.Errorf("id of a Graph call = %q, want a UUID", id)
		}
	}
	if n := len(collected.values("graph read", "graph.request_id")); n == 0 {
		t.Error("no span has the request-id of Graph")
	}

	// Forged notifications, and polls without a change, create no trace.
	sub := tb.sim.Subscriptions()[0]
	status, _ := tb.post("/graph/notifications", fmt.Sprintf(`{"value":[{"subscriptionId":%q,"clientState":"x","changeType":"updated"}]}`, sub.ID))
	if status != http.StatusAccepted {
		t.Errorf("forged notification = %d, want 202", status)
	}
	load.eventually("every genuine notification has led to a read", func() bool { return collected.shapes()["notification"] == 0 })
	p.stop()
	// The program has exited, so all traces are complete. A genuine notification has a trace even
	// if the poll was faster.
	for shape := range collected.shapes() {
		notified := strings.HasPrefix(shape, "notification(read(")
		if !notified && !(strings.HasPrefix(shape, "read(") && strings.Contains(shape, "save")) {
			t.Errorf("trace = %s, want only changes and genuine notifications", shape)
		}
	}

	collected.mu.Lock()
	text := collected.raw.String()
	collected.mu.Unlock()
	secrets := map[string]string{
		"client secret": graphsim.DefaultClientSecret, "mediator token": "mediator-token",
		"clientState": sub.ClientState, "message": "Round", "address": "@contoso.example",
	}
	for what, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("the spans contain the %s", what)
		}
	}
}
