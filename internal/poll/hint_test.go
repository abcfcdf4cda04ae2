package poll_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
)

const annID = "id-ann"

var notification = ooo.Hint{Kind: ooo.HintRead, Source: ooo.SourceNotification, NotificationID: "n1"}

func TestAHintIsReadAtOnceAndRemoved(t *testing.T) {
	run(t, func(cfg *poll.Config, _ *faultyGraph) { cfg.Interval = time.Hour }, crowd(40), func(w *world) {
		time.Sleep(10 * time.Second)
		w.graph.set(func() { w.graph.settings["id-user05"] = on; w.graph.batches = nil })
		left := time.Now()
		w.hint("user05", notification)
		w.hint("user06", notification)
		time.Sleep(time.Second)
		w.graph.set(func() {
			if len(w.graph.batches) != 2 || w.graph.batches[0] != 1 {
				t.Errorf("calls for %v mailboxes, want one for each of two", w.graph.batches)
			}
		})
		got := w.noticed()
		if len(got) != 1 || got[0].Source != ooo.SourceNotification || got[0].Took > 100*time.Millisecond || got[0].Lead < time.Second {
			t.Errorf("changes = %+v, want one by the notification at once", got)
		}
		if n := w.hints(); n != 0 {
			t.Errorf("%d hints left, want none", n)
		}
		if got := w.history("user05"); got[ooo.EventNotification] != 1 || got[ooo.EventChanged] != 1 {
			t.Errorf("history = %v, want the notification and the change", got)
		}
		if at := w.get("user05").Addresses[0].NotifiedAt; at.Before(left.Add(-time.Second)) {
			t.Errorf("NotifiedAt = %v", at)
		}
	})
}

func TestHintsAreReadNoOftenerThanEach200ms(t *testing.T) {
	run(t, func(cfg *poll.Config, g *faultyGraph) { cfg.Interval, g.latency = time.Hour, 130*time.Millisecond }, one(away), func(w *world) {
		w.graph.readsOf(annID)
		for range 100 {
			w.hint("ann", notification)
			time.Sleep(10 * time.Millisecond)
		}
		last := time.Now()
		time.Sleep(time.Second)
		at := w.graph.readsOf(annID)
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 200*time.Millisecond {
				t.Errorf("%v between two reads, want 200 ms", gap)
			}
		}
		if len(at) < 5 || len(at) > 7 || at[len(at)-1].Before(last.Add(-10*time.Millisecond)) {
			t.Errorf("reads = %v, want about six, the last after the last hint", at)
		}
		if n := w.hints(); n != 0 {
			t.Errorf("%d hints left, want none", n)
		}
	})
}

// What a hint may cut short after each kind of failure.
func TestHintsAndWaits(t *testing.T) {
	tests := map[string]struct {
		err  error
		kind ooo.HintKind
		read bool // at once
		left int  // hints, while nothing was read
	}{
		"a check cuts the wait after an error":                     {ooo.ErrDenied, ooo.HintCheck, true, 0},
		"a notification does not, and stays":                       {ooo.ErrDenied, ooo.HintRead, false, 1},
		"a check cuts no Retry-After":                              {&ooo.Throttled{After: time.Minute}, ooo.HintCheck, false, 1},
		"a notification cuts none":                                 {&ooo.Throttled{After: time.Minute}, ooo.HintRead, false, 1},
		"no check cuts a wait of the app":                          {&ooo.Throttled{After: time.Minute, WholeApp: true}, ooo.HintCheck, false, 1},
		"while Graph is away a notification is read, but not done": {ooo.ErrUnavailable, ooo.HintRead, true, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, nil, one(away), func(w *world) {
				w.graph.set(func() { w.graph.errs[annID] = tt.err })
				time.Sleep(20 * time.Second)
				w.graph.readsOf(annID)
				w.hint("ann", ooo.Hint{Kind: tt.kind, Source: ooo.SourceNotification})
				time.Sleep(100 * time.Millisecond)
				if n := len(w.graph.readsOf(annID)); (n == 1) != tt.read {
					t.Errorf("%d reads, want one at once: %t", n, tt.read)
				}
				if n := w.hints(); n != tt.left {
					t.Errorf("%d hints left, want %d", n, tt.left)
				}
				w.graph.set(func() { delete(w.graph.errs, annID); w.graph.settings[annID] = off })
				time.Sleep(2 * time.Minute)
				if got := w.noticed(); len(got) != 1 || w.hints() != 0 {
					t.Errorf("%d changes, %d hints left, want the change seen, none left", len(got), w.hints())
				} else if by := got[0].Source; (by == ooo.SourceNotification) != (tt.left == 1) {
					t.Errorf("source = %s", by)
				}
			})
		})
	}
}

