package subscribe_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
)

// starting runs a story of one user who is not covered yet, in a world that was
// prepared.
func starting(t *testing.T, prepare func(w *world), story func(t *testing.T, w *world, key ooo.Key)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		prepare(w)
		key := w.add(ann)
		stop := w.start(t)
		defer stop()
		story(t, w, key)
	})
}

func TestWaitsGrowAndAreKeptInTheRecord(t *testing.T) {
	tests := map[string]struct {
		err         error
		trouble     ooo.Trouble
		first, most time.Duration
	}{
		"out of reach":                      {ooo.ErrUnavailable, ooo.TroubleUnavailable, 3 * time.Second, 10 * time.Minute},
		"login refused":                     {ooo.ErrUnauthorized, ooo.TroubleUnavailable, 3 * time.Second, 10 * time.Minute},
		"a twin that Graph does not name":   {&ooo.Duplicate{}, ooo.TroubleUnavailable, 3 * time.Second, 10 * time.Minute},
		"our address can't be reached":      {ooo.ErrHandshake, ooo.TroubleHandshake, 3 * time.Second, 5 * time.Minute},
		"403 waits for an administrator":    {fmt.Errorf("%w (Forbidden)", ooo.ErrSubscriptionDenied), ooo.TroubleDenied, 30 * time.Second, 10 * time.Minute},
		"the quota is used up":              {ooo.ErrSubscriptionQuota, ooo.TroubleQuota, time.Minute, 30 * time.Minute},
		"Graph does not take it":            {ooo.ErrRejected, ooo.TroubleRejected, 30 * time.Second, time.Hour},
		"there is no mailbox":               {ooo.ErrNoMailbox, ooo.TroubleMailbox, 30 * time.Second, 10 * time.Minute},
		"a limit that is no life":           {&ooo.TooLong{Max: time.Second}, ooo.TroubleUnavailable, 3 * time.Second, 10 * time.Minute},
		"an answer that is lost every time": {errors.Join(ooo.ErrUnavailable, ooo.ErrNoAnswer), ooo.TroubleUnavailable, 3 * time.Second, 10 * time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			starting(t, func(w *world) { w.fail = func(string) error { return tt.err } }, func(t *testing.T, w *world, key ooo.Key) {
				pass(6 * time.Hour)
				calls, at := w.timed()
				wait := tt.first
				for i := 1; i < len(at); i++ {
					if gap := at[i].Sub(at[i-1]); calls[i] != "create" || gap < wait*4/5 || gap > wait+time.Second {
						t.Fatalf("%s after %v in try %d, want a creation after %v or a fifth less", calls[i], gap, i, wait)
					}
					wait = min(2*wait, tt.most)
				}
				s := w.sub(key)
				if s.Failures != len(at) || s.Error == "" || s.Trouble != tt.trouble || !s.RetryAt.After(time.Now()) || s.ID != "" {
					t.Errorf("record = %d failures, %q, %s, next %v, want all %d kept with %s", s.Failures, s.Error, s.Trouble, s.RetryAt, len(at), tt.trouble)
				}
				if wait != tt.most || w.read(key) != 0 {
					t.Errorf("waits grew to %v, want %v and no read", wait, tt.most)
				}
				w.set(func() { w.fail = func(string) error { return nil } })
				pass(tt.most)
				if s := w.sub(key); s.State != ooo.SubscriptionLive || s.Failures != 0 || s.Error != "" || s.Trouble != "" || w.read(key) != 1 {
					t.Errorf("when it works again: %+v, want it live, without a trace of the failures, and the user read", s)
				}
			})
		})
	}
}

func TestARestartStartsNoWaitsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fail = func(string) error { return ooo.ErrUnavailable }
		key := w.add(ann)
		first := w.start(t)
		pass(time.Hour)
		first()
		before := w.sub(key)
		w.story()
		second := w.start(t)
		pass(time.Until(before.RetryAt) - time.Second)
		if got := w.story(); got != "" {
			t.Errorf("calls before it may be tried again = %s, want none", got)
		}
		pass(2 * time.Second)
		second()
		if after := w.sub(key); after.Failures != before.Failures+1 {
			t.Errorf("failures = %d, want one more than %d", after.Failures, before.Failures)
		}
	})
}

func TestALiveOneThatCanNotBeRenewedStaysWhatItIs(t *testing.T) {
	covered(t, func(t *testing.T, w *world, key ooo.Key) {
		w.set(func() { w.fail = func(string) error { return ooo.ErrSubscriptionDenied } })
		pass(71 * time.Hour)
		if s := w.sub(key); s.ID != "sub-1" || s.State != ooo.SubscriptionLive || s.Failures == 0 || s.Error == "" {
			t.Errorf("record = %s %s after %d failures, want sub-1 live with the reason", s.ID, s.State, s.Failures)
		}
		if got := w.story(); strings.Contains(got, "create") || strings.Contains(got, "delete") {
			t.Errorf("calls = %s, want renewals alone", got)
		}
		w.set(func() { w.fail = func(string) error { return nil } })
		pass(59 * time.Minute)
		if s := w.sub(key); s.ID != "sub-1" || !s.ExpiresAt.After(time.Now().Add(60*time.Hour)) {
			t.Errorf("record = %s until %v, want it renewed before it ended", s.ID, s.ExpiresAt)
		}
	})
}

func TestWaitsThatGraphAsksFor(t *testing.T) {
	for name, whole := range map[string]bool{"for this call": false, "for the whole app": true} {
		t.Run(name, func(t *testing.T) {
			starting(t, func(w *world) {
				w.failFirst(1, fmt.Errorf("429: %w", &ooo.Throttled{After: 5 * time.Minute, Whole: whole}))
			}, func(t *testing.T, w *world, key ooo.Key) {
				began := time.Now()
				pass(time.Second)
				w.set(func() {
					if held := w.hold.Equal(began.Add(5 * time.Minute)); held != whole {
						t.Errorf("hold until %v, want it for the whole app alone (%t)", w.hold, whole)
					}
				})
				bob := w.add("bob@contoso.example")
				pass(4*time.Minute + 58*time.Second)
				if s := w.sub(bob); (s.State == ooo.SubscriptionLive) == whole {
					t.Errorf("another user's cover = %q, want it to wait only with the whole app", s.State)
				}
				if got := strings.Count(w.story(), "create"); whole && got != 1 || !whole && got != 2 {
					t.Errorf("creations within the wait = %d, want none but the first for this user", got)
				}
				pass(time.Minute)
				for _, k := range []ooo.Key{key, bob} {
					if s := w.sub(k); s.State != ooo.SubscriptionLive || s.Failures != 0 {
						t.Errorf("record after the wait = %s with %d failures, want live with none", s.State, s.Failures)
					}
				}
			})
		})
	}
}

