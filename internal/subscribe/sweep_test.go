package subscribe_test

import (
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

func TestASweepComparesGraphWithTheRecords(t *testing.T) {
	stray := func(edit func(s *ooo.GraphSubscription)) func(w *world) {
		return func(w *world) {
			s := ooo.GraphSubscription{ID: "stray", Resource: "/users/oid-nobody/events", NotificationURL: hook, ExpiresAt: time.Now().Add(72 * time.Hour)}
			edit(&s)
			w.set(func() { w.graph[s.ID] = s })
		}
	}
	tests := map[string]struct {
		happens func(w *world)
		found   subscribe.Swept // by the first sweep
		calls   string          // after the list
	}{
		"all is as recorded":          {func(*world) {}, subscribe.Swept{Known: 1}, ""},
		"what vanished is made anew":  {func(w *world) { w.forget() }, subscribe.Swept{Lost: 1}, "create"},
		"what is nobody's is deleted": {stray(func(*ooo.GraphSubscription) {}), subscribe.Swept{Known: 1, Surplus: 1}, "delete stray"},
		"a double one of a user's is deleted": {stray(func(s *ooo.GraphSubscription) { s.Resource = "/users/oid-" + ann + "/events" }),
			subscribe.Swept{Known: 1, Surplus: 1}, "delete stray"},
		"another service's is left alone": {stray(func(s *ooo.GraphSubscription) { s.NotificationURL = "https://other.example/x" }),
			subscribe.Swept{Known: 1, Foreign: 1}, ""},
		"what has expired is left alone": {stray(func(s *ooo.GraphSubscription) { s.ExpiresAt = time.Now() }), subscribe.Swept{Known: 1}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var found []subscribe.Swept
			covered(t, func(t *testing.T, w *world, key ooo.Key) {
				tt.happens(w)
				pass(30 * time.Minute)
				got, _ := strings.CutPrefix(w.story(), "list")
				if got = strings.TrimPrefix(got, ", "); got != tt.calls {
					t.Errorf("calls after the list = %q, want %q", got, tt.calls)
				}
				if len(found) != 1 || found[0] != tt.found {
					t.Errorf("found = %+v, want %+v once", found, tt.found)
				}
				if s := w.sub(key); s.State != ooo.SubscriptionLive || w.graph[s.ID].ID == "" {
					t.Errorf("record = %s %s, want the user covered", s.ID, s.State)
				}
			}, func(cfg *subscribe.Config) {
				cfg.SweepEvery = time.Hour
				cfg.Swept = func(f subscribe.Swept) { found = append(found, f) }
			})
		})
	}
}

func TestASweepThatFailedIsTriedAgain(t *testing.T) {
	sweeps := 0
	covered(t, func(t *testing.T, w *world, key ooo.Key) {
		w.set(func() { w.fail = once("list", ooo.ErrUnavailable) })
		pass(30 * time.Minute)
		if got := w.story(); got != "list, list" || sweeps != 1 {
			t.Errorf("calls = %s, sweeps noted = %d, want a second list within the hour and one", got, sweeps)
		}
	}, func(cfg *subscribe.Config) {
		cfg.SweepEvery = time.Hour
		cfg.Swept = func(subscribe.Swept) { sweeps++ }
	})
}
