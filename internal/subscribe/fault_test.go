package subscribe_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

func TestBackoffIsSavedInRecord(t *testing.T) {
	for name, tt := range map[string]struct {
		err         error
		kind        ooo.SubscriptionErrorKind
		first, most time.Duration
	}{
		"unavailable":            {ooo.ErrUnavailable, ooo.SubscriptionErrorUnavailable, 3 * time.Second, 10 * time.Minute},
		"unnamed duplicate":      {&ooo.Duplicate{}, ooo.SubscriptionErrorUnavailable, 3 * time.Second, 10 * time.Minute},
		"handshake":              {ooo.ErrHandshake, ooo.SubscriptionErrorHandshake, 3 * time.Second, 5 * time.Minute},
		"denied":                 {fmt.Errorf("%w (Forbidden)", ooo.ErrSubscriptionDenied), ooo.SubscriptionErrorDenied, 30 * time.Second, 10 * time.Minute},
		"quota":                  {ooo.ErrSubscriptionQuota, ooo.SubscriptionErrorQuota, time.Minute, 30 * time.Minute},
		"rejected":               {ooo.ErrRejected, ooo.SubscriptionErrorRejected, 30 * time.Second, time.Hour},
		"no mailbox":             {ooo.ErrNoMailbox, ooo.SubscriptionErrorMailbox, 30 * time.Second, 10 * time.Minute},
		"limit too short to use": {&ooo.LifetimeTooLong{Max: time.Second}, ooo.SubscriptionErrorUnavailable, 3 * time.Second, 10 * time.Minute},
		"throttled":              {&ooo.Throttled{After: time.Second}, ooo.SubscriptionErrorThrottled, 3 * time.Second, 10 * time.Minute},
		"whole app throttled": {&ooo.Throttled{After: 3500 * time.Millisecond, WholeApp: true}, ooo.SubscriptionErrorThrottled,
			3600 * time.Millisecond, 3600 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			withUncovered(t, func(f *fixture) { f.failBy(always(tt.err)) }, func(t *testing.T, f *fixture) {
				advance(3 * tt.most)
				calls, times := f.takeTimedCalls()
				wantBackoff(t, times, tt.first, tt.most)
				if slices.ContainsFunc(calls, func(call string) bool { return call != "create" }) {
					t.Errorf("calls = %v, want only create", calls)
				}
				s := f.sub(annID)
				if s.Failures != len(calls) || s.Error == "" || s.ErrorKind != tt.kind || !s.RetryAt.After(time.Now()) || s.ID != "" ||
					s.State != ooo.SubscriptionFailed {
					t.Errorf("record = %s, %d failures, %q, %s, next %v, want %d with %s", s.State, s.Failures, s.Error, s.ErrorKind, s.RetryAt, len(calls), tt.kind)
				}
				if got := f.takeReads(); got != 0 {
					t.Errorf("read %d times, want never", got)
				}
				f.failWith("")
				advance(tt.most)
				f.expect("sub-1", 1)
			})
		})
	}
}

// wantBackoff checks that the waits between calls double from first to most, each less up
// to a fifth.
func wantBackoff(t *testing.T, times []time.Time, first, most time.Duration) {
	t.Helper()
	wait := first
	for i := 1; i < len(times); i++ {
		if gap := times[i].Sub(times[i-1]); gap < wait*4/5 || gap > wait+time.Second {
			t.Fatalf("wait %d = %v, want %v or up to a fifth less", i, gap, wait)
		}
		wait = min(2*wait, most)
	}
	if wait != most {
		t.Errorf("waits grew to %v in %d calls, want %v", wait, len(times), most)
	}
}

func TestFailedStepKeepsSubscriptionLive(t *testing.T) {
	type test struct {
		event func(f *fixture)
		call  string
		id    ooo.SubscriptionID // once it succeeds
		reads int
	}
	tests := map[string]test{
		"renewal":     {func(*fixture) {}, "patch sub-1", "sub-1", 0},
		"replacement": {(*fixture).dropKey, "create", "sub-2", 1},
	}
	eachCovered(t, tests, func(t *testing.T, f *fixture, tt test) {
		f.failBy(always(ooo.ErrRejected)) // waits up to an hour
		tt.event(f)
		advance(lifetime - 8*time.Minute)
		if s := f.sub(annID); s.ID != "sub-1" || s.State != ooo.SubscriptionLive || s.Failures == 0 || s.Error == "" {
			t.Errorf("record = %s %s after %d failures, want sub-1 live with the error", s.ID, s.State, s.Failures)
		}
		calls, _ := f.takeTimedCalls()
		if slices.ContainsFunc(calls, func(call string) bool { return call != tt.call }) {
			t.Errorf("calls = %v, want only %s", calls, tt.call)
		}
		f.failWith("")
		advance(7 * time.Minute)
		f.expect(tt.id, tt.reads)
	})
}

