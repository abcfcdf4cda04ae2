package poll_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
)

func TestHintIsReadAtOnceAndRemoved(t *testing.T) {
	run(t, rarely, users(40), func(f *fixture) {
		time.Sleep(10 * time.Second)
		f.graph.locked(func() { f.graph.settings["id-user05"] = on; f.graph.batches = nil })
		f.hint("user05", notification)
		f.hint("user06", notification)
		time.Sleep(time.Second)
		f.graph.locked(func() {
			if len(f.graph.batches) != 2 || f.graph.batches[0] != 1 {
				t.Errorf("calls for %v mailboxes, want one call for each of two", f.graph.batches)
			}
		})
		got := f.changes()
		if len(got) != 1 || got[0].Source != ooo.SourceNotification || got[0].Took > 100*time.Millisecond || got[0].Lead < time.Second {
			t.Errorf("changes = %+v, want one by the notification at once", got)
		}
		if n := f.hints(); n != 0 {
			t.Errorf("%d hints left, want none", n)
		}
		if got := f.history("user05"); got[ooo.EventNotification] != 1 || got[ooo.EventChanged] != 1 {
			t.Errorf("history = %v, want the notification and the change", got)
		}
	})
}

// A hint stays while its removal fails, but leads to no more reads.
func TestHintStaysUntilRemoved(t *testing.T) {
	tests := map[string]error{"unchanged": nil, "unreadable": ooo.ErrBadSetting}
	runEach(t, tests, rarely, onlyAnn(away), func(f *fixture, err error) {
		f.graph.locked(func() { f.graph.errs[annID] = err })
		for range 2 { // the first failure is saved together with the removal
			f.hint("ann", notification)
			time.Sleep(time.Second)
		}
		f.store.BeforeRemovals(func() error { return errors.New("no answer from Redis") })
		f.graph.takeReads(annID)
		f.hint("ann", notification)
		time.Sleep(10 * time.Second)
		if n, hints := len(f.graph.takeReads(annID)), f.hints(); n != 1 || hints != 1 {
			f.Errorf("%d reads and %d hints while the removal fails, want one of each", n, hints)
		}
		f.store.BeforeRemovals(nil)
		if n, hints := len(f.readsIn(10*time.Second)), f.hints(); n != 0 || hints != 0 {
			f.Errorf("%d more reads and %d hints once it succeeds, want none", n, hints)
		}
	})
}

func TestSlowRemovalOfHintsDelaysNoRead(t *testing.T) {
	run(t, nil, onlyAnn(away), func(f *fixture) {
		f.store.BeforeRemovals(func() error { time.Sleep(700 * time.Millisecond); return nil })
		time.Sleep(5 * time.Second)
		f.graph.takeReads(annID)
		for range 40 {
			f.hint("ann", notification)
			time.Sleep(3300 * time.Millisecond)
		}
		if gap := longestGap(f.graph.takeReads(annID)); gap > 2200*time.Millisecond {
			t.Errorf("reads are up to %v apart, want 2 s", gap)
		}
	})
}

func TestMinimumGapBetweenHintedReads(t *testing.T) {
	run(t, func(cfg *poll.Config, g *faultyGraph) { cfg.Interval, g.latency = time.Hour, 130*time.Millisecond }, onlyAnn(away), func(f *fixture) {
		f.graph.takeReads(annID)
		for range 100 {
			f.hint("ann", notification)
			time.Sleep(10 * time.Millisecond)
		}
		last := time.Now()
		time.Sleep(time.Second)
		at := f.graph.takeReads(annID)
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 200*time.Millisecond {
				t.Errorf("%v between two reads, want 200 ms", gap)
			}
		}
		if len(at) < 5 || len(at) > 7 || at[len(at)-1].Before(last.Add(-10*time.Millisecond)) {
			t.Errorf("reads = %v, want about six, the last after the last hint", at)
		}
		if n := f.hints(); n != 0 {
			t.Errorf("%d hints left, want none", n)
		}
	})
}

