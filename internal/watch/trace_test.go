package watch_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/watch"
)

// tracer keeps the spans that were made.
type tracer struct {
	mu    sync.Mutex
	spans []*span // guarded by mu
}

type span struct {
	name, parent string
	began, ended time.Time
	notes        map[string]any
}

type spanKey struct{}

func (t *tracer) Begin(ctx context.Context, name, parent string, at time.Time) (context.Context, ooo.Span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if outer, ok := ctx.Value(spanKey{}).(*span); ok && parent == "" {
		parent = outer.Traceparent()
	}
	s := &span{name: name, parent: parent, began: at, notes: map[string]any{}}
	t.spans = append(t.spans, s)
	return context.WithValue(ctx, spanKey{}, s), s
}

func (s *span) Traceparent() string         { return "trace of " + s.name }
func (s *span) Note(name string, value any) { s.notes[name] = value }
func (s *span) End(at time.Time, _ error)   { s.ended = at }

// names lists the spans in the order in which they were begun.
func (t *tracer) names() (names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.spans {
		names = append(names, s.name)
	}
	return names
}

func TestWhatIsTraced(t *testing.T) {
	tests := map[string]struct {
		before, after ooo.Setting
		claim         ooo.Claim // what the look is begun by, besides who
		want          int       // spans
		parent        string
	}{
		"a poll that finds nothing new leaves nothing":           {on, on, ooo.Claim{Source: ooo.SourcePoll}, 0, ""},
		"a poll that finds a change is a trace":                  {off, on, ooo.Claim{Source: ooo.SourcePoll}, 3, ""},
		"a setting that means the same leaves nothing":           {off, ooo.Setting{Status: ooo.Disabled, ExternalReply: "x"}, ooo.Claim{Source: ooo.SourcePoll}, 0, ""},
		"a notification's change belongs to its trace":           {off, on, ooo.Claim{Source: ooo.SourceNotification, Trace: "the notification"}, 3, "the notification"},
		"a notification that finds nothing new ends its trace":   {on, on, ooo.Claim{Source: ooo.SourceNotification, Trace: "the notification"}, 2, "the notification"},
		"a notification without a trace finds nothing: no trace": {on, on, ooo.Claim{Source: ooo.SourceNotification}, 0, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, spans := calling{newWorld(), map[ooo.Key]string{}}, &tracer{}
				w.add("ann", tt.before)
				watcher, err := watch.New(watch.Config{Queue: w, Store: w, Graph: w, Interval: 2 * time.Second, Tracer: spans})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { _ = watcher.Run(ctx) })
				time.Sleep(time.Second)
				first := spans.names()
				w.set(func() {
					w.graph["id-ann"] = ooo.Reading{ID: "id-ann", Setting: tt.after}
					c := w.claims["ann"]
					c.Source, c.Trace = tt.claim.Source, tt.claim.Trace
					w.claims["ann"] = c
				})
				time.Sleep(2 * time.Second)
				cancel()
				running.Wait()
				got := spans.spans[len(first):]
				if len(first) != 3 || len(got) != tt.want {
					t.Fatalf("spans = %v, want look, graph and record at first and %d more", spans.names(), tt.want)
				}
				if tt.want == 0 {
					return
				}
				look := got[0]
				if look.name != "look" || look.parent != tt.parent || look.notes["object_id"] != "id-ann" || look.ended.Before(look.began) {
					t.Errorf("look = %+v, want it of ann in %q", look, tt.parent)
				}
				asked := got[1]
				if asked.name != "graph read" || asked.parent != "trace of look" || asked.notes["graph.client_request_id"] != "ours" || asked.notes["graph.request_id"] != "theirs" {
					t.Errorf("call = %+v, want both ids", asked)
				}
				if traced := w.traced["ann"]; tt.want == 3 && traced != "trace of look" {
					t.Errorf("recorded trace = %q, want the look's", traced)
				}
			})
		})
	}
}

// calling is a world whose Graph notes its calls and whose store keeps traces.
type calling struct {
	*world
	traced map[ooo.Key]string // of the last change
}

func (c calling) Record(ctx context.Context, claim ooo.Claim, change ooo.Change) (int64, error) {
	c.set(func() { c.traced[claim.Key] = change.Trace })
	return c.world.Record(ctx, claim, change)
}

func (c calling) Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.Reading {
	if calls := ooo.CallsOf(ctx); calls != nil {
		calls.Add(ooo.Call{Operation: "read", Status: 200, ClientRequestID: "ours", RequestID: "theirs", Began: time.Now(), Ended: time.Now()})
	}
	return c.world.Read(ctx, ids, known)
}
