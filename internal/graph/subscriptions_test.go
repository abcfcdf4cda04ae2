package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

// newHook starts a notification URL that passes the handshake.
func newHook(t testing.TB) *httptest.Server {
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, r.URL.Query().Get("validationToken"))
	}))
	t.Cleanup(hook.Close)
	return hook
}

func wanted(id ooo.ObjectID, hook string, life time.Duration) ooo.SubscriptionRequest {
	return ooo.SubscriptionRequest{
		Resource: ooo.ResourcePath("/users/{id}/events", id), ChangeType: "created,updated,deleted",
		NotificationURL: hook + "/notify", LifecycleURL: hook + "/lifecycle",
		ClientState: "state-of-" + string(id), ExpiresAt: time.Now().Add(life),
	}
}

func TestTheLifeOfASubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ask := wanted(w.user("ann@contoso.example"), newHook(t).URL, 2*time.Hour)
	made, err := c.CreateSubscription(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	want := ooo.GraphSubscription{ID: made.ID, Resource: ask.Resource, NotificationURL: ask.NotificationURL,
		LifecycleURL: ask.LifecycleURL, ExpiresAt: ask.ExpiresAt.UTC().Truncate(time.Second)}
	if made != want || made.ID == "" {
		t.Errorf("CreateSubscription = %+v, want %+v", made, want)
	}
	if there := w.Subscriptions(); len(there) != 1 || there[0].ClientState != ask.ClientState || there[0].TLSVersion != "v1_2" || there[0].ChangeType != ask.ChangeType {
		t.Errorf("Graph has %+v, want one with the clientState, TLS version and changes asked for", there)
	}

	_, err = c.CreateSubscription(t.Context(), ask)
	if twin, ok := errors.AsType[*ooo.Duplicate](err); !ok || twin.ID != made.ID {
		t.Errorf("a second CreateSubscription = %v, want Duplicate of %s", err, made.ID)
	}

	later := time.Now().Add(3 * time.Hour)
	renewed, err := c.PatchSubscription(t.Context(), made.ID, ooo.SubscriptionRequest{ExpiresAt: later})
	want.ExpiresAt = later.UTC().Truncate(time.Second)
	if renewed != want || err != nil {
		t.Errorf("PatchSubscription = %+v, %v, want %+v", renewed, err, want)
	}

	listed := list(t, c)
	if len(listed) != 1 || listed[0] != want {
		t.Errorf("SubscriptionPages = %+v, want %+v", listed, want)
	}

	if err := c.DeleteSubscription(t.Context(), made.ID); err != nil {
		t.Errorf("DeleteSubscription = %v, want nil", err)
	}
	if left := list(t, c); len(left) != 0 {
		t.Errorf("SubscriptionPages = %+v, want none", left)
	}
	if err := c.DeleteSubscription(t.Context(), made.ID); !errors.Is(err, ooo.ErrSubscriptionGone) {
		t.Errorf("a second DeleteSubscription = %v, want %v", err, ooo.ErrSubscriptionGone)
	}
	if _, err := c.PatchSubscription(t.Context(), made.ID, ooo.SubscriptionRequest{ExpiresAt: later}); !errors.Is(err, ooo.ErrSubscriptionGone) {
		t.Errorf("PatchSubscription of a deleted one = %v, want %v", err, ooo.ErrSubscriptionGone)
	}
}

func TestASubscriptionWithoutANameIsGone(t *testing.T) {
	t.Parallel()
	asked := false
	c := newStub(t, func(http.ResponseWriter, *http.Request) { asked = true }).client(t)
	if err := c.DeleteSubscription(t.Context(), ""); !errors.Is(err, ooo.ErrSubscriptionGone) {
		t.Errorf("DeleteSubscription = %v, want %v", err, ooo.ErrSubscriptionGone)
	}
	if _, err := c.PatchSubscription(t.Context(), "", ooo.SubscriptionRequest{ExpiresAt: time.Now()}); !errors.Is(err, ooo.ErrSubscriptionGone) {
		t.Errorf("PatchSubscription = %v, want %v", err, ooo.ErrSubscriptionGone)
	}
	if asked {
		t.Error("Graph was asked, want no call")
	}
}

func TestGraphGrantsLess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ask := wanted(w.user("ann@contoso.example"), newHook(t).URL, 10080*time.Minute)
	_, err := c.CreateSubscription(t.Context(), ask)
	if long, ok := errors.AsType[*ooo.LifetimeTooLong](err); !ok || long.Max != 10070*time.Minute {
		t.Errorf("CreateSubscription = %v, want TooLong of 10070 minutes", err)
	}
	ask.ExpiresAt = time.Now().Add(time.Hour)
	w.fault(graphsim.Fault{Operation: "subscription-create", Kind: "short-life", Life: graphsim.Duration(20 * time.Minute)})
	made, err := c.CreateSubscription(t.Context(), ask)
	if err != nil || !made.ExpiresAt.Before(time.Now().Add(21*time.Minute)) {
		t.Errorf("CreateSubscription = %+v, %v, want the expiry that Graph chose", made, err)
	}
	_, err = c.PatchSubscription(t.Context(), made.ID, ooo.SubscriptionRequest{ExpiresAt: time.Now().Add(10080 * time.Minute)})
	if long, ok := errors.AsType[*ooo.LifetimeTooLong](err); !ok || long.Max != 10070*time.Minute {
		t.Errorf("PatchSubscription = %v, want TooLong of 10070 minutes", err)
	}
}

func TestCreationsThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{Roles: []string{"MailboxSettings.Read", "Calendars.Read"}})
	c := w.client()
	hook := newHook(t)
	deaf := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(deaf.Close)
	ann := w.user("ann@contoso.example")
	inactive := w.user("ina@contoso.example")
	w.mailbox(inactive, graphsim.Mailbox{Error: "MailboxNotEnabledForRESTAPI"})
	hidden := w.user("hid@contoso.example")
	w.mailbox(hidden, graphsim.Mailbox{Error: "ErrorAccessDenied"})
	with := func(change func(*ooo.SubscriptionRequest)) ooo.SubscriptionRequest {
		ask := wanted(ann, hook.URL, time.Hour)
		change(&ask)
		return ask
	}
	plain := with(func(*ooo.SubscriptionRequest) {})
	tests := map[string]struct {
		ask   ooo.SubscriptionRequest
		fault graphsim.Fault
		want  error
		wait  *ooo.Throttled
		lost  bool // may have been made
	}{
		"our URL does not answer as it must": {ask: wanted(ann, deaf.URL, time.Hour), want: ooo.ErrHandshake},
		"nobody is at our URL":               {ask: wanted(ann, "http://127.0.0.1:1", time.Hour), want: ooo.ErrHandshake},
		"consent is missing":                 {ask: with(func(r *ooo.SubscriptionRequest) { r.Resource = "/users/" + string(ann) + "/messages" }), want: ooo.ErrSubscriptionDenied},
		"the policy hides the mailbox":       {ask: wanted(hidden, hook.URL, time.Hour), want: ooo.ErrSubscriptionDenied},
		"the user is gone":                   {ask: wanted("00000000-0000-4000-8000-000000000000", hook.URL, time.Hour), want: ooo.ErrUserGone},
		"the mailbox is inactive":            {ask: wanted(inactive, hook.URL, time.Hour), want: ooo.ErrNoMailbox},
		"a kind of change does not exist":    {ask: with(func(r *ooo.SubscriptionRequest) { r.ChangeType = "renamed" }), want: ooo.ErrRejected},
		"a long life has no lifecycle URL": {ask: with(func(r *ooo.SubscriptionRequest) {
			r.LifecycleURL, r.ExpiresAt = "", time.Now().Add(2*time.Hour)
		}), want: ooo.ErrRejected},
		"Graph is down":           {ask: plain, fault: graphsim.Fault{Kind: "status", Status: 503}, want: ooo.ErrUnavailable},
		"a gateway gives up":      {ask: plain, fault: graphsim.Fault{Kind: "status", Status: 504}, want: ooo.ErrUnavailable, lost: true},
		"a gateway loses Graph":   {ask: plain, fault: graphsim.Fault{Kind: "status", Status: 502}, want: ooo.ErrUnavailable, lost: true},
		"the connection dies":     {ask: plain, fault: graphsim.Fault{Kind: "reset"}, want: ooo.ErrUnavailable, lost: true},
		"the token is never good": {ask: plain, fault: graphsim.Fault{Kind: "status", Status: 401}, want: ooo.ErrUnauthorized},
		"Graph asks to wait": {ask: plain, fault: graphsim.Fault{Kind: "throttle", RetryAfter: graphsim.Duration(8 * time.Second)},
			wait: &ooo.Throttled{After: 8 * time.Second, WholeApp: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.fault.Kind != "" {
				tt.fault.Operation = "subscription-create"
				w.fault(tt.fault)
				defer w.ClearFaults()
			}
			made, err := c.CreateSubscription(t.Context(), tt.ask)
			expect(t, "CreateSubscription", err, tt.want, tt.wait)
			if got := errors.Is(err, ooo.ErrNoAnswer); got != tt.lost {
				t.Errorf("CreateSubscription = %v, with %v: %v, want %v", err, ooo.ErrNoAnswer, got, tt.lost)
			}
			if made != (ooo.GraphSubscription{}) || len(w.Subscriptions()) != 0 {
				t.Errorf("CreateSubscription made %+v, want nothing", made)
			}
		})
	}
}

