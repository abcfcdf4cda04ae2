package subscribe_test

import (
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

var now = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

const (
	events   = "/users/{id}/events"
	messages = "/users/{id}/messages"
	hook     = "https://monitor.example/graph/notifications"
)

var want = subscribe.Settings{
	Resources: []string{events}, Keys: keys,
	URLs: subscribe.URLs{Notification: hook, Lifecycle: "https://monitor.example/graph/lifecycle"},
}

var keys, rotated = ooo.NewClientStateKeys("secret"), ooo.NewClientStateKeys("newer", "secret")

func withSettings(edit func(s *subscribe.Settings)) subscribe.Settings {
	settings := want
	edit(&settings)
	return settings
}

// live returns a live subscription as wanted, changed by edits.
func live(edits ...func(*ooo.Subscription)) ooo.Subscription {
	s := ooo.Subscription{
		Resource: events, ID: "sub-1", State: ooo.SubscriptionLive, NotificationURL: hook, LifecycleURL: want.Lifecycle, KeyTag: keys.Tag(),
		CreatedAt: now.Add(-time.Hour), RenewedAt: now.Add(-time.Hour), ExpiresAt: now.Add(48 * time.Hour), RenewAt: now.Add(24 * time.Hour),
	}
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

func monitored(subs ...ooo.Subscription) *ooo.Mailbox {
	return &ooo.Mailbox{ID: annID, Addresses: []ooo.Address{{Spelling: "ann@contoso.example"}}, Subscriptions: subs}
}

func stopped(subs ...ooo.Subscription) *ooo.Mailbox {
	return &ooo.Mailbox{ID: annID, Subscriptions: subs}
}

func TestPlan(t *testing.T) {
	type sub = ooo.Subscription
	type edit = func(s *sub)
	creating := live(func(s *sub) { s.ID, s.State = "", ooo.SubscriptionCreating })
	// failed returns a subscription whose creation failed and may be retried after wait.
	failed := func(kind ooo.SubscriptionErrorKind, wait time.Duration, edits ...edit) sub {
		return live(append([]edit{func(s *sub) {
			s.ID, s.State, s.ErrorKind, s.RetryAt = "", ooo.SubscriptionFailed, kind, now.Add(wait)
		}}, edits...)...)
	}
	due := func(s *sub) { s.RenewAt = now }
	granted := func(at time.Duration) edit { // for six hours
		return func(s *sub) { s.RenewedAt, s.ExpiresAt = now.Add(at), now.Add(at+6*time.Hour) }
	}
	replaces := func(s *sub) { s.Replaces = "sub-0" }
	oldURL := func(s *sub) { s.NotificationURL = "https://old.example/x" }
	oldLifecycle := func(s *sub) { s.LifecycleURL = "https://old.example/y" }
	oldCertificate := func(s *sub) { s.CertificateID = "c0" }
	failedMessages := failed(ooo.SubscriptionErrorRejected, time.Minute, func(s *sub) { s.Resource = messages })
	expiredMessages := live(func(s *sub) { s.Resource, s.ID, s.ExpiresAt, s.RetryAt = messages, "sub-2", now, now.Add(time.Minute) })
	liveMessages := live(func(s *sub) { s.Resource, s.ID = messages, "sub-2" })
	never, renewal := time.Time{}, now.Add(24*time.Hour)
	noURL := withSettings(func(s *subscribe.Settings) { s.URLs = subscribe.URLs{} })
	both := withSettings(func(s *subscribe.Settings) { s.Resources = []string{events, messages} })
	onlyMessages := withSettings(func(s *subscribe.Settings) { s.Resources = []string{messages} })
	withCertificate := withSettings(func(s *subscribe.Settings) { s.Certificate.ID = "c1" })
	otherKeys := withSettings(func(s *subscribe.Settings) { s.Keys = ooo.NewClientStateKeys("other") })
	rotatedKeys := withSettings(func(s *subscribe.Settings) { s.Keys = rotated })
	for name, tt := range map[string]struct {
		mailbox *ooo.Mailbox
		want    subscribe.Settings
		action  subscribe.Action
		reason  subscribe.Reason
		next    time.Time
	}{
		"new mailbox":        {monitored(), want, subscribe.Create, subscribe.NewResource, never},
		"unresolved address": {&ooo.Mailbox{ID: "@ann", Addresses: []ooo.Address{{}}}, want, subscribe.Nothing, subscribe.UpToDate, never},
		"covered mailbox":    {monitored(live()), want, subscribe.Nothing, subscribe.UpToDate, renewal},
		"second resource":    {monitored(live()), both, subscribe.Create, subscribe.NewResource, never},
		"earlier renewal of the second resource": {monitored(live(), live(func(s *sub) { s.Resource, s.RenewAt = messages, now.Add(time.Hour) })), both,
			subscribe.Nothing, subscribe.UpToDate, now.Add(time.Hour)},

		"second resource before first deletion": {monitored(live(replaces)), both, subscribe.Create, subscribe.NewResource, never},
		"second renewal before first deletion": {monitored(live(replaces), live(due, func(s *sub) { s.Resource = messages })), both,
			subscribe.Renew, subscribe.RenewalDue, never},

		"renewal due":                  {monitored(live(due)), want, subscribe.Renew, subscribe.RenewalDue, never},
		"expired":                      {monitored(live(due, func(s *sub) { s.ExpiresAt = now })), want, subscribe.Create, subscribe.Expired, never},
		"removed by Graph":             {monitored(live(func(s *sub) { s.ID, s.State = "", ooo.SubscriptionRemoved })), want, subscribe.Create, subscribe.RemovedByGraph, never},
		"creation unanswered":          {monitored(creating), want, subscribe.Create, subscribe.CreationUnanswered, never},
		"retry due":                    {monitored(failed(ooo.SubscriptionErrorUnavailable, 0)), want, subscribe.Create, subscribe.RetryDue, never},
		"waiting":                      {monitored(failed(ooo.SubscriptionErrorUnavailable, time.Second)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Second)},
		"waiting by a clock ahead":     {monitored(failed(ooo.SubscriptionErrorUnavailable, 25*time.Hour)), want, subscribe.Create, subscribe.RetryDue, never},
		"handshake failed":             {monitored(failed(ooo.SubscriptionErrorHandshake, time.Minute)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"handshake failed at old URL":  {monitored(failed(ooo.SubscriptionErrorHandshake, time.Minute, oldURL)), want, subscribe.Create, subscribe.RetryDue, never},
		"other failure at old URL":     {monitored(failed(ooo.SubscriptionErrorDenied, time.Minute, oldURL)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"old notification URL":         {monitored(live(oldURL)), want, subscribe.Renew, subscribe.URLChanged, never},
		"old lifecycle URL":            {monitored(live(oldLifecycle)), want, subscribe.Nothing, subscribe.UpToDate, renewal},
		"old lifecycle URL at renewal": {monitored(live(due, oldLifecycle)), want, subscribe.Replace, subscribe.LifecycleChanged, never},
		"replaces another":             {monitored(live(replaces)), want, subscribe.DeleteReplaced, subscribe.Superseded, never},
		"key no longer accepted":       {monitored(live()), otherKeys, subscribe.Replace, subscribe.KeyDropped, never},
		"old key":                      {monitored(live()), rotatedKeys, subscribe.Nothing, subscribe.UpToDate, renewal},
		"old key at renewal":           {monitored(live(due)), rotatedKeys, subscribe.Replace, subscribe.KeyRotated, never},
		"old key before last sixth":    {monitored(live(due, granted(-5*time.Hour+time.Second))), rotatedKeys, subscribe.Replace, subscribe.KeyRotated, never},
		"old key in last sixth":        {monitored(live(due, granted(-5*time.Hour))), rotatedKeys, subscribe.Renew, subscribe.Emergency, never},
		"old key about to expire":      {monitored(live(func(s *sub) { s.RenewAt, s.ExpiresAt = now.Add(-time.Hour), now.Add(time.Minute) })), rotatedKeys, subscribe.Renew, subscribe.Emergency, never},
		"resource data switched on":    {monitored(live()), withCertificate, subscribe.Replace, subscribe.DataChanged, never},
		"resource data switched off":   {monitored(live(oldCertificate)), want, subscribe.Replace, subscribe.DataChanged, never},
		"switched off in last sixth":   {monitored(live(oldCertificate, due, granted(-5*time.Hour))), want, subscribe.Renew, subscribe.Emergency, never},
		"old certificate at renewal":   {monitored(live(due, oldCertificate)), withCertificate, subscribe.Renew, subscribe.RenewalDue, never},
		"old certificate":              {monitored(live(oldCertificate)), withCertificate, subscribe.Nothing, subscribe.UpToDate, renewal},

		"other resource wanted":          {monitored(live()), onlyMessages, subscribe.Create, subscribe.NewResource, never},
		"other resource failed":          {monitored(live(), failedMessages), onlyMessages, subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"other resource expired":         {monitored(live(), expiredMessages), onlyMessages, subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"other resource live":            {monitored(live(), liveMessages), onlyMessages, subscribe.Delete, subscribe.NotWanted, never},
		"no public URL":                  {monitored(live()), noURL, subscribe.Delete, subscribe.NotWanted, never},
		"no public URL, no subscription": {monitored(), noURL, subscribe.Nothing, subscribe.UpToDate, never},
		"no public URL, creating":        {monitored(creating), noURL, subscribe.Drop, subscribe.NotWanted, never},

		"stopped":                           {stopped(live()), want, subscribe.Delete, subscribe.NotMonitored, never},
		"stopped, replaces another":         {stopped(live(replaces)), want, subscribe.DeleteReplaced, subscribe.NotMonitored, never},
		"stopped, expired":                  {stopped(live(func(s *sub) { s.ExpiresAt = now })), want, subscribe.Drop, subscribe.NotMonitored, never},
		"stopped, creation unanswered":      {stopped(creating), want, subscribe.Drop, subscribe.NotMonitored, never},
		"stopped, creation failed":          {stopped(failed(ooo.SubscriptionErrorDenied, 0)), want, subscribe.Drop, subscribe.NotMonitored, never},
		"stopped, first deletion waiting":   {stopped(live(func(s *sub) { s.RetryAt = now.Add(time.Hour) }), liveMessages), want, subscribe.Delete, subscribe.NotMonitored, never},
		"stopped, waiting by a clock ahead": {stopped(live(func(s *sub) { s.RetryAt = now.Add(25 * time.Hour) })), want, subscribe.Delete, subscribe.NotMonitored, never},
	} {
		t.Run(name, func(t *testing.T) {
			got := subscribe.Plan(tt.mailbox, tt.want, nil, now)
			if got.Action != tt.action || got.Reason != tt.reason || !got.Next.Equal(tt.next) {
				t.Errorf("Plan = %s (%s) next %v, want %s (%s) next %v", got.Action, got.Reason, got.Next, tt.action, tt.reason, tt.next)
			}
		})
	}
}

func TestPlanWithHint(t *testing.T) {
	never, retry, renewal := time.Time{}, now.Add(time.Second), now.Add(24*time.Hour)
	removed := string(ooo.SubscriptionWasRemoved)
	for name, tt := range map[string]struct {
		sub     ooo.Subscription
		seen    time.Duration // from the last renewal to the hint
		subject string
		want    subscribe.Reason
		next    time.Time
	}{
		"renewed before the hint":    {live(), time.Second, "", subscribe.ExistenceCheck, never},
		"renewed at the same time":   {live(), 0, "", subscribe.UpToDate, renewal},
		"renewed after the hint":     {live(), -time.Second, "", subscribe.UpToDate, renewal},
		"renewed before the removal": {live(), time.Second, removed, subscribe.ExistenceCheck, never},
		"renewed after the removal":  {live(), -time.Second, removed, subscribe.UpToDate, renewal},
		"renewed by a clock ahead":   {live(func(s *ooo.Subscription) { s.RenewedAt = now.Add(time.Hour) }), -2 * time.Hour, removed, subscribe.ExistenceCheck, never},
		"waiting":                    {live(func(s *ooo.Subscription) { s.RetryAt = retry }), time.Second, removed, subscribe.Waiting, retry},
		"renewal due":                {live(func(s *ooo.Subscription) { s.RenewAt = now }), time.Second, "", subscribe.RenewalDue, never},
		"expired":                    {live(func(s *ooo.Subscription) { s.ExpiresAt = now }), time.Second, removed, subscribe.Expired, never},
	} {
		t.Run(name, func(t *testing.T) {
			seen := tt.sub.RenewedAt.Add(tt.seen)
			hints := []ooo.Hint{{SeenAt: seen}, {SeenAt: seen, Subject: tt.subject}}
			got := subscribe.Plan(monitored(tt.sub), want, hints, now)
			if got.Reason != tt.want || !got.Next.Equal(tt.next) {
				t.Errorf("Plan = %s (%s) next %v, want %s next %v", got.Action, got.Reason, got.Next, tt.want, tt.next)
			}
		})
	}
}
