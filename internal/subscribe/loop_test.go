package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

const ann = "ann@contoso.example"

// covered runs a story of one user who is covered already: by sub-1, for 72 h.
func covered(t *testing.T, story func(t *testing.T, w *world, key ooo.Key), edits ...func(*subscribe.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		key := w.add(ann)
		stop := w.start(t, edits...)
		defer stop()
		pass(time.Second)
		if got := w.story(); got != "create" || w.read(key) != 1 {
			t.Fatalf("calls at first = %s, want create and a read", got)
		}
		story(t, w, key)
	})
}

func TestANewUserIsCovered(t *testing.T) {
	covered(t, func(t *testing.T, w *world, key ooo.Key) {
		r := w.requests[0]
		if r.Resource != "/users/oid-"+ann+"/events" || r.ChangeType != "created,updated,deleted" {
			t.Errorf("asked for %s of %s, want all changes of the user's events", r.ChangeType, r.Resource)
		}
		if r.NotificationURL != hook || r.LifecycleURL != want.LifecycleURL {
			t.Errorf("URLs = %s and %s, want both of ours", r.NotificationURL, r.LifecycleURL)
		}
		if who, ok := keys.Verify(r.ClientState); !ok || who != key || len(r.ClientState) > 128 {
			t.Errorf("clientState of %d characters names %s, want the user", len(r.ClientState), who)
		}
		if left := time.Until(r.ExpiresAt); left > 72*time.Hour || left < 72*time.Hour-2*time.Second {
			t.Errorf("life asked for a moment ago = %v, want 72 h", left)
		}
		s := w.sub(key)
		if s.State != ooo.SubscriptionLive || s.ID != "sub-1" || s.KeyTag != keys.Tag() || s.ObjectID != "oid-"+ann || !s.ExpiresAt.Equal(r.ExpiresAt) {
			t.Errorf("record = %+v, want it live as Graph returned it", s)
		}
		if w.saved[0].State != ooo.SubscriptionCreating || w.saved[0].ID != "" {
			t.Errorf("first record = %+v, want a note that it is asked for", w.saved[0])
		}
		pass(24 * time.Hour)
		if got := w.story(); got != "" {
			t.Errorf("calls of a quiet day = %s, want none", got)
		}
	})
}

func TestItIsRenewedAtAboutTwoThirdsOfWhatGraphReturned(t *testing.T) {
	for _, life := range []time.Duration{72 * time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.grant = life
			key := w.add(ann)
			stop := w.start(t)
			defer stop()
			pass(10 * life)
			calls, at := w.timed()
			if len(calls) < 15 || len(calls) > 19 {
				t.Fatalf("%d calls in ten lives, want one creation and 14 to 18 renewals", len(calls))
			}
			for i := 1; i < len(at); i++ {
				if after := at[i].Sub(at[i-1]); calls[i] != "patch sub-1" || after < life*56/100 || after > life*67/100 {
					t.Errorf("%s after %v of %v, want a renewal at two thirds, up to a tenth earlier", calls[i], after, life)
				}
			}
			if s := w.sub(key); w.read(key) != 1 || !s.ExpiresAt.After(time.Now().Add(life/3)) {
				t.Errorf("expires at %v, want it renewed well before, and read only once", s.ExpiresAt)
			}
		})
	}
}

func TestWhatGraphLostIsMadeAnewAndRead(t *testing.T) {
	tests := map[string]struct {
		happens func(w *world, key ooo.Key)
		wait    time.Duration
		want    string
	}{
		"404 on renewal": {func(w *world, _ ooo.Key) { w.forget() }, 49 * time.Hour, "patch sub-1, create"},
		"Graph says that it removed it": {func(w *world, key ooo.Key) {
			w.forget()
			w.announce(key, ooo.SubscriptionWasRemoved)
		}, time.Second, "create"},
		"404 after reauthorization was required": {func(w *world, key ooo.Key) {
			w.forget()
			w.announce(key, ooo.ReauthorizationRequired)
		}, time.Second, "patch sub-1, create"},
		"it expired while Graph was out of reach": {func(w *world, _ ooo.Key) {
			end := time.Now().Add(72*time.Hour + time.Minute)
			w.set(func() {
				w.fail = func(string) error {
					if time.Now().Before(end) {
						return ooo.ErrUnavailable
					}
					return nil
				}
			})
		}, 73 * time.Hour, "create"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			covered(t, func(t *testing.T, w *world, key ooo.Key) {
				tt.happens(w, key)
				pass(tt.wait)
				if got := w.story(); !strings.HasSuffix(got, tt.want) {
					t.Errorf("calls = %s, want %s", got, tt.want)
				}
				if s := w.sub(key); s.ID != "sub-2" || s.State != ooo.SubscriptionLive || w.read(key) != 1 {
					t.Errorf("record = %s %s, want sub-2 live and the user read", s.ID, s.State)
				}
				if left := len(w.users[key].Lifecycle); left != 0 {
					t.Errorf("lifecycle events left = %d, want 0", left)
				}
			})
		})
	}
}

