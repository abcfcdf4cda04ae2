package graph_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func TestRefusedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	ids := e.users(3)
	hook := newHook(t).URL
	created, err := e.runClient().CreateSubscription(t.Context(), subscriptionRequest(ids[1], hook, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	calls := func(c *graph.Client) map[string]func() error {
		return operations(t.Context(), c, ids, "user0001@contoso.example", hook, created.ID)
	}
	for name := range calls(nil) {
		if name == "DeleteSubscription" {
			continue // PatchSubscription needs it
		}
		t.Run(name, func(t *testing.T) {
			c := e.newClient(e.config)
			if err := c.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := e.logins()
			e.RevokeTokens()
			if err := calls(c)[name](); err != nil || e.logins()-before != 1 {
				t.Errorf("error = %v after %d logins, want none after 1", err, e.logins()-before)
			}
		})
	}
}

func TestTokenRefusedInsideBatchIsReplaced(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	c := e.runClient()
	ids := e.users(4)
	e.setFault(graphsim.Fault{Operation: "batch-item", Kind: "status", Status: 401, Times: 4})
	for i, r := range c.Read(t.Context(), ids, nil) {
		if r.ID != ids[i] || r.Err != nil || r.Setting.ExternalReply != "I am "+string(ids[i]) {
			t.Errorf("result %d = %+v, want the setting of %s", i, r, ids[i])
		}
	}
	if got := e.logins(); got != 2 {
		t.Errorf("%d logins, want 2", got)
	}
}

// Some mailboxes always answer 401 although the token is valid.
func TestMailbox401CausesNoLogin(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	c := e.runClient()
	ids := e.users(4)
	e.setFault(graphsim.Fault{User: string(ids[1]), Operation: "batch-item", Kind: "status", Status: 401})
	e.setFault(graphsim.Fault{User: string(ids[1]), Operation: "read", Kind: "status", Status: 401})
	for range 3 {
		if r := c.Read(t.Context(), ids[1:2], nil)[0]; !errors.Is(r.Err, ooo.ErrUnauthorized) {
			t.Errorf("alone = %v, want %v", r.Err, ooo.ErrUnauthorized)
		}
		for i, r := range c.Read(t.Context(), ids, nil) {
			if unauthorized := errors.Is(r.Err, ooo.ErrUnauthorized); unauthorized != (i == 1) {
				t.Errorf("result %d = %v, want %v for the second only", i, r.Err, ooo.ErrUnauthorized)
			}
		}
	}
	if got := e.logins(); got != 1 {
		t.Errorf("%d logins, want 1", got)
	}
}

func TestEveryTokenRefused(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	c := e.runClient()
	ids := e.users(2)
	e.setFault(graphsim.Fault{Operation: "read", Kind: "status", Status: 401})
	began := time.Now()
	for range 50 {
		for _, some := range [][]ooo.ObjectID{ids[:1], ids} {
			for _, r := range c.Read(t.Context(), some, nil) {
				if !errors.Is(r.Err, ooo.ErrUnauthorized) {
					t.Fatalf("error = %v, want %v", r.Err, ooo.ErrUnauthorized)
				}
			}
		}
	}
	// One at the start, one for the first refusal, and one for each two seconds since.
	if limit := 2 + int64(time.Since(began)/(2*time.Second)); e.logins() > limit {
		t.Errorf("%d logins, want at most %d", e.logins(), limit)
	}
}

func TestRunRenewsTokenBeforeExpiry(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{TokenLifetime: 3 * time.Second})
	c := e.runClient()
	ids := e.users(3)
	await.True(t, "the first token", func() bool { return c.Token(t.Context()) == nil })
	reads := 0
	for e.logins() < 5 {
		for _, some := range [][]ooo.ObjectID{ids[:1], ids} {
			for _, r := range c.Read(t.Context(), some, nil) {
				if reads++; r.Err != nil {
					t.Fatalf("read %d failed: %v", reads, r.Err)
				}
			}
		}
		time.Sleep(4 * time.Millisecond) // stay below the limit of a mailbox
	}
	if reads < 100 {
		t.Errorf("%d reads over 5 tokens, want at least 100", reads)
	}
}

