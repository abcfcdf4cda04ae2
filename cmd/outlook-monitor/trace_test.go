package main_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
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
	var format func(parent []byte) string
	format = func(parent []byte) string {
		var children []string
		for _, s := range trace {
			if bytes.Equal(s.GetParentSpanId(), parent) {
				child := documentedName(s.GetName())
				if below := format(s.GetSpanId()); below != "" {
					child += "(" + below + ")"
				}
				children = append(children, child)
			}
		}
		return strings.Join(slices.Sorted(slices.Values(children)), " ")
	}
	return format(nil)
}

// links returns the parents in a trace with each of their children. The parent of a root is "".
func links(trace []*spans.Span) map[string]bool {
	names := map[string]string{"": ""}
	for _, s := range trace {
		names[string(s.GetSpanId())] = documentedName(s.GetName())
	}
	found := map[string]bool{}
	for _, s := range trace {
		parent, ok := names[string(s.GetParentSpanId())]
		if !ok {
			parent = "a missing span"
		}
		found[fmt.Sprintf("%s in %q", documentedName(s.GetName()), parent)] = true
	}
	return found
}

// documentedName returns the name of a span in the diagram of a trace in deploy/METRICS.md.
func documentedName(name string) string {
	switch name {
	case "graph batch":
		return "graph read"
	case "POST 127.0.0.1":
		return "POST mediator"
	}
	return name
}

var diagramLine = regexp.MustCompile(`(?m)^(    [ │├└─]*)([a-zA-Z]+(?: [a-z]+)*)  `)

// documentedTrace returns the trace in the diagram of deploy/METRICS.md, where children are
// indented further than their parent.
func documentedTrace(t *testing.T) []*spans.Span {
	t.Helper()
	text, err := os.ReadFile("../../deploy/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Traces\n")
	var trace []*spans.Span
	var columns []int // of the spans in trace
	for _, line := range diagramLine.FindAllStringSubmatch(section, -1) {
		column := utf8.RuneCountInString(line[1])
		s := &spans.Span{Name: line[2], SpanId: []byte{byte(len(trace))}}
		for i := range trace {
			if columns[i] < column {
				s.ParentSpanId = trace[i].SpanId // of the last one
			}
		}
		trace, columns = append(trace, s), append(columns, column)
	}
	return trace
}

// Patterns of attribute values.
const (
	uuid   = `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`
	number = `\d+`
	word   = `[a-z]+`
)

// allowedAttributes maps all attributes that spans may have to patterns of their values.
var allowedAttributes = map[string]string{
	"outlook_monitor.mailbox":            uuid, // the object id
	"outlook_monitor.source":             word,
	"outlook_monitor.sequence":           number,
	"outlook_monitor.away":               `true|false`,
	"outlook_monitor.outcome":            word,
	"outlook_monitor.attempt":            number,
	"outlook_monitor.items":              number,
	"outlook_monitor.hints":              number,
	"outlook_monitor.mailboxes_in_batch": number,
	"graph.client_request_id":            uuid,
	"graph.request_id":                   uuid,
	"http.request.method":                `POST`,
	"http.response.status_code":          `\d{3}`,
	"network.protocol.version":           `1\.1`,
	"server.address":                     `127\.0\.0\.1`,
	"server.port":                        number,
	"url.full":                           `http://127\.0\.0\.1:\d+/api/setstatus`,
	"error.type":                         `\*?[a-zA-Z.]+`,
}

// attribute returns an attribute of a span as text, or "".
func attribute(s *spans.Span, name string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == name {
			return attributeText(a.GetValue())
		}
	}
	return ""
}

func attributeText(value *common.AnyValue) string {
	switch v := value.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *common.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	}
	return value.String() // matches no pattern
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

// roots counts the traces whose root has a name.
func (b *spanCollector) roots(name string) (n int64) {
	for shape, count := range b.shapes() {
		if root, _, _ := strings.Cut(shape, "("); root == name {
			n += int64(count)
		}
	}
	return n
}