func TestATwinThatWeDoNotKnowMakesWay(t *testing.T) {
	twin := ooo.GraphSubscription{ID: "twin", Resource: "/users/oid-" + ann + "/events", NotificationURL: hook, LifecycleURL: want.LifecycleURL}
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
				s := twin
				s.ExpiresAt = time.Now().Add(30 * time.Minute)
				w.graph["twin"] = s
				if tt.fail != nil {
					w.fail = tt.fail
				}
			}, func(t *testing.T, w *world, key ooo.Key) {
				pass(tt.end)
				s := w.sub(key)
				if s.State != ooo.SubscriptionLive || s.ID == "twin" || w.read(key) != 1 {
					t.Errorf("record = %s %s, want one of our own and the user read", s.ID, s.State)
				}
				if who, ok := keys.Verify(w.states[s.ID]); !ok || who != key {
					t.Error("its clientState is not ours")
				}
				if got := w.story(); tt.want != "" && got != tt.want {
					t.Errorf("calls = %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// once has the first call of a kind fail.
func once(what string, err error) func(string) error {
	done := false
	return func(call string) error {
		if call != what || done {
			return nil
		}
		done = true
		return err
	}
}

func TestTheLimitThatGraphNamesIsLearnt(t *testing.T) {
	t.Run("at the first creation, for all that follow", func(t *testing.T) {
		starting(t, func(w *world) { w.most = 24 * time.Hour }, func(t *testing.T, w *world, key ooo.Key) {
			pass(time.Second)
			w.add("bob@contoso.example")
			pass(time.Second)
			if got := w.story(); got != "create, create, create" {
				t.Errorf("calls = %s, want one in vain for two users", got)
			}
			s := w.sub(key)
			if left := time.Until(s.ExpiresAt); left > 24*time.Hour || left < 24*time.Hour-2*time.Minute || s.Failures != 0 {
				t.Errorf("life = %v after %d failures, want a little under 24 h and none", left, s.Failures)
			}
		})
	})
	t.Run("at a renewal", func(t *testing.T) {
		covered(t, func(t *testing.T, w *world, key ooo.Key) {
			w.set(func() { w.most = 24 * time.Hour })
			pass(72*time.Hour + 20*time.Hour)
			s := w.sub(key)
			if got := w.story(); s.ID != "sub-1" || !strings.HasPrefix(got, "patch sub-1, patch sub-1") || strings.Contains(got, "create") {
				t.Errorf("%s after %s, want sub-1 renewed, at first with one call in vain", s.ID, got)
			}
			if s.Failures != 0 || !s.ExpiresAt.After(time.Now()) {
				t.Errorf("record = %d failures, until %v, want none and alive", s.Failures, s.ExpiresAt)
			}
		})
	})
}

func TestALostAnswer(t *testing.T) {
	made := func(w *world) { w.lost = func(what string) bool { return what == "create" && w.number == 1 } }
	tests := map[string]struct {
		prepare func(w *world)
		id      ooo.SubscriptionID
	}{
		"Graph made it and names it: it is taken over": {func(w *world) { w.single = true; made(w) }, "sub-1"},
		"Graph made it and takes two: another is made": {made, "sub-2"},
		"Graph is away when it is asked again: it is taken over still": {func(w *world) {
			w.single = true
			made(w)
			w.fail = func(string) error { // the second and the third call
				if len(w.calls) == 2 || len(w.calls) == 3 {
					return ooo.ErrUnavailable
				}
				return nil
			}
		}, "sub-1"},
		"Graph never made it: it is made": {func(w *world) {
			w.failFirst(1, errors.Join(ooo.ErrUnavailable, ooo.ErrNoAnswer))
		}, "sub-1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			starting(t, tt.prepare, func(t *testing.T, w *world, key ooo.Key) {
				pass(time.Second)
				if s := w.sub(key); s.State != ooo.SubscriptionCreating || s.Failures != 1 {
					t.Errorf("record = %s with %d failures, want it still noted as asked for, once", s.State, s.Failures)
				}
				pass(time.Minute)
				s := w.sub(key)
				if s.State != ooo.SubscriptionLive || s.ID != tt.id || s.Failures != 0 || w.read(key) != 1 {
					t.Errorf("record = %s %s, want %s live and the user read", s.ID, s.State, tt.id)
				}
				if who, ok := keys.Verify(w.states[s.ID]); !ok || who != key {
					t.Error("its clientState is not ours")
				}
				if got := w.story(); strings.Contains(got, "delete") {
					t.Errorf("calls = %s, want none deleted", got)
				}
			})
		})
	}
}