func TestHintsOfDrainingPartitionDelayNoOther(t *testing.T) {
	run(t, rarely, annAndBob, func(f *fixture) {
		must.NoError(f, f.registry.Drain(f.Context(), ooo.RecordID(annID).Partition()))
		f.graph.takeAllReads()
		for range 5 {
			f.hint("ann", notification)
			time.Sleep(time.Millisecond)
			hinted := time.Now()
			f.hint("bob", notification)
			time.Sleep(500 * time.Millisecond)
			if at := f.graph.takeReads("id-bob"); len(at) != 1 || at[0].Sub(hinted) > time.Millisecond {
				t.Errorf("reads = %v, want one at once at %v", at, hinted)
			}
		}
		if n := len(f.graph.takeReads(annID)); n > 0 {
			t.Errorf("%d reads in the draining partition, want none", n)
		}
	})
}

func TestHintsDuringWaits(t *testing.T) {
	type test struct {
		err  error
		kind ooo.HintKind
		read bool // at once
	}
	tests := map[string]test{
		"check after error":                   {ooo.ErrDenied, ooo.HintCheck, true},
		"notification after error":            {ooo.ErrDenied, ooo.HintRead, false},
		"check during Retry-After of mailbox": {&ooo.Throttled{After: time.Minute}, ooo.HintCheck, false},
		"check during Retry-After of app":     {&ooo.Throttled{After: time.Minute, WholeApp: true}, ooo.HintCheck, false},
	}
	runEach(t, tests, nil, onlyAnn(away), func(f *fixture, tt test) {
		f.graph.locked(func() { f.graph.errs[annID] = tt.err })
		time.Sleep(20 * time.Second)
		f.graph.takeReads(annID)
		f.hint("ann", ooo.Hint{Kind: tt.kind, Source: ooo.SourceNotification})
		time.Sleep(100 * time.Millisecond)
		if n, hints := len(f.graph.takeReads(annID)), f.hints(); (n == 1) != tt.read || (hints == 0) != tt.read {
			f.Errorf("%d reads, %d hints left, want one read at once and no hint: %t", n, hints, tt.read)
		}
		f.graph.locked(func() { delete(f.graph.errs, annID); f.graph.settings[annID] = off })
		time.Sleep(2 * time.Minute)
		if got := f.changes(); len(got) != 1 || f.hints() != 0 || (got[0].Source == ooo.SourceNotification) == tt.read {
			f.Errorf("changes = %+v, %d hints left, want one by the hint if that waited, and no hint", got, f.hints())
		}
	})
}

// A mailbox that gets a hint while it is being read is read again right after.
func TestHintDuringRead(t *testing.T) {
	type test struct {
		fault func(g *faultyGraph)
		kind  ooo.HintKind
		after time.Duration // since the batch began
	}
	tests := map[string]test{
		"batch is answered":       {func(g *faultyGraph) { g.latency = time.Second }, ooo.HintRead, time.Second},
		"other mailbox hangs":     {func(g *faultyGraph) { g.callFaults["id-bob"] = callFault{delay: time.Hour} }, ooo.HintRead, 1500 * time.Millisecond},
		"check of denied mailbox": {func(g *faultyGraph) { g.latency, g.errs[annID] = time.Second, ooo.ErrDenied }, ooo.HintCheck, time.Second},
	}
	dueTogether := func() []*ooo.Mailbox {
		both := annAndBob()
		for _, m := range both {
			m.ReadFailures, m.ReadRetryAt = 1, time.Now().Add(3*time.Second)
		}
		return both
	}
	runEach(t, tests, nil, dueTogether, func(f *fixture, tt test) {
		f.graph.locked(func() { tt.fault(f.graph) })
		time.Sleep(3500 * time.Millisecond)
		f.hint("ann", ooo.Hint{Kind: tt.kind})
		time.Sleep(1300 * time.Millisecond)
		f.graph.locked(func() {
			at := f.graph.reads[annID]
			if f.graph.batches[0] != 2 || len(at) < 2 || at[1].Sub(at[0]) > tt.after+10*time.Millisecond {
				f.Errorf("reads = %v in batches of %v, want the second %v after that of both", at, f.graph.batches, tt.after)
			}
		})
	})
}