func TestExpiredTokenIsReplacedWithoutRun(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{TokenLifetime: 4 * time.Second})
	c := e.newClient(e.config)
	ids := e.users(1)
	for e.logins() < 2 {
		if r := c.Read(t.Context(), ids, nil)[0]; r.Err != nil {
			t.Fatalf("Read = %v, want the setting", r.Err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestLoginErrors(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	closed := httptest.NewTLSServer(http.NotFoundHandler())
	closed.Close()
	const unknown = "00000000-0000-4000-8000-000000000000"
	tests := map[string]struct {
		change func(*graph.Config)
		fault  graphsim.Fault
		want   error
		text   string // in the error
	}{
		"wrong secret":     {func(cfg *graph.Config) { cfg.ClientSecret = "wr0ng-s3cret" }, graphsim.Fault{}, ooo.ErrUnauthorized, "AADSTS7000215"},
		"unknown client":   {func(cfg *graph.Config) { cfg.ClientID = unknown }, graphsim.Fault{}, ooo.ErrUnauthorized, "AADSTS700016"},
		"unknown tenant":   {func(cfg *graph.Config) { cfg.TenantID = unknown }, graphsim.Fault{}, ooo.ErrUnauthorized, "AADSTS90002"},
		"unreachable":      {func(cfg *graph.Config) { cfg.AuthorityHost = closed.URL }, graphsim.Fault{}, ooo.ErrUnavailable, "login endpoint"},
		"503":              {nil, graphsim.Fault{Kind: "status", Status: 503}, ooo.ErrUnavailable, "503"},
		"throttled":        {nil, graphsim.Fault{Kind: "throttle"}, ooo.ErrUnavailable, "429"},
		"transient 400":    {nil, graphsim.Fault{Kind: "status", Status: 400}, ooo.ErrUnavailable, "AADSTS90033"},
		"connection reset": {nil, graphsim.Fault{Kind: "reset"}, ooo.ErrUnavailable, "login endpoint"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := e.config
			if tt.change != nil {
				tt.change(&cfg)
			}
			if tt.fault.Kind != "" {
				tt.fault.Operation = "token"
				e.setFault(tt.fault)
				defer e.ClearFaults()
			}
			c := e.newClient(cfg)
			calls := stubOperations(t, c)
			calls["Token"] = func() error { return c.Token(t.Context()) }
			for name, call := range calls {
				err := call()
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), cfg.ClientSecret) {
					t.Errorf("%s = %v, want %v with %s and without the secret", name, err, tt.want, tt.text)
				}
				if code := graph.LoginCode(err); strings.HasPrefix(tt.text, "AADSTS") && code != tt.text {
					t.Errorf("LoginCode(%v) = %q, want %s", err, code, tt.text)
				}
			}
		})
	}
}

func TestFailedLoginIsNotRepeatedForEachCall(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	c := e.newClient(e.config)
	ids := e.users(1)
	e.setFault(graphsim.Fault{Operation: "token", Kind: "status", Status: 503})
	began := time.Now()
	for range 200 {
		if r := c.Read(t.Context(), ids, nil)[0]; !errors.Is(r.Err, ooo.ErrUnavailable) {
			t.Fatalf("Read = %v, want %v", r.Err, ooo.ErrUnavailable)
		}
	}
	if limit := 1 + int64(time.Since(began)/(400*time.Millisecond)); e.logins() > limit {
		t.Errorf("%d logins, want at most %d", e.logins(), limit)
	}
	e.ClearFaults()
	await.True(t, "a read after the login works again", func() bool { return c.Read(t.Context(), ids, nil)[0].Err == nil })
}