func TestRetryAfter(t *testing.T) {
	for name, throttled := range map[string]ooo.Throttled{
		"for this call": {}, "for the whole app": {WholeApp: true}, "busy": {WholeApp: true, Busy: true},
	} {
		t.Run(name, func(t *testing.T) {
			throttled.After = 5 * time.Minute
			whole := throttled.WholeApp && !throttled.Busy
			withUncovered(t, func(f *fixture) { f.failWith("", fmt.Errorf("429: %w", &throttled)) }, func(t *testing.T, f *fixture) {
				advance(time.Second)
				if waits := f.Wait(ooo.SubscriptionWait) > 0; waits != throttled.WholeApp {
					t.Errorf("a wait of the whole app is running: %t", waits)
				}
				bob := idOf("bob")
				f.monitor(bob, true)
				advance(4*time.Minute + 58*time.Second)
				if f.registry.Busy(bob.Partition()) {
					t.Error("the partition of the other mailbox counts as busy, want it idle until its step begins")
				}
				if s := f.sub(bob); (s.State == ooo.SubscriptionLive) == whole {
					t.Errorf("subscription of another mailbox = %q, want it to wait only with the whole app", s.State)
				}
				if got := strings.Count(f.takeCalls(), "create"); whole && got != 1 || !whole && got != 2 {
					t.Errorf("%d creations within the wait, want only the first for this mailbox", got)
				}
				advance(time.Minute)
				for _, id := range []ooo.RecordID{annID, bob} {
					if s := f.sub(id); s.State != ooo.SubscriptionLive || s.Failures != 0 {
						t.Errorf("record after the wait = %s with %d failures, want live with none", s.State, s.Failures)
					}
				}
			})
		})
	}
}

// Another mailbox's call is throttled while Graph refuses the requested lifetime.
func TestWaitOfWholeAppWithinStepIsNoFailure(t *testing.T) {
	withUncovered(t, func(f *fixture) {
		f.maxLifetime = lifetime / 3
		f.fail = func(string) error {
			if len(f.calls) == 1 {
				f.SetWait(t.Context(), ooo.SubscriptionWait, 5*time.Minute)
			}
			return nil
		}
	}, func(t *testing.T, f *fixture) {
		advance(5*time.Minute - time.Second)
		if s := f.sub(annID); s.State != ooo.SubscriptionCreating || s.Failures != 0 || s.Error != "" {
			t.Errorf("record = %s with %d failures, %q, want creating with none", s.State, s.Failures, s.Error)
		}
		if got := f.takeCalls(); got != "create" {
			t.Errorf("calls within the wait = %s, want only the first", got)
		}
		if f.registry.Busy(annID.Partition()) {
			t.Error("the partition counts as busy, want the step ended")
		}
		advance(2 * time.Second)
		f.expect("sub-1", 1)
	})
}

func TestLifetimeLimitIsLearned(t *testing.T) {
	withUncovered(t, func(f *fixture) { f.maxLifetime, f.latency = lifetime/3, time.Second }, func(t *testing.T, f *fixture) {
		bob, eve := idOf("bob"), idOf("eve")
		f.monitor(bob, true) // at the same time as Ann's
		advance(4 * time.Second)
		f.monitor(eve, true)
		advance(2 * time.Second)
		for _, id := range []ooo.RecordID{annID, bob, eve} {
			s := f.sub(id)
			if left := time.Until(s.ExpiresAt); s.State != ooo.SubscriptionLive || left > lifetime/3 || left < lifetime/3-2*time.Minute {
				t.Errorf("record = %s, %q, lifetime %v, want live without a wait for a little under %v", s.State, s.Error, left, lifetime/3)
			}
		}
		if n := strings.Count(f.takeCalls(), "create"); n != 5 {
			t.Errorf("%d creations, want the two at the same time refused once, the later one accepted", n)
		}
	})
}