// The change is noticed without waiting for a regular read.
func TestHintSurvivesUnansweredRead(t *testing.T) {
	type test struct {
		fail func(g *faultyGraph)
		took time.Duration // at most
	}
	tests := map[string]test{
		"slow mailbox":         {func(g *faultyGraph) { g.callFaults[annID] = callFault{delay: 4 * time.Second} }, 6 * time.Second},
		"Graph is unavailable": {func(g *faultyGraph) { g.down = ooo.ErrUnavailable }, 15 * time.Second},
	}
	runEach(t, tests, rarely, onlyAnn(away), func(f *fixture, tt test) {
		f.graph.locked(func() { tt.fail(f.graph); f.graph.settings[annID] = off })
		f.hint("ann", notification)
		time.Sleep(7 * time.Second)
		f.graph.locked(func() { f.graph.down = nil })
		time.Sleep(15 * time.Second)
		got, n := f.changes(), len(f.graph.takeReads(annID))
		if len(got) != 1 || got[0].Source != ooo.SourceNotification || got[0].Took > tt.took || n > 5 || f.hints() != 0 {
			f.Errorf("changes = %+v by %d reads, %d hints left, want one within %v, at most 5 reads, no hint", got, n, f.hints(), tt.took)
		}
	})
}

func TestLateNotifications(t *testing.T) {
	run(t, nil, onlyAnn(away), func(f *fixture) {
		change := func(setting ooo.Setting) { f.graph.locked(func() { f.graph.settings[annID] = setting }) }
		late := func(h ooo.Hint) (n int) {
			f.hint("ann", h)
			time.Sleep(time.Second)
			f.locked(func() { n = len(f.late) })
			return n
		}
		time.Sleep(3 * time.Second)
		change(off)
		time.Sleep(5 * time.Second)
		got := []int{late(ooo.Hint{Kind: ooo.HintCheck, Source: ooo.SourceRequest}), late(notification), late(notification)}
		change(on)
		time.Sleep(11 * time.Minute)
		got = append(got, late(notification))
		if want := []int{0, 1, 1, 1}; !slices.Equal(got, want) || len(f.changes()) != 2 {
			t.Errorf("late notifications = %v after %d changes, want only the first of the first change: %v", got, len(f.changes()), want)
		}
	})
}

func TestTraces(t *testing.T) {
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	spans := tracetest.NewSpanRecorder()
	run(t, func(cfg *poll.Config, _ *faultyGraph) {
		cfg.Tracer = trace.NewTracerProvider(trace.WithSpanProcessor(spans)).Tracer("test")
	}, onlyAnn(away), func(f *fixture) {
		traced := notification
		traced.Trace = fmt.Sprintf("00-%s-b7ad6b7169203331-01", traceID)
		time.Sleep(3 * time.Second)
		f.graph.locked(func() { f.graph.settings[annID] = onForAll }) // no change
		time.Sleep(3 * time.Second)
		f.hint("ann", traced)
		time.Sleep(time.Second)
		f.graph.locked(func() { f.graph.settings[annID] = off })
		f.hint("ann", traced)
		time.Sleep(time.Second)
		f.graph.locked(func() { f.graph.settings[annID] = on }) // found by a regular read
		time.Sleep(3 * time.Second)
		f.graph.locked(func() { f.graph.errs[annID] = ooo.ErrDenied })
		f.hint("ann", traced)
		time.Sleep(time.Second)
		f.graph.locked(func() { f.graph.errs[annID] = ooo.ErrUnavailable })
		f.hint("ann", traced)
		time.Sleep(time.Minute)
		var names []string
		delivery := f.get("ann").Addresses[0].Trace
		for i, span := range spans.Ended() {
			names = append(names, span.Name())
			if id := span.SpanContext().TraceID().String(); (id == traceID) != (i < 3 || i == 5) || id != traceID && !strings.Contains(delivery, id) {
				t.Errorf("%s has trace %s, want that of the notification or of the delivery, %s", span.Name(), id, delivery)
			}
		}
		if want := []string{"read", "save", "read", "save", "read", "read"}; !slices.Equal(names, want) {
			t.Errorf("spans = %q, want %q", names, want)
		}
	})
}
