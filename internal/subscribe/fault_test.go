package subscribe_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

func TestWaitsGrowAndAreKeptInTheRecord(t *testing.T) {
	tests := map[string]struct {
		err         error
		kind        ooo.SubscriptionErrorKind
		first, most time.Duration
	}{
		"out of reach":                      {ooo.ErrUnavailable, ooo.SubscriptionErrorUnavailable, 3 * time.Second, 10 * time.Minute},
		"login refused":                     {ooo.ErrUnauthorized, ooo.SubscriptionErrorUnavailable, 3 * time.Second, 10 * time.Minute},
		"a twin that Graph does not name":   {&ooo.Duplicate{}, ooo.SubscriptionErrorUnavailable, 3 * time.Second, 10 * time.Minute},
		"our address can't be reached":      {ooo.ErrHandshake, ooo.SubscriptionErrorHandshake, 3 * time.Second, 5 * time.Minute},
		"403 waits for an administrator":    {fmt.Errorf("%w (Forbidden)", ooo.ErrSubscriptionDenied), ooo.SubscriptionErrorDenied, 30 * time.Second, 10 * time.Minute},
		"the quota is used up":              {ooo.ErrSubscriptionQuota, ooo.SubscriptionErrorQuota, time.Minute, 30 * time.Minute},
		"Graph does not take it":            {ooo.ErrRejected, ooo.SubscriptionErrorRejected, 30 * time.Second, time.Hour},
		"there is no mailbox":               {ooo.ErrNoMailbox, ooo.SubscriptionErrorMailbox, 30 * time.Second, 10 * time.Minute},
		"a limit that is no life":           {&ooo.LifetimeTooLong{Max: time.Second}, ooo.SubscriptionErrorUnavailable, 3 * time.Second, 10 * time.Minute},
		"an answer that is lost every time": {errLost, ooo.SubscriptionErrorUnavailable, 3 * time.Second, 10 * time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			starting(t, func(w *world) { w.fail = func(string) error { return tt.err } }, func(t *testing.T, w *world) {
				pass(6 * time.Hour)
				made, at := w.timed()
				wantGrowing(t, at, tt.first, tt.most)
				if slices.ContainsFunc(made, func(call string) bool { return call != "create" }) {
					t.Errorf("calls = %v, want creations alone", made)
				}
				s := w.sub(annID)
				if s.Failures != len(at) || s.Error == "" || s.ErrorKind != tt.kind || !s.RetryAt.After(time.Now()) || s.ID != "" {
					t.Errorf("record = %d failures, %q, %s, next %v, want all %d kept with %s", s.Failures, s.Error, s.ErrorKind, s.RetryAt, len(at), tt.kind)
				}
				if got := w.wasRead(annID); got != 0 {
					t.Errorf("read %d times, want never", got)
				}
				w.set(func() { w.fail = func(string) error { return nil } })
				pass(tt.most)
				w.settled("sub-1", 1)
			})
		})
	}
}

// wantGrowing fails the test unless the waits between calls double from first to most,
// each up to a fifth less.
func wantGrowing(t *testing.T, at []time.Time, first, most time.Duration) {
	t.Helper()
	wait := first
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap < wait*4/5 || gap > wait+time.Second {
			t.Fatalf("wait %d = %v, want %v or up to a fifth less", i, gap, wait)
		}
		wait = min(2*wait, most)
	}
	if wait != most {
		t.Errorf("waits grew to %v in %d calls, want %v", wait, len(at), most)
	}
}

func TestANewKindOfFailureStartsWithItsOwnFirstWait(t *testing.T) {
	starting(t, func(w *world) { w.failFirst(4, ooo.ErrUnavailable) }, func(t *testing.T, w *world) {
		pass(10 * time.Second)
		w.failFirst(1, ooo.ErrSubscriptionDenied)
		pass(20 * time.Second)
		s := w.sub(annID)
		if wait := time.Until(s.RetryAt); s.ErrorKind != ooo.SubscriptionErrorDenied || s.Failures != 1 || wait > 30*time.Second {
			t.Errorf("record = %s, %d failures, wait %v, want the first wait of %s", s.ErrorKind, s.Failures, wait, ooo.SubscriptionErrorDenied)
		}
	})
}

