package graphsim_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
)

func TestCalendarBlockNotifications(t *testing.T) {
	f := start(t, graphsim.Config{})
	u, h := f.addUser("ann@contoso.example"), newHook(t)
	id := f.subscribe(u, h, time.Hour)
	f.SetReplies(u.ID, graphsim.AutomaticRepliesUpdate{Status: new("scheduled")})
	if got := f.Stats().Notifications.Items; got != 0 {
		t.Errorf("%d items without a calendar block, want none", got)
	}
	var event any
	for i, step := range []struct {
		update graphsim.AutomaticRepliesUpdate
		want   string // kind of change
	}{
		{graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), CalendarBlock: true}, "created"},
		{graphsim.AutomaticRepliesUpdate{ExternalReplyMessage: new("x"), CalendarBlock: true}, "updated"},
		{graphsim.AutomaticRepliesUpdate{Status: new("disabled"), CalendarBlock: true}, "deleted"},
		{graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), CalendarBlock: true}, "created"},
	} {
		f.SetReplies(u.ID, step.update)
		item := h.waitFor(t, i+1)[i]
		data, _ := item["resourceData"].(map[string]any)
		if item["changeType"] != step.want || item["subscriptionId"] != id || item["clientState"] != "state of ann@contoso.example" ||
			item["tenantId"] != f.TenantID() || item["resource"] != fmt.Sprintf("Users/%s/Events/%s", u.ID, data["id"]) {
			t.Errorf("item = %v, want changeType %s of the calendar block", item, step.want)
		}
		if same := data["id"] == event; same != (i == 1 || i == 2) {
			t.Errorf("step %d: event id = %v after %v, want one id per block", i, data["id"], event)
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

func TestOnlySubscribedChangesAreNotified(t *testing.T) {
	f := start(t, graphsim.Config{})
	ann, bob, h := f.addUser("ann@contoso.example"), f.addUser("bob@contoso.example"), newHook(t)
	body := subscription(ann, h, time.Hour)
	body["changeType"], body["resource"] = "updated", "users/ANN@contoso.example/events"
	f.graph("POST", "/subscriptions", body).want(t, 201, "")
	for _, touch := range []struct{ user, collection, change string }{
		{bob.ID, "events", "updated"}, {ann.ID, "messages", "updated"}, {ann.ID, "events", "created"}, {ann.ID, "events", "updated"},
	} {
		f.Must(f.Touch(touch.user, touch.collection, touch.change))
	}
	if got := f.Stats().Notifications.Items; got != 1 {
		t.Errorf("%d items, want one", got)
	}
	if item := h.waitFor(t, 1)[0]; item["changeType"] != "updated" || !strings.HasPrefix(item["resource"].(string), "Users/"+ann.ID+"/Events/") {
		t.Errorf("item = %v, want ann's event, with her id", item)
	}
}

func TestNotificationBatches(t *testing.T) {
	t.Parallel()
	f := start(t, graphsim.Config{})
	h := newHook(t)
	users := f.AddUsers(120)
	for _, u := range users {
		f.subscribe(u, h, time.Hour)
	}
	for _, u := range users {
		f.setOut(u)
	}
	h.waitFor(t, 120)
	if len(h.posts) < 2 || len(h.posts) > 20 {
		t.Errorf("%d POSTs, want 2 to 20", len(h.posts))
	}
	for _, p := range h.posts {
		if len(p) > 100 {
			t.Errorf("%d items in a POST, want at most 100", len(p))
		}
	}
}

func TestNotificationRetries(t *testing.T) {
	for name, tt := range map[string]struct {
		statuses []int         // then 202
		timeout  time.Duration // of the first attempt
		want     graphsim.NotificationStats
	}{
		"until acknowledged": {[]int{503, 500, 404, 302}, await.Timeout, graphsim.NotificationStats{Items: 1, Sent: 5, Failed: 4, Acknowledged: 1}},
		"until dropped":      {slices.Repeat([]int{503}, 11), await.Timeout, graphsim.NotificationStats{Items: 1, Sent: 10, Failed: 10, Dropped: 1}},
		"after a timeout":    {[]int{hang}, 50 * time.Millisecond, graphsim.NotificationStats{Items: 1, Sent: 2, Failed: 1, Acknowledged: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, graphsim.Config{NotificationRetry: time.Millisecond, NotificationTimeout: tt.timeout, RetryTimeout: await.Timeout})
			u, h := f.addUser("ann@contoso.example"), newHook(t)
			h.statuses = tt.statuses
			f.subscribe(u, h, time.Hour)
			f.setOut(u)
			await.True(t, "the retries end", func() bool { n := f.Stats().Notifications; return n.Acknowledged+n.Dropped > 0 })
			if got := f.Stats().Notifications; got != tt.want {
				t.Errorf("notifications = %+v, want %+v", got, tt.want)
			}
			for _, item := range h.items() {
				if item["id"] != h.items()[0]["id"] {
					t.Error("a retry sends another item, want the same")
				}
			}
		})
	}
}

func TestLifecycleNotifications(t *testing.T) {
	f := start(t, graphsim.Config{})
	ann, bob, eve, h := f.addUser("ann@contoso.example"), f.addUser("bob@contoso.example"), f.addUser("eve@contoso.example"), newHook(t)
	id, quiet, deleted := f.subscribe(ann, h, time.Hour), f.subscribe(bob, h, time.Hour), f.subscribe(eve, h, time.Hour)
	for i, event := range []string{graphsim.ReauthorizationRequired, graphsim.Missed, graphsim.SubscriptionRemoved} {
		f.Must(f.SendLifecycle(id, event))
		item := h.waitFor(t, i+1)[i]
		if item["lifecycleEvent"] != event || item["subscriptionId"] != id || item["organizationId"] != f.TenantID() ||
			item["clientState"] != "state of ann@contoso.example" || item["changeType"] != nil || item["tenantId"] != nil {
			t.Errorf("item = %v, want %s", item, event)
		}
		if h.paths[i] != "/lifecycle" {
			t.Errorf("path = %s, want that of lifecycleNotificationUrl", h.paths[i])
		}
	}
	if n := len(f.Subscriptions()); n != 3 {
		t.Errorf("%d subscriptions, want still 3", n)
	}
	f.Must(f.RemoveSubscription(quiet, true))
	f.Must(f.RemoveSubscription(id, false))
	if item := h.waitFor(t, 4)[3]; item["lifecycleEvent"] != "subscriptionRemoved" || item["subscriptionId"] != id {
		t.Errorf("item = %v, want only the removal that is not silent", item)
	}
	f.Must(f.DeleteUser(eve.ID))
	if item := h.waitFor(t, 5)[4]; item["subscriptionId"] != deleted || item["lifecycleEvent"] != "subscriptionRemoved" {
		t.Errorf("item = %v, want the removal of the deleted user's subscription", item)
	}
	f.graph("GET", "/users/"+eve.ID, nil).want(t, 404, "Request_ResourceNotFound")
	f.read(eve).want(t, 404, "ResourceNotFound")
	if subs := f.Subscriptions(); len(subs) != 0 {
		t.Errorf("subscriptions = %+v, want none", subs)
	}
}

func TestReauthorizationRequired(t *testing.T) {
	t.Parallel()
	f := start(t, graphsim.Config{MinSubscription: time.Millisecond})
	ann, bob, h := f.addUser("ann@contoso.example"), f.addUser("bob@contoso.example"), newHook(t)
	renewed := f.subscribe(ann, h, 5*time.Second)
	later := map[string]any{"expirationDateTime": time.Now().Add(time.Hour).UTC()}
	f.graph("PATCH", "/subscriptions/"+renewed, later).want(t, 200, "")
	id := f.subscribe(bob, h, 5*time.Second)
	subs := f.Subscriptions() // the first may have expired already
	i := slices.IndexFunc(subs, func(s graphsim.Subscription) bool { return s.ID == id })
	if i < 0 {
		t.Fatalf("subscriptions = %+v, want %s among them", subs, id)
	}
	expires := subs[i].ExpirationDateTime
	if item := h.waitFor(t, 1)[0]; item["lifecycleEvent"] != "reauthorizationRequired" || item["subscriptionId"] != id {
		t.Errorf("item = %v, want reauthorizationRequired of the subscription that was not renewed", item)
	}
	await.True(t, "it expires", func() bool { return len(f.Subscriptions()) == 1 })
	if time.Now().Before(expires) {
		t.Errorf("expired before %v", expires)
	}
	if n := len(h.items()); n != 1 {
		t.Errorf("%d items, want 1: expiry is silent", n)
	}
}