func TestReauthorizationIsOneRenewal(t *testing.T) {
	covered(t, func(t *testing.T, w *world, key ooo.Key) {
		for range 3 { // Graph repeats itself
			w.announce(key, ooo.ReauthorizationRequired)
		}
		pass(time.Minute)
		if got := w.story(); got != "patch sub-1" || w.read(key) != 0 || len(w.users[key].Lifecycle) != 0 {
			t.Errorf("calls = %s, %d events left, want one renewal and none", got, len(w.users[key].Lifecycle))
		}
	})
}

func TestAReauthorizationThatFailedIsNotForgotten(t *testing.T) {
	covered(t, func(t *testing.T, w *world, key ooo.Key) {
		tries := 0
		w.set(func() {
			w.fail = func(string) error {
				if tries++; tries < 4 {
					return ooo.ErrUnavailable
				}
				return nil
			}
		})
		w.announce(key, ooo.ReauthorizationRequired)
		pass(time.Hour)
		if got := w.story(); got != "patch sub-1, patch sub-1, patch sub-1, patch sub-1" {
			t.Errorf("calls = %q, want renewals until one works", got)
		}
		if left := len(w.users[key].Lifecycle); left != 0 {
			t.Errorf("lifecycle events left = %d, want 0", left)
		}
	})
}

func TestEventsThatNeedNothingAreCleared(t *testing.T) {
	covered(t, func(t *testing.T, w *world, key ooo.Key) {
		w.change(key, func(u *ooo.User) {
			u.Lifecycle = append(u.Lifecycle, ooo.Lifecycle{SubscriptionID: "sub-99", Kind: ooo.SubscriptionWasRemoved, At: time.Now()},
				ooo.Lifecycle{SubscriptionID: "sub-1", Kind: ooo.NotificationsMissed, At: time.Now()})
		})
		pass(time.Minute)
		if got := w.story(); got != "" || len(w.users[key].Lifecycle) != 0 {
			t.Errorf("calls = %q, %d events left, want none", got, len(w.users[key].Lifecycle))
		}
	})
}

func TestAUserWhoLeavesIsUncoveredAndForgotten(t *testing.T) {
	tests := map[string]struct {
		prepare func(w *world)
		want    string
	}{
		"it is deleted":         {func(*world) {}, "delete sub-1"},
		"it is gone already":    {func(w *world) { w.forget() }, "delete sub-1"},
		"Graph is away a while": {func(w *world) { w.failFirst(2, ooo.ErrUnavailable) }, "delete sub-1, delete sub-1, delete sub-1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			covered(t, func(t *testing.T, w *world, key ooo.Key) {
				tt.prepare(w)
				w.change(key, func(u *ooo.User) { u.Active = false })
				pass(time.Minute)
				if got := w.story(); got != tt.want || len(w.graph) != 0 {
					t.Errorf("calls = %s with %d left in Graph, want %s and none", got, len(w.graph), tt.want)
				}
				if len(w.users) != 0 || len(w.due) != 0 {
					t.Errorf("%d records and %d due left, want none", len(w.users), len(w.due))
				}
			})
		})
	}
}

func TestEachResourceIsCoveredByItself(t *testing.T) {
	messages := "/users/{id}/messages"
	both := func(cfg *subscribe.Config) {
		cfg.Settings.Resources = []string{events, messages}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fail = func(string) error {
			if last := w.requests[len(w.requests)-1]; strings.HasSuffix(last.Resource, "/messages") {
				return fmt.Errorf("%w: no such resource", ooo.ErrRejected)
			}
			return nil
		}
		key := w.add(ann)
		stop := w.start(t, both)
		defer stop()
		pass(time.Hour)
		subs := w.users[key].Subscriptions
		if len(subs) != 2 || subs[0].State != ooo.SubscriptionLive || subs[1].State != ooo.SubscriptionFailed || subs[1].Error == "" {
			t.Errorf("records = %+v, want one live and one failed with the reason", subs)
		}
		if a, b := w.requests[0].ClientState, w.requests[1].ClientState; a == b {
			t.Error("clientStates of two resources are the same, want each its own")
		}
	})
}