// What asks for a mailbox while a batch with it is in flight waits for that one call, and
// has the mailbox read at once after it.
func TestAHintDuringAReadIsReadRightAfterIt(t *testing.T) {
	tests := map[string]struct {
		begin func(g *faultyGraph)
		kind  ooo.HintKind
		after time.Duration // the batch began
	}{
		"the batch is answered":                {func(g *faultyGraph) { g.latency = time.Second }, ooo.HintRead, time.Second},
		"another mailbox of the batch hangs":   {func(g *faultyGraph) { g.hangs["id-bob"] = true }, ooo.HintRead, 1500 * time.Millisecond},
		"a check of a mailbox that is refused": {func(g *faultyGraph) { g.latency, g.errs[annID] = time.Second, ooo.ErrDenied }, ooo.HintCheck, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, func(_ *poll.Config, g *faultyGraph) { tt.begin(g) }, func() (both []*ooo.Mailbox) {
				for _, name := range []string{"ann", "bob"} { // due together
					m := away(name)
					m.ReadFailures, m.ReadRetryAt = 1, time.Now().Add(3*time.Second)
					both = append(both, m)
				}
				return both
			}, func(w *world) {
				time.Sleep(3500 * time.Millisecond)
				w.hint("ann", ooo.Hint{Kind: tt.kind})
				time.Sleep(1300 * time.Millisecond)
				w.graph.set(func() {
					at := w.graph.reads[annID]
					if w.graph.batches[0] != 2 || len(at) < 2 || at[1].Sub(at[0]) > tt.after+10*time.Millisecond {
						t.Errorf("reads = %v by calls for %v, want the second %v after that of both", at, w.graph.batches, tt.after)
					}
				})
			})
		})
	}
}

// What a hint announced is seen though the first read gave no answer, without waiting
// for a regular read.
func TestAHintOutlivesAReadWithoutAnAnswer(t *testing.T) {
	tests := map[string]struct {
		begin, end func(g *faultyGraph)
		least      int // reads
	}{
		"a slow mailbox gets more time": {func(g *faultyGraph) { g.slow[annID] = 4 * time.Second }, func(*faultyGraph) {}, 2},
		"Graph was away":                {func(g *faultyGraph) { g.down = ooo.ErrUnavailable }, func(g *faultyGraph) { g.down = nil }, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, func(cfg *poll.Config, _ *faultyGraph) { cfg.Interval = 12 * time.Hour }, one(away), func(w *world) {
				w.graph.set(func() { tt.begin(w.graph); w.graph.settings[annID] = off })
				w.hint("ann", notification)
				time.Sleep(7 * time.Second)
				w.graph.set(func() { tt.end(w.graph) })
				time.Sleep(15 * time.Second)
				if n := len(w.graph.readsOf(annID)); n < tt.least || n > 5 || len(w.noticed()) != 1 || w.hints() != 0 {
					t.Errorf("%d reads, %d changes, %d hints left, want a few, one, none", n, len(w.noticed()), w.hints())
				}
			})
		})
	}
}

func TestLateNotifications(t *testing.T) {
	tests := map[string]struct {
		after time.Duration
		hint  ooo.Hint
		late  bool
	}{
		"soon":                  {5 * time.Second, notification, true},
		"too late to belong":    {11 * time.Minute, notification, false},
		"a check announces not": {5 * time.Second, ooo.Hint{Kind: ooo.HintCheck, Source: ooo.SourceRequest}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, nil, one(away), func(w *world) {
				time.Sleep(3 * time.Second)
				w.graph.set(func() { w.graph.settings[annID] = off })
				time.Sleep(tt.after)
				for range 2 {
					w.hint("ann", tt.hint)
					time.Sleep(time.Second)
				}
				changes := w.noticed()
				w.mu.Lock()
				defer w.mu.Unlock()
				if (len(w.late) == 1) != tt.late || len(changes) != 1 {
					t.Errorf("late = %v, want one of two: %t", w.late, tt.late)
				}
			})
		})
	}
}

func TestWhatIsTraced(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	tests := map[string]struct {
		after ooo.Setting
		hint  ooo.Hint // zero: the regular read
		want  int      // spans
	}{
		"a read that finds nothing new leaves nothing":           {on, ooo.Hint{}, 0},
		"a read that finds a change is a trace":                  {off, ooo.Hint{}, 2},
		"a setting that means the same leaves nothing":           {ooo.Setting{Status: on.Status, ExternalReply: on.ExternalReply, ExternalAudience: "all"}, ooo.Hint{}, 0},
		"a notification's change belongs to its trace":           {off, ooo.Hint{Trace: parent}, 2},
		"a notification that finds nothing new ends its trace":   {on, ooo.Hint{Trace: parent}, 1},
		"a notification without a trace finds nothing: no trace": {on, notification, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			spans := tracetest.NewSpanRecorder()
			run(t, func(cfg *poll.Config, _ *faultyGraph) {
				cfg.Tracer = trace.NewTracerProvider(trace.WithSpanProcessor(spans)).Tracer("test")
			}, one(away), func(w *world) {
				time.Sleep(3 * time.Second)
				w.graph.set(func() { w.graph.settings[annID] = tt.after })
				if tt.hint != (ooo.Hint{}) {
					h := notification
					h.Trace = tt.hint.Trace
					w.hint("ann", h)
				}
				time.Sleep(3 * time.Second)
				got := spans.Ended()
				if len(got) != tt.want {
					t.Fatalf("%d spans, want %d: %v", len(got), tt.want, got)
				}
				if tt.want == 0 {
					return
				}
				look := got[len(got)-1]
				if look.Name() != "read" || look.EndTime().Before(look.StartTime()) {
					t.Errorf("span = %s, want the read", look.Name())
				}
				if inParent := look.SpanContext().TraceID().String() == parent[3:35]; inParent != (tt.hint.Trace != "") {
					t.Errorf("trace = %v, want the notification's: %t", look.SpanContext().TraceID(), !inParent)
				}
				if tt.want == 2 {
					if delivery := w.get("ann").Addresses[0].Trace; got[0].Name() != "save" || len(delivery) != 55 || delivery[3:35] != look.SpanContext().TraceID().String() {
						t.Errorf("%s, delivery goes on with %q, want the read's", got[0].Name(), delivery)
					}
				}
			})
		})
	}
}
