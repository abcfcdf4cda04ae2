package graph_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func TestRefusedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	ids := e.users(3)
	hook := newHook(t)
	created, err := e.runClient().CreateSubscription(t.Context(), subscriptionRequest(ids[1], hook, time.Hour))
	e.Must(err)
	calls := func(c *graph.Client) map[string]func() error {
		return operations(t.Context(), c, ids, "user0001@contoso.example", hook, created.ID)
	}
	for name := range calls(nil) {
		if name == "DeleteSubscription" {
			continue // PatchSubscription needs it
		}
		t.Run(name, func(t *testing.T) {
			c := e.newClient(e.config)
			e.Must(c.Token(t.Context()))
			before := e.calls("token")
			e.RevokeTokens()
			if err := calls(c)[name](); err != nil || e.calls("token")-before != 1 {
				t.Errorf("error = %v after %d logins, want none after 1", err, e.calls("token")-before)
			}
		})
	}
}

func TestTokenRefusedInsideBatchIsReplaced(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 4)
	e.SetFault(graphsim.Fault{Operation: "batch-item", Kind: "status", Status: 401, Times: 1})
	refused := 0
	for _, r := range c.Read(t.Context(), ids, nil) {
		if errors.Is(r.Err, ooo.ErrUnauthorized) {
			refused++
		}
	}
	if got := e.calls("token"); refused != 1 || got != 1 {
		t.Errorf("%d of 4 reads refused and %d logins, want 1 and no more than the first login", refused, got)
	}
	e.SetFault(graphsim.Fault{Operation: "batch-item", Kind: "status", Status: 401, Times: 4})
	for i, r := range c.Read(t.Context(), ids, nil) {
		if r.ID != ids[i] || r.Err != nil || r.Setting.ExternalReply != "I am "+string(ids[i]) {
			t.Errorf("result %d = %+v, want the setting of %s", i, r, ids[i])
		}
	}
	if got := e.calls("token"); got != 2 {
		t.Errorf("%d logins, want 2", got)
	}
}

func TestEveryTokenRefused(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 2)
	e.SetFault(graphsim.Fault{Operation: "read", Kind: "status", Status: 401})
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
	if limit := 2 + int64(time.Since(began)/(2*time.Second)); e.calls("token") > limit {
		t.Errorf("%d logins, want at most %d", e.calls("token"), limit)
	}
}

