package collector_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// TestTraces runs the demo over both protocols concurrently.
func TestTraces(t *testing.T) {
	program, version := build(t)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run("over "+protocol, func(t *testing.T) {
			t.Parallel()
			sink, at := start(t)
			runDemo(t, program, "OTEL_EXPORTER_OTLP_ENDPOINT="+at[protocol], "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol)
			if sink.SpanCount() == 0 {
				t.Fatal("spans = 0, want some")
			}
			resources(t, sink, version)
			traces := byTrace(sink)
			links(t, traces)
			changes(t, traces)
			contents(t, sink, traces)
		})
	}
}

// build returns the program in OUTLOOK_MONITOR, or builds it, and its version.
func build(t *testing.T) (program, version string) {
	t.Helper()
	program = os.Getenv("OUTLOOK_MONITOR")
	if program == "" {
		program = filepath.Join(t.TempDir(), "outlook-monitor")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-C", top, "-buildvcs=false", "-o", program, "./cmd/outlook-monitor")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build the program: %v\n%s", err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), program, "version", "--json").Output()
	var answer struct{ Version string }
	if err := cmp.Or(err, json.Unmarshal(out, &answer)); err != nil {
		t.Fatalf("version: %v", err)
	}
	return program, answer.Version
}

// runDemo runs the demo, which checks itself.
func runDemo(t *testing.T, program string, env ...string) {
	t.Helper()
	demo := exec.CommandContext(t.Context(), program, "demo", "--once")
	demo.Env = append(env, "TMPDIR="+os.TempDir())
	out, err := demo.CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	for _, text := range texts {
		if !bytes.Contains(out, []byte(text)) {
			t.Errorf("the demo lacks %q, so the search for it in spans proves nothing\n%s", text, out)
		}
	}
}

// resources checks the resource of the spans.
func resources(t *testing.T, sink *consumertest.TracesSink, version string) {
	t.Helper()
	want := map[string]any{"service.name": "outlook-monitor", "service.version": version}
	for _, batch := range sink.AllTraces() {
		for _, r := range batch.ResourceSpans().All() {
			got := r.Resource().Attributes().AsRaw()
			maps.DeleteFunc(got, func(name string, _ any) bool { return strings.HasPrefix(name, "telemetry.sdk.") })
			if !maps.Equal(got, want) {
				t.Errorf("resource = %v, want %v", got, want)
			}
		}
	}
}

// byTrace returns all spans by trace id.
func byTrace(sink *consumertest.TracesSink) map[pcommon.TraceID][]ptrace.Span {
	traces := map[pcommon.TraceID][]ptrace.Span{}
	for _, batch := range sink.AllTraces() {
		for _, r := range batch.ResourceSpans().All() {
			for _, scope := range r.ScopeSpans().All() {
				for _, s := range scope.Spans().All() {
					traces[s.TraceID()] = append(traces[s.TraceID()], s)
				}
			}
		}
	}
	return traces
}

// links compares parents and children with the diagram. At least one trace must contain the
// whole diagram, from the notification to the mediator's answer. Traces of changes without
// a notification begin with the read.
func links(t *testing.T, traces map[pcommon.TraceID][]ptrace.Span) {
	t.Helper()
	want := documented(t)
	whole := 0
	for id, spans := range traces {
		names := map[pcommon.SpanID]string{{}: ""}
		for _, s := range spans {
			names[s.SpanID()] = diagramName(s.Name())
		}
		got := map[link]bool{}
		for _, s := range spans {
			outer, ok := names[s.ParentSpanID()]
			if !ok {
				t.Errorf("trace %s: the parent of %s is missing", id, s.Name())
			}
			got[link{outer, diagramName(s.Name())}] = true
		}
		if maps.Equal(got, want) && answered(spans) {
			whole++
		}
		delete(got, link{"", "read"})
		for l := range got {
			if !want[l] {
				t.Errorf("trace %s: %s has parent %q, which is not in deploy/METRICS.md", id, l.inner, l.outer)
			}
		}
	}
	if whole == 0 {
		t.Errorf("no trace contains all of %v: %v", want, spanNames(traces))
	}
}

// answered reports whether a trace contains an answer of the mediator.
func answered(spans []ptrace.Span) bool {
	return slices.ContainsFunc(spans, func(s ptrace.Span) bool {
		return diagramName(s.Name()) == "POST mediator" && attribute(s, "http.response.status_code") == "200"
	})
}

// changes checks that each change has one trace with one read, and that only this trace
// contains its delivery.
func changes(t *testing.T, traces map[pcommon.TraceID][]ptrace.Span) {
	t.Helper()
	reads, sources := map[string]pcommon.TraceID{}, map[string]bool{}
	for id, spans := range traces {
		for _, s := range spans {
			// A read without a change has no sequence, and one that lost to a faster
			// read has failed.
			if s.Name() != "read" || attribute(s, "outlook_monitor.sequence") == "" || s.Status().Code() == ptrace.StatusCodeError {
				continue
			}
			change := attribute(s, "outlook_monitor.mailbox") + " " + attribute(s, "outlook_monitor.sequence")
			if other, ok := reads[change]; ok {
				t.Errorf("change %s has reads in traces %s and %s, want one", change, other, id)
			}
			reads[change], sources[attribute(s, "outlook_monitor.source")] = id, true
		}
	}
	for id, spans := range traces {
		for _, s := range spans {
			change := attribute(s, "outlook_monitor.mailbox") + " " + attribute(s, "outlook_monitor.sequence")
			if s.Name() == "deliver" && reads[change] != id {
				t.Errorf("change %s is delivered in trace %s, want the trace of its read, %s", change, id, reads[change])
			}
		}
	}
	if want := map[string]bool{"notification": true, "poll": true, "window": true, "request": true}; !maps.Equal(sources, want) {
		t.Errorf("sources = %v, want %v", sources, want)
	}
}

// contents checks the attributes of spans, and that they contain no secrets.
func contents(t *testing.T, sink *consumertest.TracesSink, traces map[pcommon.TraceID][]ptrace.Span) {
	t.Helper()
	for _, spans := range traces {
		for _, s := range spans {
			for name, value := range s.Attributes().All() {
				pattern, ok := allowedAttributes[name]
				if !ok || !regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(value.AsString()) {
					t.Errorf("%s has %s=%s, want %q", s.Name(), name, value.AsString(), cmp.Or(pattern, "no such attribute"))
				}
			}
			if s.Events().Len()+s.Links().Len() > 0 {
				t.Errorf("%s has events or links, want none", s.Name())
			}
		}
	}
	for _, batch := range sink.AllTraces() {
		text, err := new(ptrace.JSONMarshaler).MarshalTraces(batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("the spans contain %q: %s", secret, text)
			}
		}
	}
}

// attribute returns an attribute of a span as text, or "".
func attribute(s ptrace.Span, name string) string {
	if value, ok := s.Attributes().Get(name); ok {
		return value.AsString()
	}
	return ""
}

// spanNames lists the span names of each trace.
func spanNames(traces map[pcommon.TraceID][]ptrace.Span) []string {
	var all []string
	for _, spans := range traces {
		var names []string
		for _, s := range spans {
			names = append(names, s.Name())
		}
		all = append(all, fmt.Sprint(slices.Sorted(slices.Values(names))))
	}
	return all
}