func TestARestartStartsNoWaitsOver(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.fail = func(string) error { return ooo.ErrUnavailable }
		w.monitor(annID, true)
		_, stop := w.start()
		pass(time.Hour)
		stop()
		before := w.sub(annID)
		w.story()
		_, stop = w.start()
		defer stop()
		pass(time.Until(before.RetryAt) - time.Second)
		if got := w.story(); got != "" {
			t.Errorf("calls before it may be tried again = %s, want none", got)
		}
		pass(2 * time.Second)
		if after := w.sub(annID); after.Failures != before.Failures+1 {
			t.Errorf("failures = %d, want one more than %d", after.Failures, before.Failures)
		}
	})
}

func TestALiveOneThatCanNotBeRenewedStaysWhatItIs(t *testing.T) {
	covered(t, func(t *testing.T, w *world) {
		w.set(func() { w.fail = func(string) error { return ooo.ErrSubscriptionDenied } })
		pass(life - time.Hour)
		if s := w.sub(annID); s.ID != "sub-1" || s.State != ooo.SubscriptionLive || s.Failures == 0 || s.Error == "" {
			t.Errorf("record = %s %s after %d failures, want sub-1 live with the reason", s.ID, s.State, s.Failures)
		}
		if got := w.story(); strings.Contains(got, "create") || strings.Contains(got, "delete") {
			t.Errorf("calls = %s, want renewals alone", got)
		}
		w.set(func() { w.fail = func(string) error { return nil } })
		pass(59 * time.Minute)
		w.settled("sub-1", 0)
	})
}

func TestWaitsThatGraphAsksFor(t *testing.T) {
	for name, whole := range map[string]bool{"for this call": false, "for the whole app": true} {
		t.Run(name, func(t *testing.T) {
			starting(t, func(w *world) {
				w.failFirst(1, fmt.Errorf("429: %w", &ooo.Throttled{After: 5 * time.Minute, WholeApp: whole}))
			}, func(t *testing.T, w *world) {
				pass(time.Second)
				bob := idOf("bob")
				w.monitor(bob, true)
				pass(4*time.Minute + 58*time.Second)
				if s := w.sub(bob); (s.State == ooo.SubscriptionLive) == whole {
					t.Errorf("another mailbox' subscription = %q, want it to wait only with the whole app", s.State)
				}
				if got := strings.Count(w.story(), "create"); whole && got != 1 || !whole && got != 2 {
					t.Errorf("creations within the wait = %d, want none but the first for this mailbox", got)
				}
				pass(time.Minute)
				for _, id := range []ooo.RecordID{annID, bob} {
					if s := w.sub(id); s.State != ooo.SubscriptionLive || s.Failures != 0 {
						t.Errorf("record after the wait = %s with %d failures, want live with none", s.State, s.Failures)
					}
				}
			})
		})
	}
}

func TestATwinThatWeDoNotKnowMakesWay(t *testing.T) {
	tests := map[string]struct {
		fail func(what string) error
		want string
		end  time.Duration // until it must be covered
	}{
		"it is deleted, another made": {nil, "create, delete twin, create", time.Second},
		"it is gone when it is to be deleted": {func(what string) error {
			if what == "delete twin" {
				return ooo.ErrSubscriptionGone
			}
			return nil
		}, "", time.Hour},
		"Graph is away when it is to be deleted": {once("delete twin", ooo.ErrUnavailable), "create, delete twin, create, delete twin, create", time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			starting(t, func(w *world) {
				w.single = true
				w.graph["twin"] = ooo.GraphSubscription{ID: "twin", Resource: "/users/" + string(annID) + "/events", NotificationURL: hook,
					LifecycleURL: want.Lifecycle, ExpiresAt: time.Now().Add(30 * time.Minute)}
				if tt.fail != nil {
					w.fail = tt.fail
				}
			}, func(t *testing.T, w *world) {
				pass(tt.end)
				if got := w.story(); tt.want != "" && got != tt.want {
					t.Errorf("calls = %s, want %s", got, tt.want)
				}
				w.settled("sub-1", 1)
			})
		})
	}
}

