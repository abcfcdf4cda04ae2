package graphsim_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
)

func TestCalendarBlockIsNotified(t *testing.T) {
	w := start(t, graphsim.Config{})
	u, h := w.user("ann@contoso.example"), newHook(t)
	id := w.subscribe(u, h, time.Hour)
	w.set(u, graphsim.AutomaticRepliesUpdate{Status: new("scheduled")})
	if got := w.Stats().Notifications.Items; got != 0 {
		t.Errorf("%d items without the block, want none", got)
	}
	steps := []struct {
		update graphsim.AutomaticRepliesUpdate
		want   string // kind of change
	}{
		{graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), CalendarBlock: true}, "created"},
		{graphsim.AutomaticRepliesUpdate{ExternalReplyMessage: new("x"), CalendarBlock: true}, "updated"},
		{graphsim.AutomaticRepliesUpdate{Status: new("disabled"), CalendarBlock: true}, "deleted"},
		{graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), CalendarBlock: true}, "created"},
	}
	var event any
	for i, step := range steps {
		w.set(u, step.update)
		item := h.only(t, i+1)[i]
		data, _ := item["resourceData"].(map[string]any)
		if item["changeType"] != step.want || item["subscriptionId"] != id || item["clientState"] != "state of ann@contoso.example" ||
			item["tenantId"] != w.TenantID() || item["resource"] != fmt.Sprintf("Users/%s/Events/%s", u.ID, data["id"]) {
			t.Errorf("item = %v, want %s of the calendar block", item, step.want)
		}
		if same := data["id"] == event; same != (i == 1 || i == 2) {
			t.Errorf("step %d: event id = %v after %v, want it to last while the block does", i, data["id"], event)
		}
		event = data["id"]
		if s, _ := item["subscriptionExpirationDateTime"].(string); !regexp.MustCompile(`\.\d{7}\+00:00$`).MatchString(s) {
			t.Errorf("expiry = %q, want 7 digits and an offset", s)
		}
	}
	if h.paths[0] != "/notify" {
		t.Errorf("path = %s, want that of notificationUrl", h.paths[0])
	}
}

func TestOnlyWhatWasSubscribedToIsNotified(t *testing.T) {
	w := start(t, graphsim.Config{})
	ann, bob, h := w.user("ann@contoso.example"), w.user("bob@contoso.example"), newHook(t)
	body := subscription(ann, h, time.Hour)
	body["changeType"], body["resource"] = "updated", "users/ANN@contoso.example/events"
	if a := w.graph("POST", "/subscriptions", body); a.status != 201 {
		t.Fatalf("POST = %d %s", a.status, a.raw)
	}
	for _, touch := range []struct{ user, collection, change string }{
		{bob.ID, "events", "updated"}, {ann.ID, "messages", "updated"}, {ann.ID, "events", "created"}, {ann.ID, "events", "updated"},
	} {
		w.must(w.Touch(touch.user, touch.collection, touch.change))
	}
	if got := w.Stats().Notifications.Items; got != 1 {
		t.Errorf("%d items, want one", got)
	}
	if item := h.only(t, 1)[0]; item["changeType"] != "updated" || !strings.HasPrefix(item["resource"].(string), "Users/"+ann.ID+"/Events/") {
		t.Errorf("item = %v, want ann's event, by id whatever the subscription says", item)
	}
}

func TestItemsOfSeveralUsersShareAPost(t *testing.T) {
	t.Parallel()
	w := start(t, graphsim.Config{})
	h := newHook(t)
	users := w.users(120)
	for _, u := range users {
		w.subscribe(u, h, time.Hour)
	}
	for _, u := range users {
		w.setOut(u)
	}
	h.only(t, 120)
	if len(h.posts) < 2 || len(h.posts) > 20 {
		t.Errorf("%d POSTs, want few but more than one", len(h.posts))
	}
	for _, p := range h.posts {
		if len(p) > 100 {
			t.Errorf("%d items in a POST, want 100 at most", len(p))
		}
	}
}

func TestNotificationsAreRepeated(t *testing.T) {
	tests := map[string]struct {
		statuses []int // then 202
		want     graphsim.NotificationStats
	}{
		"until acknowledged": {[]int{503, 500, 404, 302}, graphsim.NotificationStats{Items: 1, Sent: 5, Failed: 4, Acknowledged: 1}},
		"until given up":     {slices.Repeat([]int{503}, 11), graphsim.NotificationStats{Items: 1, Sent: 10, Failed: 10, Dropped: 1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := start(t, graphsim.Config{NotificationRetry: time.Millisecond})
			u, h := w.user("ann@contoso.example"), newHook(t)
			h.statuses = tt.statuses
			w.subscribe(u, h, time.Hour)
			w.setOut(u)
			await.True(t, "it ends", func() bool { n := w.Stats().Notifications; return n.Acknowledged+n.Dropped > 0 })
			if got := w.Stats().Notifications; got != tt.want {
				t.Errorf("notifications = %+v, want %+v", got, tt.want)
			}
			for _, item := range h.items() {
				if item["id"] != h.items()[0]["id"] {
					t.Error("a repetition is another item, want the same")
				}
			}
		})
	}
}