func TestALostAnswerOfAUserWhoLeft(t *testing.T) {
	tests := map[string]func(w *world){
		"Graph made it":       func(w *world) { w.lost = func(string) bool { return true } },
		"Graph never made it": func(w *world) { w.failFirst(1, errors.Join(ooo.ErrUnavailable, ooo.ErrNoAnswer)) },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			starting(t, prepare, func(t *testing.T, w *world, key ooo.Key) {
				pass(time.Second)
				w.change(key, func(u *ooo.User) { u.Active = false })
				pass(time.Minute)
				if len(w.graph) != 0 || len(w.users) != 0 || len(w.due) != 0 {
					t.Errorf("%d in Graph, %d records, %d due, want none; calls %s", len(w.graph), len(w.users), len(w.due), w.story())
				}
			})
		})
	}
}

func TestAnotherDirectoryObject(t *testing.T) {
	tests := map[string]struct {
		fail func(what string) error
		want string
	}{
		"a new one is made, then the old one deleted": {nil, "create, delete sub-1"},
		"Graph refuses the new one at first":          {once("create", ooo.ErrUnavailable), "create, create, delete sub-1"},
		"the old one can't be deleted at first":       {once("delete sub-1", ooo.ErrUnavailable), "create, delete sub-1, delete sub-1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			covered(t, func(t *testing.T, w *world, key ooo.Key) {
				if tt.fail != nil {
					w.set(func() { w.fail = tt.fail })
				}
				w.change(key, func(u *ooo.User) { u.Person.ID = "other" })
				pass(time.Minute)
				if got := w.story(); got != tt.want {
					t.Errorf("calls = %s, want %s", got, tt.want)
				}
				s := w.sub(key)
				if s.ObjectID != "other" || s.State != ooo.SubscriptionLive || s.Former != "" || w.graph[s.ID].Resource != "/users/other/events" || w.read(key) != 1 {
					t.Errorf("record = %+v, want the new object's alone and the user read", s)
				}
				if len(w.graph) != 1 {
					t.Errorf("subscriptions in Graph = %d, want 1", len(w.graph))
				}
			})
		})
	}
}

func TestAFormerOneThatStaysHoldsUpNoRenewal(t *testing.T) {
	covered(t, func(t *testing.T, w *world, key ooo.Key) {
		w.set(func() {
			w.fail = func(what string) error {
				if s, there := w.graph["sub-1"]; what == "delete sub-1" && there && s.ExpiresAt.After(time.Now()) {
					return ooo.ErrSubscriptionDenied
				}
				return nil
			}
		})
		w.change(key, func(u *ooo.User) { u.Person.ID = "other" })
		for range 100 {
			pass(time.Hour)
			if s := w.sub(key); s.ID != "sub-2" || !s.ExpiresAt.After(time.Now()) {
				t.Fatalf("record = %s %s until %v, want sub-2 alive all the time", s.ID, s.State, s.ExpiresAt)
			}
		}
		if s := w.sub(key); s.Former != "" {
			t.Errorf("former = %s, want it given up once Graph has none", s.Former)
		}
	})
}

func TestOneThatMadeWayInVainIsNotTakenForLive(t *testing.T) {
	covered(t, func(t *testing.T, w *world, key ooo.Key) {
		w.set(func() {
			w.single = true
			gone := false
			w.fail = func(what string) error { // Graph goes away between the two calls
				if what == "delete sub-1" {
					gone = true
				} else if gone && what == "create" {
					return ooo.ErrUnavailable
				}
				return nil
			}
		})
		w.change(key, func(u *ooo.User) { u.Subscriptions[0].KeyTag = "withdrawn" })
		pass(time.Minute)
		if s := w.sub(key); len(w.graph) != 0 || s.State == ooo.SubscriptionLive {
			t.Errorf("record = %s %s with %d in Graph, want it not called live", s.ID, s.State, len(w.graph))
		}
		w.set(func() { w.fail = func(string) error { return nil } })
		pass(10 * time.Minute)
		if s := w.sub(key); s.ID != "sub-2" || s.State != ooo.SubscriptionLive || w.read(key) != 1 {
			t.Errorf("record = %s %s, want sub-2 live and the user read", s.ID, s.State)
		}
	})
}