func TestTheLimitThatGraphNamesIsLearnt(t *testing.T) {
	t.Run("at the first creation, for all that follow", func(t *testing.T) {
		starting(t, func(w *world) { w.most = life / 3 }, func(t *testing.T, w *world) {
			pass(time.Second)
			w.monitor(idOf("bob"), true)
			pass(time.Second)
			if got := w.story(); got != "create, create, create" {
				t.Errorf("calls = %s, want one in vain for two mailboxes", got)
			}
			if left := time.Until(w.sub(annID).ExpiresAt); left > life/3 || left < life/3-2*time.Minute {
				t.Errorf("life = %v, want a little under %v", left, life/3)
			}
		})
	})
	t.Run("by several at once", func(t *testing.T) {
		starting(t, func(w *world) { w.most, w.took = life/3, time.Second }, func(t *testing.T, w *world) {
			w.monitor(idOf("bob"), true)
			pass(4 * time.Second)
			for _, id := range []ooo.RecordID{annID, idOf("bob")} {
				if s := w.sub(id); s.State != ooo.SubscriptionLive {
					t.Errorf("record = %s, %q, want it live without a wait", s.State, s.Error)
				}
			}
		})
	})
	t.Run("at a renewal", func(t *testing.T) {
		covered(t, func(t *testing.T, w *world) {
			w.set(func() { w.most = life / 3 })
			pass(life)
			if got := w.story(); !strings.HasPrefix(got, "patch sub-1, patch sub-1") || strings.Contains(got, "create") {
				t.Errorf("calls = %s, want sub-1 renewed, at first with one call in vain", got)
			}
			w.settled("sub-1", 0)
		})
	})
}

func TestALostAnswer(t *testing.T) {
	made := func(w *world) {
		w.lost = func(what string) bool { return what == "create" && w.number == 1 }
		w.single = true
	}
	tests := map[string]struct {
		prepare func(w *world)
		reads   int
	}{
		"Graph made it and names it: it is adopted": {made, 1},
		"Graph is away when it is asked again: it is adopted still": {func(w *world) {
			made(w)
			w.fail = func(string) error { // the second and the third call
				if len(w.made) == 2 || len(w.made) == 3 {
					return ooo.ErrUnavailable
				}
				return nil
			}
		}, 1},
		"Graph never made it: it is made": {func(w *world) { w.failFirst(1, errLost) }, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			starting(t, tt.prepare, func(t *testing.T, w *world) {
				pass(time.Second)
				if s := w.sub(annID); s.State != ooo.SubscriptionCreating || s.Failures != 1 {
					t.Errorf("record = %s with %d failures, want it still noted as asked for, once", s.State, s.Failures)
				}
				pass(time.Minute)
				if got := w.story(); strings.Contains(got, "delete") {
					t.Errorf("calls = %s, want none deleted", got)
				}
				w.settled("sub-1", tt.reads)
			})
		})
	}
}

func TestWhatIsNotTheLostAnswerMakesWay(t *testing.T) {
	starting(t, func(w *world) {
		w.lost, w.single = func(what string) bool { return what == "create" && w.number == 1 }, true
	}, func(t *testing.T, w *world) {
		pass(time.Second)
		w.set(func() {
			other := w.graph["sub-1"]
			other.LifecycleURL = "https://other.example/y"
			w.graph["sub-1"] = other
		})
		pass(time.Minute)
		if got, want := w.story(), "create, create, patch sub-1, delete sub-1, create"; got != want {
			t.Errorf("calls = %s, want %s", got, want)
		}
		w.settled("sub-2", 1)
	})
}