func TestASlowAnswerCountsAsNone(t *testing.T) {
	w := start(t, graphsim.Config{NotificationTimeout: 50 * time.Millisecond, NotificationRetry: time.Millisecond})
	u, h := w.user("ann@contoso.example"), newHook(t)
	var posts atomic.Int32
	slow := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("validationToken") && posts.Add(1) == 1 {
			_, _ = io.Copy(io.Discard, r.Body) // only then is it noticed that the other side is gone
			<-r.Context().Done()
			return
		}
		h.serve(rw, r)
	}))
	defer slow.Close()
	body := subscription(u, h, time.Hour)
	body["notificationUrl"] = slow.URL
	if a := w.graph("POST", "/subscriptions", body); a.status != 201 {
		t.Fatalf("POST = %d %s", a.status, a.raw)
	}
	w.setOut(u)
	await.True(t, "the second try is acknowledged", func() bool { return w.Stats().Notifications.Acknowledged == 1 })
	if got := w.Stats().Notifications; got.Sent < 2 || got.Failed < 1 {
		t.Errorf("notifications = %+v, want the first one failed", got)
	}
}

func TestLifecycleOnDemand(t *testing.T) {
	w := start(t, graphsim.Config{})
	u, h := w.user("ann@contoso.example"), newHook(t)
	id := w.subscribe(u, h, time.Hour)
	for i, event := range []string{graphsim.ReauthorizationRequired, graphsim.Missed, graphsim.SubscriptionRemoved} {
		w.must(w.SendLifecycle(id, event))
		item := h.only(t, i+1)[i]
		if item["lifecycleEvent"] != event || item["subscriptionId"] != id || item["organizationId"] != w.TenantID() ||
			item["clientState"] != "state of ann@contoso.example" || item["changeType"] != nil || item["tenantId"] != nil {
			t.Errorf("item = %v, want %s", item, event)
		}
		if h.paths[i] != "/lifecycle" {
			t.Errorf("path = %s, want that of lifecycleNotificationUrl", h.paths[i])
		}
	}
	if len(w.Subscriptions()) != 1 {
		t.Error("the subscription is gone, want it to live: events alone do nothing")
	}
}

func TestSubscriptionIsRemoved(t *testing.T) {
	w := start(t, graphsim.Config{})
	ann, bob, eve, h := w.user("ann@contoso.example"), w.user("bob@contoso.example"), w.user("eve@contoso.example"), newHook(t)
	loud, quiet, deleted := w.subscribe(ann, h, time.Hour), w.subscribe(bob, h, time.Hour), w.subscribe(eve, h, time.Hour)
	w.must(w.RemoveSubscription(quiet, true))
	w.must(w.RemoveSubscription(loud, false))
	item := h.only(t, 1)[0]
	if item["lifecycleEvent"] != "subscriptionRemoved" || item["subscriptionId"] != loud {
		t.Errorf("item = %v, want the removal that isn't silent", item)
	}
	w.must(w.DeleteUser(eve.ID))
	if item := h.only(t, 2)[1]; item["subscriptionId"] != deleted || item["lifecycleEvent"] != "subscriptionRemoved" {
		t.Errorf("item = %v, want the removal with the user", item)
	}
	if subs := w.Subscriptions(); len(subs) != 0 {
		t.Errorf("subscriptions = %+v, want none", subs)
	}
}

func TestReauthorizationIsRequiredAheadOfTheEnd(t *testing.T) {
	t.Parallel()
	w := start(t, graphsim.Config{MinSubscription: time.Millisecond, ReauthorizeLeft: 0.5})
	u, h := w.user("ann@contoso.example"), newHook(t)
	id := w.subscribe(u, h, 2*time.Second)
	expires := w.Subscriptions()[0].ExpirationDateTime
	item := h.only(t, 1)[0]
	if item["lifecycleEvent"] != "reauthorizationRequired" || item["subscriptionId"] != id {
		t.Errorf("item = %v, want reauthorizationRequired", item)
	}
	await.True(t, "it expires", func() bool { return len(w.Subscriptions()) == 0 })
	if time.Now().Before(expires) {
		t.Errorf("gone before %v", expires)
	}
	if n := len(h.items()); n != 1 {
		t.Errorf("%d items, want no more: a natural end is silent", n)
	}
}

func TestRenewalPutsReauthorizationOff(t *testing.T) {
	t.Parallel()
	w := start(t, graphsim.Config{MinSubscription: time.Millisecond, ReauthorizeLeft: 0.5})
	ann, bob, h := w.user("ann@contoso.example"), w.user("bob@contoso.example"), newHook(t)
	id := w.subscribe(ann, h, 2*time.Second)
	if a := w.graph("PATCH", "/subscriptions/"+id, map[string]any{"expirationDateTime": time.Now().Add(time.Hour).UTC()}); a.status != 200 {
		t.Fatalf("PATCH = %d %s", a.status, a.raw)
	}
	second := w.subscribe(bob, h, 3*time.Second)
	if item := h.only(t, 1)[0]; item["subscriptionId"] != second {
		t.Errorf("item = %v, want the one that wasn't renewed, though it was made later", item)
	}
}
