package poll_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
)

func TestFailures(t *testing.T) {
	type test struct {
		err      error
		kind     ooo.ReadErrorKind // in the record; empty: the mailbox stays known
		first    bool              // it is unknown after the first failure, else known after the second
		min, max int               // reads in a minute
		others   bool              // the wait applies to other mailboxes, too
		lookup   error             // of the user in the directory
	}
	throttledApp := &ooo.Throttled{After: 20 * time.Second, WholeApp: true}
	tests := map[string]test{
		"no mailbox":                {ooo.ErrNoMailbox, ooo.ReadErrorNoMailbox, true, 2, 6, false, nil},
		"bad setting":               {ooo.ErrBadSetting, ooo.ReadErrorBadSetting, true, 29, 31, false, nil},
		"unavailable":               {ooo.ErrUnavailable, ooo.ReadErrorOther, false, 29, 31, false, nil},
		"rejected":                  {ooo.ErrRejected, ooo.ReadErrorOther, false, 29, 31, false, nil},
		"401":                       {ooo.ErrUnauthorized, ooo.ReadErrorDenied, false, 3, 7, false, nil},
		"user without mailbox":      {ooo.ErrUserGone, ooo.ReadErrorNoMailbox, true, 1, 2, false, nil},
		"mailbox throttled":         {&ooo.Throttled{After: 20 * time.Second}, ooo.ReadErrorOther, true, 3, 4, false, nil},
		"mailbox throttled for 3 s": {&ooo.Throttled{After: 3 * time.Second}, ooo.ReadErrorOther, false, 12, 21, false, nil},
		"app throttled":             {throttledApp, "", false, 3, 4, true, nil},
		"directory unavailable":     {ooo.ErrUserGone, ooo.ReadErrorOther, false, 2, 5, false, ooo.ErrUnavailable},
		"directory throttled":       {ooo.ErrUserGone, ooo.ReadErrorOther, true, 3, 4, false, throttledApp},
	}
	runEach(t, tests, nil, annAndBob, func(f *fixture, tt test) {
		time.Sleep(5 * time.Second)
		f.graph.takeAllReads()
		f.graph.locked(func() { f.graph.errs[annID], f.graph.lookupErrs[annID] = fmt.Errorf("read: %w", tt.err), tt.lookup })
		version := f.get("ann").Version
		for n := range 2 {
			time.Sleep(2050 * time.Millisecond)
			if m := f.get("ann"); (m.Condition == ooo.Unknown) != tt.first {
				f.Errorf("condition after failure %d = %s, want unknown: %t", n+1, m.Condition, tt.first)
			}
		}
		time.Sleep(time.Minute - 4100*time.Millisecond)
		if got := len(f.graph.takeReads(annID)); got < tt.min || got > tt.max {
			f.Errorf("%d reads in a minute, want %d to %d", got, tt.min, tt.max)
		}
		if got := len(f.graph.takeReads("id-bob")); (got < 25) != tt.others {
			f.Errorf("%d reads of the other mailbox in a minute, want it to wait: %t", got, tt.others)
		}
		m := f.get("ann")
		if (m.Condition == ooo.Unknown) != (tt.kind != "") || m.ErrorKind != tt.kind || (m.Reason == "") != (tt.kind == "") {
			f.Errorf("record = %s %q %q, want the error %q", m.Condition, m.ErrorKind, m.Reason, tt.kind)
		}
		if m.State == nil || !m.State.Away || len(f.changes()) != 0 {
			f.Errorf("state = %v, %d changes, want the last state kept", m.State, len(f.changes()))
		}
		if saves := m.Version - version; saves > 21 || tt.min > 28 && saves != 1 {
			f.Errorf("%d saves, want one for the first failure and one for each wait", saves)
		}
		for i := range 300 { // each failure has another text
			f.graph.locked(func() { f.graph.errs[annID] = fmt.Errorf("read %d: %w", i, tt.err) })
			time.Sleep(2 * time.Second)
		}
		if later := f.get("ann"); tt.min > 28 && tt.kind != "" {
			if later.Reason == m.Reason || later.Version != m.Version+1 {
				f.Errorf("reason = %q after %d saves in 300 reads, want a new one after one", later.Reason, later.Version-m.Version)
			}
			f.hint("ann", ooo.Hint{Kind: ooo.HintCheck})
			time.Sleep(time.Second)
			if checked := f.get("ann"); !strings.HasPrefix(checked.Reason, "read 299: ") {
				f.Errorf("reason after a check = %q, want the present one", checked.Reason)
			}
		}
		f.graph.locked(func() { delete(f.graph.errs, annID) })
		time.Sleep(6 * time.Minute) // the longest wait is 5
		if m := f.get("ann"); m.Condition != ooo.Watching || m.Reason != "" || m.ErrorKind != "" || m.ReadFailures != 0 || !m.ReadRetryAt.IsZero() {
			f.Errorf("record = %+v, want no error", m)
		}
		if got := f.history("ann"); got[ooo.EventUnknown] != got[ooo.EventKnown] || (got[ooo.EventUnknown] == 1) != (tt.kind != "") {
			f.Errorf("history = %v, want unknown and known once: %t", got, tt.kind != "")
		}
		if got := len(f.graph.takeReads(annID)); got < 20 {
			f.Errorf("%d reads in the next six minutes, want the usual cadence again", got)
		}
	})
}