// A creation whose answer was lost may have been carried out; one that did not
// leave was not.
func TestLostAnswersToACreation(t *testing.T) {
	t.Parallel()
	closed := newStub(t, http.NotFound)
	closed.Close()
	badLogin := newStub(t, http.NotFound)
	badLogin.config.TenantID = "another"
	answering := func(answer http.HandlerFunc) *stub { return newStub(t, answer) }
	tests := map[string]struct {
		stub *stub
		want error
		lost bool
	}{
		"half an answer": {answering(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"id":"`)
			panic(http.ErrAbortHandler)
		}), ooo.ErrUnavailable, true},
		"an answer without an id":     {answering(answers(http.StatusCreated, `{"expirationDateTime":"2026-11-24T12:00:00Z"}`)), ooo.ErrUnavailable, true},
		"an answer without an expiry": {answering(answers(http.StatusCreated, `{"id":"1"}`)), ooo.ErrUnavailable, true},
		"a page":                      {answering(page(http.StatusOK)), ooo.ErrUnavailable, true},
		"nobody there":                {closed, ooo.ErrUnavailable, false},
		"no login":                    {badLogin, ooo.ErrUnauthorized, false},
		"a refusal":                   {answering(answers(400, graphError("InvalidRequest", ""))), ooo.ErrRejected, false},
		"a page that fails":           {answering(page(http.StatusServiceUnavailable)), ooo.ErrUnavailable, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := tt.stub.client(t).CreateSubscription(t.Context(), wanted("8c1d", "https://hook.example", time.Hour))
			if !errors.Is(err, tt.want) || errors.Is(err, ooo.ErrNoAnswer) != tt.lost {
				t.Errorf("CreateSubscription = %v, want %v, with %v: %v", err, tt.want, ooo.ErrNoAnswer, tt.lost)
			}
		})
	}
}

func TestACreationThatIsGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := newStub(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel() // its caller leaves once Graph has it
		<-r.Context().Done()
	}).client(t)
	_, err := c.CreateSubscription(ctx, wanted("8c1d", "https://hook.example", time.Hour))
	if !errors.Is(err, ooo.ErrUnavailable) || !errors.Is(err, ooo.ErrNoAnswer) || !errors.Is(err, context.Canceled) {
		t.Errorf("CreateSubscription = %v, want %v with %v", err, ooo.ErrUnavailable, ooo.ErrNoAnswer)
	}
	if _, err = c.CreateSubscription(ctx, wanted("8c1d", "https://hook.example", time.Hour)); errors.Is(err, ooo.ErrNoAnswer) || !errors.Is(err, ooo.ErrUnavailable) {
		t.Errorf("CreateSubscription with no time left = %v, want %v without %v", err, ooo.ErrUnavailable, ooo.ErrNoAnswer)
	}
}

func TestARenewalNeedsAnExpiry(t *testing.T) {
	t.Parallel()
	c := newStub(t, answers(http.StatusOK, `{"id":"1"}`)).client(t)
	if sub, err := c.PatchSubscription(t.Context(), "1", ooo.SubscriptionRequest{ExpiresAt: time.Now()}); !errors.Is(err, ooo.ErrUnavailable) || sub.ID != "" {
		t.Errorf("PatchSubscription = %+v, %v, want %v", sub, err, ooo.ErrUnavailable)
	}
}

func TestARenewalChangesOnlyTheExpiry(t *testing.T) {
	t.Parallel()
	bodies := make(chan map[string]any, 1)
	c := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("body: %v", err)
		}
		bodies <- body
		answerJSON(w, http.StatusOK, `{"id":"1","expirationDateTime":"2026-11-25T12:00:00.1234567Z"}`)
	}).client(t)
	sub, err := c.PatchSubscription(t.Context(), "1", ooo.SubscriptionRequest{ExpiresAt: time.Date(2026, 11, 25, 13, 0, 0, 0, time.FixedZone("", 3600))})
	if want := time.Date(2026, 11, 25, 12, 0, 0, 123456700, time.UTC); err != nil || !sub.ExpiresAt.Equal(want) {
		t.Errorf("PatchSubscription = %+v, %v, want expiry %v", sub, err, want)
	}
	body := <-bodies
	delete(body, "@odata.type")
	if fmt.Sprint(body) != "map[expirationDateTime:2026-11-25T12:00:00Z]" {
		t.Errorf("PATCH = %v, want the expiry alone, in UTC", body)
	}
}

// Exchange's 401 is about one mailbox: no login for it.
func TestExchangesRefusalCausesNoLogin(t *testing.T) {
	t.Parallel()
	s := newStub(t, answers(http.StatusUnauthorized, graphError("ExtensionError", exchange("Unauthorized", ""))))
	_, err := s.client(t).CreateSubscription(t.Context(), wanted("8c1d", "https://hook.example", time.Hour))
	if !errors.Is(err, ooo.ErrSubscriptionDenied) || len(s.logins()) != 1 {
		t.Errorf("CreateSubscription = %v after %d logins, want %v after 1", err, len(s.logins()), ooo.ErrSubscriptionDenied)
	}
}