func TestALostAnswerOfAMailboxThatIsStopped(t *testing.T) {
	for name, prepare := range map[string]func(w *world){
		"Graph made it":       func(w *world) { w.lost, w.single = func(what string) bool { return what == "create" }, true },
		"Graph never made it": func(w *world) { w.failFirst(1, errLost) },
		"Graph is gone":       func(w *world) { w.failFirst(1000, errLost) },
	} {
		t.Run(name, func(t *testing.T) {
			starting(t, prepare, func(t *testing.T, w *world) {
				pass(time.Second)
				w.monitor(annID, false)
				pass(5 * time.Minute)
				if len(w.graph) != 0 || w.store.Record(t, annID) != nil {
					t.Errorf("%d in Graph, record %+v, want none; calls %s", len(w.graph), w.store.Record(t, annID), w.story())
				}
			})
		})
	}
}

// A replica that dies between the call and the record leaves a note, by which the next
// owner adopts what Graph made.
func TestTheNextOwnerAdopts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.single, w.took = true, 30*time.Second
		w.monitor(annID, true)
		_, stop := w.start()
		pass(time.Second)
		stop() // gives up after 8 s
		if s := w.sub(annID); s.State != ooo.SubscriptionCreating {
			t.Fatalf("record = %s, want the note", s.State)
		}
		pass(time.Minute)
		w.set(func() { w.took, w.most = 0, life/3 }) // 409 comes first
		_, stop = w.start()
		defer stop()
		pass(time.Minute)
		if got := w.story(); got != "create, create, patch sub-1, patch sub-1" {
			t.Errorf("calls = %s, want sub-1 found by asking again", got)
		}
		w.settled("sub-1", 1)
	})
}

func TestAReplacement(t *testing.T) {
	tests := map[string]struct {
		single bool
		fail   func(what string) error
		want   string
	}{
		"the new one is made, then the old one deleted": {false, nil, "create, delete sub-1"},
		"Graph refuses the new one at first":            {false, once("create", ooo.ErrUnavailable), "create, create, delete sub-1"},
		"the old one can't be deleted at first":         {false, once("delete sub-1", ooo.ErrUnavailable), "create, delete sub-1, delete sub-1"},
		"Graph takes no two":                            {true, nil, "create, delete sub-1, create"},
		"it makes way in vain": {true, func() func(string) error { // Graph goes away between the two calls
			made := 0
			return func(what string) error {
				if what == "create" {
					if made++; made == 2 {
						return ooo.ErrUnavailable
					}
				}
				return nil
			}
		}(), "create, delete sub-1, create, create"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			covered(t, func(t *testing.T, w *world) {
				w.set(func() {
					if w.single = tt.single; tt.fail != nil {
						w.fail = tt.fail
					}
				})
				w.change(func(s *ooo.Subscription) { s.KeyTag = "withdrawn" })
				pass(time.Minute)
				if got := w.story(); got != tt.want {
					t.Errorf("calls = %s, want %s", got, tt.want)
				}
				w.settled("sub-2", 1)
			})
		})
	}
}

func TestAReplacedOneThatStaysHoldsUpNoRenewal(t *testing.T) {
	covered(t, func(t *testing.T, w *world) {
		w.set(func() {
			w.fail = func(what string) error {
				if _, lives := w.listed()["sub-1"]; what == "delete sub-1" && lives {
					return ooo.ErrSubscriptionDenied
				}
				return nil
			}
		})
		w.change(func(s *ooo.Subscription) { s.KeyTag = "withdrawn" })
		for range 20 {
			pass(time.Hour)
			if s := w.sub(annID); s.ID != "sub-2" || !s.ExpiresAt.After(time.Now()) {
				t.Fatalf("record = %s %s until %v, want sub-2 alive all the time", s.ID, s.State, s.ExpiresAt)
			}
		}
		w.settled("sub-2", 1) // once Graph has no sub-1
	})
}