func TestChangingFailuresMakeUnknown(t *testing.T) {
	type test struct {
		err   error // every second time
		known int   // times 2 s
	}
	tests := map[string]test{"401": {ooo.ErrUnauthorized, 4}, "throttled": {&ooo.Throttled{After: time.Second}, 2}}
	runEach(t, tests, nil, onlyAnn(away), func(f *fixture, tt test) {
		version := f.get("ann").Version
		for n := 1; n <= 40; n++ {
			f.graph.locked(func() { f.graph.errs[annID] = []error{ooo.ErrUnavailable, tt.err}[n%2] })
			time.Sleep(2 * time.Second)
			if got := f.get("ann").Condition; (got == ooo.Unknown) != (n > tt.known) {
				f.Errorf("condition after %d times 2 s of changing failures = %s, want unknown from the fifth failure on", n, got)
			}
		}
		if saves := f.get("ann").Version - version; saves > 2 {
			f.Errorf("%d saves, want one when it becomes unknown, and one if the history says so later", saves)
		}
		if got := f.history("ann"); got[ooo.EventUnknown] != 1 {
			f.Errorf("history = %v, want unknown once", got)
		}
		f.graph.locked(func() { f.graph.errs[annID] = ooo.ErrRejected })
		time.Sleep(6 * time.Second)
		if got := f.get("ann").Reason; got != ooo.ErrRejected.Error() {
			f.Errorf("reason = %q after the same error three times, want that", got)
		}
	})
}

// With rare reads, three failures take long.
func TestReasonOfRareReads(t *testing.T) {
	const interval = 10 * time.Minute
	run(t, func(cfg *poll.Config, _ *faultyGraph) { cfg.Interval = interval }, onlyAnn(away), func(f *fixture) {
		f.graph.locked(func() { f.graph.errs[annID] = ooo.ErrUnavailable })
		time.Sleep(2 * interval) // it becomes unknown with the next failure
		for _, err := range []error{ooo.ErrUnavailable, ooo.ErrUnauthorized, ooo.ErrRejected} {
			f.graph.locked(func() { f.graph.errs[annID] = err })
			time.Sleep(interval)
			if got := f.get("ann").Reason; got != err.Error() {
				f.Errorf("reason = %q after one failure of a new kind, want %q", got, err)
			}
		}
	})
}

// A new kind of error starts with its own first wait.
func TestFailuresAreCountedByKind(t *testing.T) {
	tests := map[string]error{"throttled": &ooo.Throttled{After: time.Minute}, "unavailable": ooo.ErrUnavailable}
	runEach(t, tests, nil, onlyAnn(away), func(f *fixture, before error) {
		f.graph.locked(func() { f.graph.errs[annID] = before })
		time.Sleep(20 * time.Minute)
		f.graph.locked(func() { f.graph.errs[annID] = ooo.ErrDenied })
		at := f.readsIn(5 * time.Minute)
		if len(at) < 2 || at[1].Sub(at[0]) > 11*time.Second {
			f.Errorf("reads = %v, want the second 10 s after the answer to the first", at)
		}
		if m := f.get("ann"); m.ErrorKind != ooo.ReadErrorDenied || m.ReadFailures > 6 {
			f.Errorf("record = %s, %d failures, want few of the new kind", m.ErrorKind, m.ReadFailures)
		}
		if got := f.history("ann"); got[ooo.EventUnknown] != 1 {
			f.Errorf("history = %v, want unknown once", got)
		}
		time.Sleep(time.Hour)
		if n := len(f.readsIn(time.Hour)); n < 12 || n > 15 {
			f.Errorf("%d reads in an hour, want waits of 5 minutes or up to a fifth less", n)
		}
		f.graph.locked(func() { delete(f.graph.errs, annID) })
		f.hint("ann", ooo.Hint{Kind: ooo.HintCheck})
		time.Sleep(time.Second)
		if n := len(f.readsIn(10 * time.Second)); n < 5 || n > 6 { // one more if the wait was almost over
			f.Errorf("%d reads in 10 s after a check, want the usual cadence again", n)
		}
	})
}

func TestRetryAfterOutlastsStop(t *testing.T) {
	run(t, nil, onlyAnn(away), func(f *fixture) {
		f.graph.locked(func() { f.graph.errs[annID] = &ooo.Throttled{After: time.Minute} })
		time.Sleep(5 * time.Second)
		f.graph.takeReads(annID)
		for _, monitored := range []bool{false, true} {
			f.registry.Hint(f.store.ChangeWish(f.T, annAddress, func(w *ooo.Wish) { w.On, w.StartID, w.Person.ID = monitored, "again", annID }))
			time.Sleep(time.Second)
		}
		time.Sleep(50 * time.Second)
		if early, later := len(f.graph.takeReads(annID)), len(f.readsIn(20*time.Second)); early > 0 || later == 0 {
			t.Errorf("%d reads before the end of the Retry-After and %d after, want none and some", early, later)
		}
	})
}

func TestStoredWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		wait      time.Duration
		throttled bool
		want      time.Duration // until the first read, within a second
	}{
		"wrong clock":              {24 * time.Hour, false, 5 * time.Minute},
		"Retry-After":              {20 * time.Minute, true, 20 * time.Minute},
		"Retry-After, wrong clock": {24 * time.Hour, true, time.Hour},
		"over":                     {-time.Minute, true, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func() []*ooo.Mailbox {
				m := away("ann")
				m.Condition, m.ErrorKind, m.ReadFailures = ooo.Unknown, ooo.ReadErrorDenied, 3
				m.ReadRetryAt, m.ReadThrottled = time.Now().Add(tt.wait), tt.throttled
				return []*ooo.Mailbox{m}
			}, func(f *fixture) {
				began := time.Now()
				time.Sleep(tt.want + 2*time.Second)
				at := f.graph.takeReads(annID)
				if len(at) == 0 || (at[0].Sub(began)-tt.want).Abs() > time.Second {
					t.Errorf("%d reads, want the first after %v: %v", len(at), tt.want, at[:min(len(at), 1)])
				}
			})
		})
	}
}
