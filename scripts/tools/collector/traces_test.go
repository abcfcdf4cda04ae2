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

// TestTheCollectorTakesTheTraces plays the demo twice at once.
func TestTheCollectorTakesTheTraces(t *testing.T) {
	program, version := build(t)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run("over "+protocol, func(t *testing.T) {
			t.Parallel()
			sink, at := start(t)
			play(t, program, "OTEL_EXPORTER_OTLP_ENDPOINT="+at[protocol], "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol)
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

// build returns the program and its version. OUTLOOK_MONITOR may name one.
func build(t *testing.T) (program, version string) {
	t.Helper()
	program = os.Getenv("OUTLOOK_MONITOR")
	if program == "" {
		program = filepath.Join(t.TempDir(), "outlook-monitor")
		made := exec.CommandContext(t.Context(), "go", "build", "-C", top, "-buildvcs=false", "-o", program, "./cmd/outlook-monitor")
		if out, err := made.CombinedOutput(); err != nil {
			t.Fatalf("build the program: %v\n%s", err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), program, "version", "--json").Output()
	var said struct{ Version string }
	if err := cmp.Or(err, json.Unmarshal(out, &said)); err != nil {
		t.Fatalf("ask for the version: %v", err)
	}
	return program, said.Version
}

// play runs the demo, which checks itself.
func play(t *testing.T, program string, env ...string) {
	t.Helper()
	demo := exec.CommandContext(t.Context(), program, "demo", "--once")
	demo.Env = append(env, "TMPDIR="+os.TempDir())
	out, err := demo.CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	for _, text := range texts {
		if !bytes.Contains(out, []byte(text)) {
			t.Errorf("nobody says %q in the demo: what spans must not tell would not be there\n%s", text, out)
		}
	}
}

// resources checks who the spans are said to be of.
func resources(t *testing.T, sink *consumertest.TracesSink, version string) {
	t.Helper()
	want := map[string]any{"service.name": "outlook-monitor", "service.version": version}
	for _, batch := range sink.AllTraces() {
		for _, of := range batch.ResourceSpans().All() {
			got := of.Resource().Attributes().AsRaw()
			maps.DeleteFunc(got, func(name string, _ any) bool { return strings.HasPrefix(name, "telemetry.sdk.") })
			if !maps.Equal(got, want) {
				t.Errorf("resource = %v, want %v", got, want)
			}
		}
	}
}

// byTrace returns all spans by their trace.
func byTrace(sink *consumertest.TracesSink) map[pcommon.TraceID][]ptrace.Span {
	traces := map[pcommon.TraceID][]ptrace.Span{}
	for _, batch := range sink.AllTraces() {
		for _, of := range batch.ResourceSpans().All() {
			for _, scope := range of.ScopeSpans().All() {
				for _, s := range scope.Spans().All() {
					traces[s.TraceID()] = append(traces[s.TraceID()], s)
				}
			}
		}
	}
	return traces
}

// links compares what is part of what with the drawing. All of it must be seen in
// one trace, from the notification to the mediator's answer; a change that nothing
// announced begins with the look.
func links(t *testing.T, traces map[pcommon.TraceID][]ptrace.Span) {
	t.Helper()
	want := promised(t)
	whole := 0
	for id, spans := range traces {
		names := map[pcommon.SpanID]string{{}: ""}
		for _, s := range spans {
			names[s.SpanID()] = nameInDrawing(s.Name())
		}
		got := map[link]bool{}
		for _, s := range spans {
			outer, ok := names[s.ParentSpanID()]
			if !ok {
				t.Errorf("trace %s: what %s is part of did not arrive", id, s.Name())
			}
			got[link{outer, nameInDrawing(s.Name())}] = true
		}
		if maps.Equal(got, want) && answered(spans) {
			whole++
		}
		delete(got, link{"", "read"})
		for l := range got {
			if !want[l] {
				t.Errorf("trace %s: %s is part of %q, which deploy/METRICS.md does not say", id, l.inner, l.outer)
			}
		}
	}
	if whole == 0 {
		t.Errorf("no trace has all of %v: %v", want, shapes(traces))
	}
}

// answered reports whether the mediator answered in a trace.
func answered(spans []ptrace.Span) bool {
	return slices.ContainsFunc(spans, func(s ptrace.Span) bool {
		return nameInDrawing(s.Name()) == "POST mediator" && note(s, "http.response.status_code") == "200"
	})
}

// changes checks that each change is one trace with one look, and that it is told
// there and nowhere else.
func changes(t *testing.T, traces map[pcommon.TraceID][]ptrace.Span) {
	t.Helper()
	looks, sources := map[string]pcommon.TraceID{}, map[string]bool{}
	for id, spans := range traces {
		for _, s := range spans {
			// A look that found nothing has no sequence, and one that another look
			// was faster than failed.
			if s.Name() != "read" || note(s, "outlook_monitor.sequence") == "" || s.Status().Code() == ptrace.StatusCodeError {
				continue
			}
			change := note(s, "outlook_monitor.mailbox") + " " + note(s, "outlook_monitor.sequence")
			if other, ok := looks[change]; ok {
				t.Errorf("change %s has looks in %s and %s, want one", change, other, id)
			}
			looks[change], sources[note(s, "outlook_monitor.source")] = id, true
		}
	}
	for id, spans := range traces {
		for _, s := range spans {
			change := note(s, "outlook_monitor.mailbox") + " " + note(s, "outlook_monitor.sequence")
			if s.Name() == "deliver" && looks[change] != id {
				t.Errorf("change %s is told in trace %s, want it in that of its look, %s", change, id, looks[change])
			}
		}
	}
	if want := map[string]bool{"notification": true, "poll": true, "window": true, "request": true}; !maps.Equal(sources, want) {
		t.Errorf("sources = %v, want %v", sources, want)
	}
}

// contents checks that spans tell what they may, and nothing else.
func contents(t *testing.T, sink *consumertest.TracesSink, traces map[pcommon.TraceID][]ptrace.Span) {
	t.Helper()
	for _, spans := range traces {
		for _, s := range spans {
			for name, value := range s.Attributes().All() {
				pattern, ok := told[name]
				if !ok || !regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(value.AsString()) {
					t.Errorf("%s tells %s=%s, want %q", s.Name(), name, value.AsString(), cmp.Or(pattern, "no such attribute"))
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
				t.Errorf("the spans hold %q: %s", secret, text)
			}
		}
	}
}

// note returns an attribute of a span as text; empty if it has none.
func note(s ptrace.Span, name string) string {
	if value, ok := s.Attributes().Get(name); ok {
		return value.AsString()
	}
	return ""
}

// shapes lists the names in each trace.
func shapes(traces map[pcommon.TraceID][]ptrace.Span) []string {
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
