package graphsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
)

func TestSetAutomaticReplies(t *testing.T) {
	f := start(t, graphsim.Config{})
	u := f.addUser("ann@contoso.example")
	windows := graphsim.DateTimeZone{DateTime: "2030-04-17T16:00:00.0000000", TimeZone: "Pacific Standard Time"}
	iana := graphsim.DateTimeZone{DateTime: "2030-04-18T16:00:00.0000000", TimeZone: "Europe/Vienna"}
	f.SetReplies(u.ID, graphsim.AutomaticRepliesUpdate{
		Status: new("Scheduled"), ExternalAudience: new("contactsOnly"),
		InternalReplyMessage: new("<p>in</p>"), ExternalReplyMessage: new("<p>out</p>"),
		ScheduledStartDateTime: &windows, ScheduledEndDateTime: &iana,
	})
	f.SetReplies(u.ID, graphsim.AutomaticRepliesUpdate{ExternalReplyMessage: new("<p>new</p>")})
	want := graphsim.AutomaticReplies{
		Status: "Scheduled", ExternalAudience: "contactsOnly", InternalReplyMessage: "<p>in</p>", ExternalReplyMessage: "<p>new</p>",
		ScheduledStartDateTime: windows, ScheduledEndDateTime: iana,
	}
	for _, key := range []string{u.ID, u.UserPrincipalName} {
		var got graphsim.AutomaticReplies
		a := f.graph("GET", "/users/"+key+repliesPath, nil)
		if err := json.Unmarshal(a.raw, &got); err != nil || got != want {
			t.Errorf("setting of %s = %d %s, want %+v", key, a.status, a.raw, want)
		}
	}
	var whole struct {
		Setting graphsim.AutomaticReplies `json:"automaticRepliesSetting"`
	}
	a := f.graph("GET", "/users/"+u.ID+"/mailboxSettings", nil)
	if err := json.Unmarshal(a.raw, &whole); err != nil || whole.Setting != want {
		t.Errorf("mailboxSettings = %s, want the setting in it", a.raw)
	}
}

func TestPlaceholderDates(t *testing.T) {
	f := start(t, graphsim.Config{})
	u := f.addUser("ann@contoso.example")
	past := graphsim.DateTimeZone{DateTime: "2001-01-01T00:00:00.0000000", TimeZone: "UTC"}
	for _, status := range []string{"disabled", "alwaysEnabled"} {
		f.SetReplies(u.ID, graphsim.AutomaticRepliesUpdate{Status: &status, ScheduledStartDateTime: &past, ScheduledEndDateTime: &past})
		before := time.Now().UTC().Truncate(time.Hour)
		got, err := f.AutomaticReplies(u.ID)
		f.Must(err)
		hour := before
		if got.ScheduledStartDateTime != graphsim.UTC(before) { // it has just ended
			hour = time.Now().UTC().Truncate(time.Hour)
		}
		if got.ScheduledStartDateTime != graphsim.UTC(hour) || got.ScheduledEndDateTime != graphsim.UTC(hour.AddDate(0, 0, 1)) {
			t.Errorf("dates while %s = %+v, want the current hour, %v, and a day later", status, got, hour)
		}
	}
}

func TestSetMailbox(t *testing.T) {
	f := start(t, graphsim.Config{})
	u, other := f.addUser("ann@contoso.example"), f.addUser("bob@contoso.example")
	for code, status := range map[string]int{
		"MailboxNotEnabledForRESTAPI": 404, "ResourceNotFound": 404, "ErrorAccessDenied": 403,
		"ErrorServerBusy": 503, "ErrorMailboxMoveInProgress": 503, "ErrorInvalidUser": 404, "ErrorItemNotFound": 404, "UnknownError": 401,
	} {
		f.Must(f.SetMailbox(u.ID, graphsim.Mailbox{Error: code}))
		f.read(u).want(t, status, code)
	}
	f.read(other).want(t, 200, "")
	f.graph("GET", "/users/"+u.ID, nil).want(t, 200, "")
	f.Must(f.SetMailbox(u.ID, graphsim.Mailbox{}))
	f.read(u).want(t, 200, "")
	if err := f.SetMailbox(u.ID, graphsim.Mailbox{Error: "Nonsense"}); !errors.Is(err, graphsim.ErrInvalid) {
		t.Errorf("SetMailbox with an unknown error = %v, want ErrInvalid", err)
	}
	f.Must(f.SetMailbox(u.ID, graphsim.Mailbox{Body: json.RawMessage(`{"status":"sometimes"}`)}))
	if a := f.read(u); string(a.raw) != `{"status":"sometimes"}` {
		t.Errorf("read = %s, want the body that was set", a.raw)
	}
}

func TestMailboxConcurrency(t *testing.T) {
	f := start(t, graphsim.Config{})
	u, other := f.addUser("ann@contoso.example"), f.addUser("bob@contoso.example")
	f.SetFault(graphsim.Fault{Operation: "read", Kind: "hang", User: u.ID, Times: 4})
	ctx, release := context.WithCancel(t.Context())
	defer release()
	var four sync.WaitGroup
	for range 4 {
		four.Go(func() {
			_, err := f.trySend(ctx, "GET", f.URL()+"/v1.0/users/"+u.ID+repliesPath, f.header(), nil)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("hanging read = %v, want canceled", err)
			}
		})
	}
	await.True(t, "four are in flight", func() bool { return f.Stats().MaxConcurrentPerMailbox == 4 })
	f.read(u).want(t, 429, "ApplicationThrottled")
	f.read(other).want(t, 200, "")
	release()
	four.Wait()
	if got := f.Stats().MaxConcurrentPerMailbox; got != 5 {
		t.Errorf("most concurrent = %d, want 5, including the rejected one", got)
	}
	await.True(t, "the mailbox answers again", func() bool { return f.read(u).status == 200 })
}

func TestMailboxQuota(t *testing.T) {
	t.Parallel()
	f := start(t, graphsim.Config{})
	u := f.addUser("ann@contoso.example")
	var requests []any
	for i := range 20 {
		requests = append(requests, get(fmt.Sprint(i), "/users/"+u.ID+repliesPath))
	}
	for range 10_000 / 20 {
		f.graph("POST", "/$batch", map[string]any{"requests": requests})
	}
	if got := f.Stats().Calls["read"]["200"]; got != 10_000 {
		t.Fatalf("reads answered = %d, want 10000", got)
	}
	f.read(u).want(t, 429, "ApplicationThrottled")
}

func TestReadStats(t *testing.T) {
	f := start(t, graphsim.Config{})
	ann, bob := f.addUser("ann@contoso.example"), f.addUser("bob@contoso.example")
	for range 3 {
		f.read(ann)
	}
	f.read(bob)
	f.graph("GET", "/users/nobody@contoso.example"+repliesPath, nil)
	got := f.Stats()
	if got.Calls["read"]["200"] != 4 || got.Calls["read"]["404"] != 1 || got.Calls["token"]["200"] != 1 {
		t.Errorf("calls = %v, want 4 successful reads, 1 failed one, 1 token", got.Calls)
	}
	if got.ReadGaps.Count != 2 || got.MaxConcurrentPerMailbox != 1 {
		t.Errorf("gaps = %+v, most concurrent = %d, want the two of one mailbox, and 1", got.ReadGaps, got.MaxConcurrentPerMailbox)
	}
	f.ResetStats()
	f.read(ann)
	if got := f.Stats(); got.ReadGaps.Count != 0 || got.Calls["read"]["200"] != 1 {
		t.Errorf("after the reset = %+v, want no gap and one read", got)
	}
}