func TestLoginErrors(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	closed := httptest.NewTLSServer(http.NotFoundHandler())
	closed.Close()
	const unknown = "00000000-0000-4000-8000-000000000000"
	federated := func(file string) func(*graph.Config) {
		return func(cfg *graph.Config) { cfg.ClientSecret, cfg.FederatedTokenFile = "", file }
	}
	noToken := filetest.Temp(t, "token", "n01se")
	tests := map[string]struct {
		change func(*graph.Config)
		fault  graphsim.Fault
		want   error
		text   string // in the error
	}{
		"wrong secret":     {func(cfg *graph.Config) { cfg.ClientSecret = "wr0ng-s3cret" }, graphsim.Fault{}, ooo.ErrUnauthorized, "AADSTS7000215"},
		"unknown client":   {func(cfg *graph.Config) { cfg.ClientID = unknown }, graphsim.Fault{}, ooo.ErrUnauthorized, "AADSTS700016"},
		"unknown tenant":   {func(cfg *graph.Config) { cfg.TenantID = unknown }, graphsim.Fault{}, ooo.ErrUnauthorized, "AADSTS90002"},
		"no credential":    {func(cfg *graph.Config) { cfg.ClientSecret = "" }, graphsim.Fault{}, ooo.ErrUnauthorized, "no credential"},
		"no tenant":        {func(cfg *graph.Config) { cfg.TenantID = "" }, graphsim.Fault{}, ooo.ErrUnauthorized, "tenant"},
		"login by HTTP":    {func(cfg *graph.Config) { cfg.AuthorityHost = "http://127.0.0.1:1" }, graphsim.Fault{}, ooo.ErrUnauthorized, "https"},
		"no token file":    {federated("/nowhere/token"), graphsim.Fault{}, ooo.ErrUnauthorized, "AZURE_FEDERATED_TOKEN_FILE"},
		"no token in file": {federated(noToken), graphsim.Fault{}, ooo.ErrUnauthorized, ""},
		"unreachable":      {func(cfg *graph.Config) { cfg.AuthorityHost = closed.URL }, graphsim.Fault{}, ooo.ErrUnavailable, "login endpoint"},
		"503":              {nil, graphsim.Fault{Kind: "status", Status: 503}, ooo.ErrUnavailable, "503"},
		"throttled":        {nil, graphsim.Fault{Kind: "throttle"}, ooo.ErrUnavailable, "429"},
		"transient 400":    {nil, graphsim.Fault{Kind: "status", Status: 400}, ooo.ErrUnavailable, "AADSTS90033"},
		"connection reset": {nil, graphsim.Fault{Kind: "reset"}, ooo.ErrUnavailable, "login endpoint"},
	}
	secrets := regexp.MustCompile("wr0ng-s3cret|n01se|" + graphsim.DefaultClientSecret)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := e.config
			if tt.change != nil {
				tt.change(&cfg)
			}
			if tt.fault.Kind != "" {
				tt.fault.Operation = "token"
				e.SetFault(tt.fault)
				defer e.ClearFaults()
			}
			c := e.newClient(cfg)
			calls := stubOperations(t.Context(), c)
			calls["Token"] = func() error { return c.Token(t.Context()) }
			for name, call := range calls {
				err := call()
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || secrets.MatchString(err.Error()) {
					t.Errorf("%s = %v, want %v with %s and without the secret", name, err, tt.want, tt.text)
				}
				answer, answered := errors.AsType[*graph.LoginError](err)
				if strings.HasPrefix(tt.text, "AADSTS") && !(answered && answer.Code == tt.text) {
					t.Errorf("%s = %v, want a LoginError with the code %s", name, err, tt.text)
				}
			}
		})
	}
}

// logins counts logins. Its tokens are valid for an hour.
type logins struct {
	count int
	err   error // instead of a token
}

func (l *logins) fetch(context.Context) (azcore.AccessToken, error) {
	l.count++
	return azcore.AccessToken{Token: strconv.Itoa(l.count), ExpiresOn: time.Now().Add(time.Hour)}, l.err
}

func TestRunRenewsTokenBeforeExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logins
		go graph.NewTokens(l.fetch).Run(t.Context())
		time.Sleep(24*time.Hour - time.Minute)
		synctest.Wait()
		if l.count != 36 {
			t.Errorf("%d logins in a day, want 36: one each 40 minutes", l.count)
		}
	})
}

func TestExpiredTokenIsReplacedWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := graph.NewTokens(new(logins).fetch)
		for i, want := range []string{"Bearer 1", "Bearer 1", "Bearer 2"} {
			if header, err := tokens.Header(t.Context()); header != want || err != nil {
				t.Errorf("token %d = %q, %v, want %s", i, header, err, want)
			}
			time.Sleep(30*time.Minute - 5*time.Second) // twice is 10 s before the token expires
		}
	})
}

func TestFailedLoginIsNotRepeatedForEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := logins{err: ooo.ErrUnavailable}
		tokens := graph.NewTokens(l.fetch)
		for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(10 * time.Millisecond) {
			if _, err := tokens.Header(t.Context()); !errors.Is(err, ooo.ErrUnavailable) {
				t.Fatalf("error = %v, want %v", err, ooo.ErrUnavailable)
			}
		}
		if l.err = nil; l.count < 120 || l.count > 160 {
			t.Errorf("%d logins in an hour, want one each 30 s", l.count)
		}
		time.Sleep(30 * time.Second)
		if _, err := tokens.Header(t.Context()); err != nil {
			t.Errorf("error = %v after the login works again, want none", err)
		}
	})
}
