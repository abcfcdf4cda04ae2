package subscribe_test

import (
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

func TestATroubleIsOverOnceTheFormerSubscriptionIsDeleted(t *testing.T) {
	covered(t, func(t *testing.T, w *world, key ooo.Key) {
		w.set(func() { w.fail = once("delete sub-1", ooo.ErrUnavailable) })
		w.change(key, func(u *ooo.User) { u.Subscriptions[0].KeyTag = "dropped" })
		pass(time.Second)
		if s := w.sub(key); s.Former != "sub-1" || s.Failures != 1 || s.Error == "" {
			t.Fatalf("record = former %q, %d failures, %q, want the deletion of sub-1 to have failed once", s.Former, s.Failures, s.Error)
		}
		pass(time.Minute)
		if calls := w.story(); !strings.HasSuffix(calls, "delete sub-1, delete sub-1") {
			t.Errorf("calls = %s, want the deletion tried again", calls)
		}
		if s := w.sub(key); s.Former != "" || s.State != ooo.SubscriptionLive || s.Failures != 0 || s.Error != "" || s.Trouble != "" || !s.RetryAt.IsZero() {
			t.Errorf("record = %+v, want it live and without trouble", s)
		}
	})
}