func TestFirstCreation(t *testing.T) {
	nothing, resource := func(*fixture) {}, "/users/"+string(annID)+"/events"
	stop := func(f *fixture) { f.monitor(annID, false) }
	other := func(kind string, errs ...error) func(f *fixture) {
		return func(f *fixture) {
			f.onePerResource = true
			f.addStray("other", resource)
			f.failWith(kind, errs...)
		}
	}
	creations := func(errs ...error) func(f *fixture) { // fail with errs
		return func(f *fixture) {
			f.onePerResource = true
			f.failWith("create", errs...)
		}
	}
	for name, tt := range map[string]struct {
		prepare func(f *fixture)
		event   func(f *fixture) // after a second
		within  time.Duration
		calls   string             // empty: not checked
		id      ooo.SubscriptionID // empty: nothing is left
	}{
		"another exists": {other(""), nothing, 0, "create, delete other, create", "sub-1"},
		"another exists, and can't be deleted once": {other("delete other", ooo.ErrUnavailable), nothing, time.Minute,
			"create, delete other, create, delete other, create", "sub-1"},
		"another exists, and is gone until expiry": {
			other("delete other", slices.Repeat([]error{ooo.ErrSubscriptionGone}, 1000)...), nothing, time.Hour, "", "sub-1"},
		"created without an answer, then Graph unavailable for two calls": {
			creations(errAnswerLost, ooo.ErrUnavailable, ooo.ErrUnavailable), nothing, time.Minute,
			"create, create, create, create, delete sub-1, create", "sub-2"},
		"neither created nor answered": {creations(errUnanswered), nothing, time.Minute, "create, create", "sub-1"},

		"stopped, neither created nor answered": {creations(errUnanswered), stop, time.Minute, "", ""},
		"stopped after a refusal, during a wait of the whole app": {creations(ooo.ErrSubscriptionDenied), func(f *fixture) {
			f.SetWait(f.t.Context(), ooo.SubscriptionWait, time.Hour)
			stop(f)
		}, time.Minute, "create", ""},
		"stopped during a wait of the whole app, with a stray": {func(f *fixture) {
			f.SetWait(f.t.Context(), ooo.SubscriptionWait, 62*time.Second) // not a multiple of 5 s, when hints are read
			f.addStray("stray", "")
		}, func(f *fixture) {
			f.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintStray, Subject: "stray"})
			stop(f)
		}, 2 * time.Minute, "delete stray", ""},
	} {
		t.Run(name, func(t *testing.T) {
			withUncovered(t, tt.prepare, func(t *testing.T, f *fixture) {
				advance(time.Second)
				tt.event(f)
				advance(tt.within)
				if got := f.takeCalls(); tt.calls != "" && got != tt.calls {
					t.Errorf("calls = %s, want %s", got, tt.calls)
				}
				f.expect(tt.id, 1)
			})
		})
	}
}

// The first owner stops between the call and the save of its result.
func TestNextOwnerReplacesUnansweredCreation(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.onePerResource, f.latency = true, 30*time.Second
		f.monitor(annID, true)
		stop := f.start()
		advance(time.Second)
		stop() // gives up after 8 s
		if s := f.sub(annID); s.State != ooo.SubscriptionCreating {
			t.Fatalf("record = %s, want creating", s.State)
		}
		advance(time.Minute)
		f.set(func() { f.latency, f.maxLifetime = 0, lifetime/3 }) // 409 has precedence
		defer f.start()()
		advance(time.Minute)
		if got := f.takeCalls(); got != "create, create, delete sub-1, create, create" {
			t.Errorf("calls = %s, want sub-1 deleted and created again with the shorter lifetime", got)
		}
		f.expect("sub-2", 1)
	})
}

func TestFailingDeletionOfReplacedDelaysNoRenewal(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		f.failBy(func(call string) error {
			if _, exists := f.listed()["sub-1"]; call == "delete sub-1" && exists {
				return ooo.ErrSubscriptionDenied
			}
			return nil
		})
		f.dropKey()
		for range 7 {
			advance(lifetime / 4)
			if s := f.sub(annID); s.ID != "sub-2" || !s.ExpiresAt.After(time.Now()) {
				t.Fatalf("record = %s %s until %v, want sub-2 always live", s.ID, s.State, s.ExpiresAt)
			}
		}
		f.expect("sub-2", 1) // after sub-1 has expired
	})
}
