package main_test

import (
	"bytes"
	"cmp"
	"io"
	"maps"
	"net/http"
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

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// spanCollector receives spans over OTLP.
type spanCollector struct {
	mu    sync.Mutex
	raw   bytes.Buffer  // all spans as text; guarded by mu
	spans []*spans.Span // guarded by mu
}

func (c *spanCollector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &sent) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.WriteString(protojson.Format(&sent))
	for _, resource := range sent.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

// traces returns the spans by trace id.
func (c *spanCollector) traces() map[string][]*spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	traces := map[string][]*spans.Span{}
	for _, s := range c.spans {
		traces[string(s.GetTraceId())] = append(traces[string(s.GetTraceId())], s)
	}
	return traces
}

// has reports whether a trace has exactly spans with these names.
func (c *spanCollector) has(names []string) bool {
	for _, trace := range c.traces() {
		if slices.Equal(namesOf(trace), slices.Sorted(slices.Values(names))) {
			return true
		}
	}
	return false
}

// count counts the spans with a name.
func (c *spanCollector) count(name string) int64 { return c.countWith(name, "", "") }

// countWith counts the spans with a name and a value of an attribute.
func (c *spanCollector) countWith(name, key, value string) (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.GetName() == name && attribute(s, key) == value {
			n++
		}
	}
	return n
}

// namesOf returns the names of the spans in a trace, sorted.
func namesOf(trace []*spans.Span) (names []string) {
	for _, s := range trace {
		names = append(names, documentedName(s.GetName()))
	}
	slices.Sort(names)
	return names
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

// documentedParents returns the parent of each span in the diagram, where a child begins three
// columns after its parent. The root has none.
func documentedParents(t *testing.T) map[string]string {
	t.Helper()
	_, section, _ := strings.Cut(filetest.Read(t, "../../deploy/METRICS.md"), "\n## Traces\n")
	parents := map[string]string{}
	path := []string{""}
	for _, line := range diagramLine.FindAllStringSubmatch(section, -1) {
		depth := utf8.RuneCountInString(line[1]) / 3
		parents[line[2]] = path[depth-1]
		path = append(path[:depth], line[2])
	}
	return parents
}

const uuid = `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`

// allowedAttributes maps all attributes that spans may have to patterns of their values.
var allowedAttributes = map[string]string{
	"outlook_monitor.mailbox":            uuid, // the object id
	"outlook_monitor.source":             `[a-z]+`,
	"outlook_monitor.sequence":           `\d+`,
	"outlook_monitor.away":               `true|false`,
	"outlook_monitor.outcome":            `[a-z]+`,
	"outlook_monitor.attempt":            `\d+`,
	"outlook_monitor.items":              `\d+`,
	"outlook_monitor.hints":              `\d+`,
	"outlook_monitor.mailboxes_in_batch": `\d+`,
	"graph.client_request_id":            uuid,
	"graph.request_id":                   uuid,
	"http.request.method":                `POST`,
	"http.response.status_code":          `\d{3}`,
	"network.protocol.version":           `1\.1`,
	"server.address":                     `127\.0\.0\.1`,
	"server.port":                        `\d+`,
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

// TestTraces expects one trace for each change, from the notification to the mediator.
func TestTraces(t *testing.T) {
	t.Parallel()
	collected := &spanCollector{}
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 21})
	tb.env["OTEL_EXPORTER_OTLP_ENDPOINT_FILE"] = filetest.Temp(t, "endpoint", programtest.Serve(t, collected))
	tb.env["OTEL_BSP_SCHEDULE_DELAY"] = "50"
	tb.env["MEDIATOR_TOKEN"] = "mediator-token"
	load := newWorkload(tb, 2)
	p := load.startCovered()
	parents := documentedParents(t)
	notified := slices.Collect(maps.Keys(parents))
	polled := slices.DeleteFunc(slices.Clone(notified), func(name string) bool { return name == "notification" })
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
	changeUntil("a change with a notification is one trace", func() bool { return collected.has(notified) })
	changeUntil("a change seen by the poll is one trace", func() bool {
		return collected.countWith("read", "outlook_monitor.source", "poll") > 0 && collected.has(polled)
	})
	begin := time.Now().Add(2 * time.Second)
	tb.sim.SetReplies(load.users[0].ID, graphsim.AutomaticRepliesUpdate{
		Status: new("scheduled"), ScheduledStartDateTime: new(graphsim.UTC(begin)), ScheduledEndDateTime: new(graphsim.UTC(begin.Add(time.Hour))),
	})
	load.eventually("the beginning of a window has a trace", func() bool {
		return collected.countWith("read", "outlook_monitor.source", "window") > 0
	})

	// Forged notifications, and polls without a change, create no trace.
	sub := tb.sim.Subscriptions()[0]
	tb.wantStatus(http.StatusAccepted, "POST", "/graph/notifications", `{"value":[{"subscriptionId":"`+sub.ID+`","clientState":"x","changeType":"updated"}]}`)
	sent := func() int64 { return tb.sim.Stats().Notifications.Sent }
	load.eventually("every POST of Graph has a trace", func() bool { return collected.count("notification") >= sent() })
	p.stop()
	// The program has exited, so all traces are complete.
	if got, want := collected.count("notification"), sent(); got > want {
		t.Errorf("%d traces begin with a notification, want %d as Graph has sent", got, want)
	}
	if collected.countWith("POST 127.0.0.1", "http.response.status_code", "200") == 0 {
		t.Error("no span has an answer of the mediator with 200")
	}
	collected.check(t, parents)
	for what, secret := range map[string]string{
		"client secret": graphsim.DefaultClientSecret, "mediator token": "mediator-token", "access token": "eyJ", "header": "Bearer",
		"clientState": sub.ClientState, "message": "Round", "address": "@", "domain": "contoso",
	} {
		if strings.Contains(collected.raw.String(), secret) {
			t.Errorf("the spans contain the %s", what)
		}
	}
}

// check expects that the traces contain only changes and genuine notifications, each change in
// one trace, and only documented spans and attributes.
func (c *spanCollector) check(t *testing.T, parents map[string]string) {
	t.Helper()
	traceOf := map[string]string{} // by change
	for id, trace := range c.traces() {
		// A notification that another of the same mailbox overtook stays alone. One without a
		// change has a read without save.
		names := namesOf(trace)
		if !slices.Contains(names, "notification") && !slices.Contains(names, "save") {
			t.Errorf("trace = %q, want only changes and genuine notifications", names)
		}
		nameOf := map[string]string{"": ""} // by span id
		for _, s := range trace {
			nameOf[string(s.GetSpanId())] = documentedName(s.GetName())
		}
		for _, s := range trace {
			checkAttributes(t, s)
			name := documentedName(s.GetName())
			want, documented := parents[name]
			parent, found := nameOf[string(s.GetParentSpanId())]
			unannounced := name == "read" && parent == ""
			if !documented || !found || parent != want && !unannounced {
				t.Errorf("trace = %q with %s in %q, want what deploy/METRICS.md shows", names, name, parent)
			}
			// A read without a change has no sequence, and one that lost to a faster read failed.
			if attribute(s, "outlook_monitor.sequence") == "" || name == "read" && s.GetStatus().GetCode() == spans.Status_STATUS_CODE_ERROR {
				continue
			}
			change := attribute(s, "outlook_monitor.mailbox") + " " + attribute(s, "outlook_monitor.sequence")
			if other, ok := traceOf[change]; ok && other != id {
				t.Errorf("change %s is in two traces, want one", change)
			}
			traceOf[change] = id
		}
	}
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
