package graph_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
)

// newHook starts a server for notifications that passes the handshake, and returns its URL.
func newHook(t testing.TB) string {
	return programtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, r.URL.Query().Get("validationToken"))
	}))
}

func subscriptionRequest(id ooo.ObjectID, hook string, lifetime time.Duration) ooo.SubscriptionRequest {
	return ooo.SubscriptionRequest{
		Resource: ooo.ResourcePath("/users/{id}/events", id), ChangeType: "created,updated,deleted",
		NotificationURL: hook + "/notify", LifecycleURL: hook + "/lifecycle",
		ClientState: "state-of-" + string(id), ExpiresAt: time.Now().Add(lifetime),
	}
}

func TestSubscriptionLifecycle(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	c := e.runClient()
	request := subscriptionRequest(e.user(graphsim.User{UserPrincipalName: "ann@contoso.example"}), newHook(t), 10080*time.Minute)
	tooLong := request.ExpiresAt
	_, err := c.CreateSubscription(t.Context(), request)
	if long, ok := errors.AsType[*ooo.LifetimeTooLong](err); !ok || long.Max != 10070*time.Minute {
		t.Errorf("CreateSubscription = %v, want LifetimeTooLong with 10070 minutes", err)
	}
	request.ExpiresAt = time.Now().Add(2 * time.Hour)
	created, err := c.CreateSubscription(t.Context(), request)
	e.Must(err)
	want := ooo.GraphSubscription{ID: created.ID, Resource: request.Resource, NotificationURL: request.NotificationURL,
		ExpiresAt: request.ExpiresAt.UTC().Truncate(time.Second)}
	if created != want || created.ID == "" {
		t.Errorf("CreateSubscription = %+v, want %+v", created, want)
	}
	if got := e.Subscriptions(); len(got) != 1 || got[0].ClientState != request.ClientState || got[0].TLSVersion != "v1_2" || got[0].ChangeType != request.ChangeType ||
		got[0].LifecycleNotificationURL != request.LifecycleURL {
		t.Errorf("Graph has %+v, want one with the requested clientState, TLS version, change types and lifecycle URL", got)
	}

	_, err = c.CreateSubscription(t.Context(), request)
	if duplicate, ok := errors.AsType[*ooo.Duplicate](err); !ok || duplicate.ID != created.ID {
		t.Errorf("a second CreateSubscription = %v, want Duplicate of %s", err, created.ID)
	}

	later := time.Now().Add(3 * time.Hour)
	renewed, err := c.PatchSubscription(t.Context(), created.ID, ooo.SubscriptionRequest{ExpiresAt: later})
	want.ExpiresAt = later.UTC().Truncate(time.Second)
	if renewed != want || err != nil {
		t.Errorf("PatchSubscription = %+v, %v, want %+v", renewed, err, want)
	}
	_, err = c.PatchSubscription(t.Context(), created.ID, ooo.SubscriptionRequest{ExpiresAt: tooLong})
	if long, ok := errors.AsType[*ooo.LifetimeTooLong](err); !ok || long.Max != 10070*time.Minute {
		t.Errorf("PatchSubscription = %v, want LifetimeTooLong with 10070 minutes", err)
	}

	if listed := list(t, c); len(listed) != 1 || listed[0] != want {
		t.Errorf("SubscriptionPage = %+v, want %+v", listed, want)
	}

	if err := c.DeleteSubscription(t.Context(), created.ID); err != nil {
		t.Errorf("DeleteSubscription = %v, want nil", err)
	}
	if left := list(t, c); len(left) != 0 {
		t.Errorf("SubscriptionPage = %+v, want none", left)
	}
	for _, gone := range []ooo.SubscriptionID{created.ID, ""} {
		if err := c.DeleteSubscription(t.Context(), gone); !errors.Is(err, ooo.ErrSubscriptionGone) {
			t.Errorf("DeleteSubscription of %q = %v, want %v", gone, err, ooo.ErrSubscriptionGone)
		}
		if _, err := c.PatchSubscription(t.Context(), gone, ooo.SubscriptionRequest{ExpiresAt: later}); !errors.Is(err, ooo.ErrSubscriptionGone) {
			t.Errorf("PatchSubscription of %q = %v, want %v", gone, err, ooo.ErrSubscriptionGone)
		}
	}
}

// A 401 of Exchange is about the mailbox, and causes no login.
func TestFailedCreation(t *testing.T) {
	t.Parallel()
	closed := newStub(t, http.NotFound)
	closed.Close()
	wrongTenant := newStub(t, http.NotFound)
	wrongTenant.config.TenantID = "another"
	for name, tt := range map[string]struct {
		stub *stub
		want error
	}{
		"incomplete answer": {newStub(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			writeJSON(w, http.StatusCreated, `{"id":"`)
		}), ooo.ErrUnavailable},
		"connection reset": {newStub(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), ooo.ErrUnavailable},
		"bad gateway":      {newStub(t, respond(http.StatusBadGateway, "")), ooo.ErrUnavailable},
		"gateway timeout":  {newStub(t, respond(http.StatusGatewayTimeout, "")), ooo.ErrUnavailable},
		"no id":            {newStub(t, respond(http.StatusCreated, `{"expirationDateTime":"2026-11-24T12:00:00Z"}`)), ooo.ErrUnavailable},
		"no expiry":        {newStub(t, respond(http.StatusCreated, `{"id":"1"}`)), ooo.ErrUnavailable},
		"proxy, 200":       {newStub(t, proxyPage(http.StatusOK)), ooo.ErrUnavailable},
		"proxy, 503":       {newStub(t, proxyPage(http.StatusServiceUnavailable)), ooo.ErrUnavailable},
		"unreachable":      {closed, ooo.ErrUnavailable},
		"login failed":     {wrongTenant, ooo.ErrUnauthorized},
		"rejected":         {newStub(t, respond(400, graphError("InvalidRequest", ""))), ooo.ErrRejected},
		"Exchange's 401":   {newStub(t, respond(401, graphError("ExtensionError", exchangeError("Unauthorized", "")))), ooo.ErrSubscriptionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.stub.client(t).CreateSubscription(t.Context(), subscriptionRequest("8c1d", "https://hook.example", time.Hour))
			if !errors.Is(err, tt.want) {
				t.Errorf("CreateSubscription = %v, want %v", err, tt.want)
			}
			if got := tt.stub.logins.Load(); got > 1 {
				t.Errorf("%d logins, want 1", got)
			}
		})
	}
}

func TestPatchSubscription(t *testing.T) {
	t.Parallel()
	c := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		const want = `{"expirationDateTime":"2026-11-25T12:00:00Z"}`
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != want {
			t.Errorf("PATCH = %s, %v, want only the expiry, in UTC: %s", body, err, want)
		}
		writeJSON(w, http.StatusOK, `{"id":"1","expirationDateTime":"2026-11-25T12:00:00.1234567Z"}`)
	}).client(t)
	sub, err := c.PatchSubscription(t.Context(), "1", ooo.SubscriptionRequest{ExpiresAt: time.Date(2026, 11, 25, 13, 0, 0, 0, time.FixedZone("", 3600))})
	if want := time.Date(2026, 11, 25, 12, 0, 0, 123456700, time.UTC); err != nil || !sub.ExpiresAt.Equal(want) {
		t.Errorf("PatchSubscription = %+v, %v, want expiry %v", sub, err, want)
	}
}