// values returns the values of an attribute of all spans with a name.
func (b *spanCollector) values(name, key string) (values []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, trace := range b.traces {
		for _, s := range trace {
			if value := attribute(s, key); s.GetName() == name && value != "" {
				values = append(values, value)
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
	documented := documentedTrace(t)
	notified := shape(documented)
	polled := strings.TrimSuffix(strings.TrimPrefix(notified, "notification("), ")")
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
	changeUntil("a change with a notification is one trace, "+notified, func() bool { return collected.shapes()[notified] > 0 })
	changeUntil("a change seen by the poll is one trace, "+polled, func() bool {
		return slices.Contains(collected.values("read", "outlook_monitor.source"), "poll") && collected.shapes()[polled] > 0
	})
	begin := time.Now().Add(2 * time.Second)
	_, err := tb.sim.SetAutomaticReplies(load.users[0].ID, graphsim.AutomaticRepliesUpdate{
		Status: new("scheduled"), ScheduledStartDateTime: new(graphsim.UTC(begin)), ScheduledEndDateTime: new(graphsim.UTC(begin.Add(time.Hour))),
	})
	if err != nil {
		t.Fatal(err)
	}
	load.eventually("the beginning of a window has a trace", func() bool {
		return slices.Contains(collected.values("read", "outlook_monitor.source"), "window")
	})

	// Forged notifications, and polls without a change, create no trace.
	sub := tb.sim.Subscriptions()[0]
	status, _ := tb.post("/graph/notifications", fmt.Sprintf(`{"value":[{"subscriptionId":%q,"clientState":"x","changeType":"updated"}]}`, sub.ID))
	if status != http.StatusAccepted {
		t.Errorf("forged notification = %d, want 202", status)
	}
	sent := func() int64 { return tb.sim.Stats().Notifications.Sent }
	load.eventually("every POST of Graph has a trace", func() bool { return collected.roots("notification") >= sent() })
	p.stop()
	// The program has exited, so all traces are complete.
	if got, want := collected.roots("notification"), sent(); got > want {
		t.Errorf("%d traces begin with a notification, want %d as Graph has sent", got, want)
	}
	if answers := collected.values("POST 127.0.0.1", "http.response.status_code"); !slices.Contains(answers, "200") {
		t.Errorf("answers of the mediator in spans = %q, want 200", answers)
	}
	collected.check(t, documented)
	secrets := map[string]string{
		"client secret": graphsim.DefaultClientSecret, "mediator token": "mediator-token", "access token": "eyJ", "header": "Bearer",
		"clientState": sub.ClientState, "message": "Round", "address": "@", "domain": "contoso",
	}
	for what, secret := range secrets {
		if strings.Contains(collected.raw.String(), secret) {
			t.Errorf("the spans contain the %s", what)
		}
	}
}

// check expects that the traces contain only changes and genuine notifications, each change in
// one trace, and only documented spans and attributes.
func (b *spanCollector) check(t *testing.T, documented []*spans.Span) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	allowed := links(documented)
	allowed[`read in ""`] = true // no notification announced the change
	reads := map[string]string{} // trace ids, by mailbox and sequence
	for id, trace := range b.traces {
		for link := range links(trace) {
			if !allowed[link] {
				t.Errorf("trace = %s with %s, which is not in deploy/METRICS.md", shape(trace), link)
			}
		}
		// A notification that another of the same mailbox overtook stays alone. One without a
		// change has a read without save.
		if s := shape(trace); !strings.HasPrefix(s, "notification") && !strings.Contains(s, "save") {
			t.Errorf("trace = %s, want only changes and genuine notifications", s)
		}
		for _, s := range trace {
			checkAttributes(t, s)
			// A read without a change has no sequence, and one that lost to a faster read failed.
			if s.GetName() != "read" || attribute(s, "outlook_monitor.sequence") == "" || s.GetStatus().GetCode() == spans.Status_STATUS_CODE_ERROR {
				continue
			}
			if other, ok := reads[change(s)]; ok && other != id {
				t.Errorf("change %s has reads in two traces, want one", change(s))
			}
			reads[change(s)] = id
		}
	}
	for id, trace := range b.traces {
		for _, s := range trace {
			if s.GetName() == "deliver" && reads[change(s)] != id {
				t.Errorf("change %s is not delivered in the trace of its read", change(s))
			}
		}
	}
}

// change identifies the change that a span belongs to.
func change(s *spans.Span) string {
	return attribute(s, "outlook_monitor.mailbox") + " " + attribute(s, "outlook_monitor.sequence")
}

func checkAttributes(t *testing.T, s *spans.Span) {
	t.Helper()
	for _, a := range s.GetAttributes() {
		pattern, ok := allowedAttributes[a.GetKey()]
		if value := attributeText(a.GetValue()); !ok || !regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(value) {
			t.Errorf("%s has %s=%s, want %q", s.GetName(), a.GetKey(), value, cmp.Or(pattern, "no such attribute"))
		}
	}
	if len(s.GetEvents())+len(s.GetLinks()) > 0 {
		t.Errorf("%s has events or links, want none", s.GetName())
	}
}