func TestRedisAwayOnlyDelays(t *testing.T) {
	covered(t, func(t *testing.T, w *world, key ooo.Key) {
		w.forget()
		w.set(func() { w.err = errors.New("away") })
		pass(50 * time.Hour) // renewal is due meanwhile
		if got := w.story(); got != "" {
			t.Errorf("calls while Redis is away = %q, want none", got)
		}
		w.set(func() { w.err = nil })
		pass(time.Minute)
		if got, s := w.story(), w.sub(key); got != "patch sub-1, create" || s.State != ooo.SubscriptionLive {
			t.Errorf("then: %q, record %s, want it made anew", got, s.State)
		}
	})
}

func TestARecordThatCouldNotBeWrittenIsMadeGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.single = true
		key := w.add(ann)
		w.fail = func(what string) error { // Redis goes away while Graph makes it
			w.err = errors.New("away")
			return nil
		}
		stop := w.start(t)
		defer stop()
		pass(5 * time.Second)
		w.set(func() { w.err, w.fail = nil, func(string) error { return nil } })
		pass(time.Minute)
		if s := w.sub(key); s.State != ooo.SubscriptionLive || len(w.graph) != 1 || w.graph[s.ID].ID == "" {
			t.Errorf("record = %s %s, %d in Graph, want the one in Graph live", s.ID, s.State, len(w.graph))
		}
	})
}

func TestStoppingGivesBackAndStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		key := w.add(ann)
		first := w.start(t)
		pass(time.Second)
		first()
		if len(w.held) != 0 {
			t.Errorf("%d claims held after stopping, want none", len(w.held))
		}
		w.story()
		second := w.start(t)
		pass(time.Hour)
		second()
		if got := w.story(); got != "" || w.sub(key).ID != "sub-1" {
			t.Errorf("calls after a restart = %q, want none", got)
		}
	})
}

func TestUsersWhoDoNotFitTheSettingsAreFoundAtStart(t *testing.T) {
	tests := map[string]struct {
		edit func(*subscribe.Config)
		want string
	}{
		"another resource":        {func(cfg *subscribe.Config) { cfg.Settings.Resources = []string{"/users/{id}/messages"} }, "create, delete sub-1"},
		"no public URL any more":  {func(cfg *subscribe.Config) { cfg.Settings.NotificationURL = "" }, "delete sub-1"},
		"another public URL":      {func(cfg *subscribe.Config) { cfg.Settings.NotificationURL = "https://new.example/x" }, "patch sub-1"},
		"a secret that is gone":   {func(cfg *subscribe.Config) { cfg.Keys = fixed("other") }, "create, delete sub-1"},
		"a secret that is second": {func(cfg *subscribe.Config) { cfg.Keys = fixed("newer", "secret") }, ""},
		"nothing new":             {func(cfg *subscribe.Config) {}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.add(ann)
				first := w.start(t)
				pass(time.Second)
				first()
				w.story()
				second := w.start(t, tt.edit)
				pass(10 * time.Second)
				second()
				if got := w.story(); got != tt.want {
					t.Errorf("calls = %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestUsersAreComparedWithTheSettingsOnceRedisAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add(ann)
		first := w.start(t)
		pass(time.Second)
		first()
		w.story()
		w.set(func() { w.err = errors.New("away") })
		second := w.start(t, func(cfg *subscribe.Config) { cfg.Settings.NotificationURL = "https://new.example/x" })
		pass(10 * time.Minute)
		w.set(func() { w.err = nil })
		pass(2 * time.Minute)
		second()
		if got := w.story(); got != "patch sub-1" {
			t.Errorf("calls = %q, want one patch of the URL", got)
		}
	})
}

func fixed(secrets ...string) func(context.Context) (ooo.ClientStateKeys, error) {
	return func(context.Context) (ooo.ClientStateKeys, error) { return ooo.NewClientStateKeys(secrets...), nil }
}
