package graph_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

// logins is how often the local Graph was asked for a token.
func (w *world) logins() (sum int64) {
	for _, n := range w.Stats().Calls["token"] {
		sum += n
	}
	return sum
}

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	ids := w.users(3)
	hook := newHook(t).URL
	made, err := w.client().CreateSubscription(t.Context(), wanted(ids[1], hook, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	of := func(c *graph.Client) map[string]func() error {
		return acts(t.Context(), c, ids, "user0001@contoso.example", hook, made.ID)
	}
	for name := range of(nil) {
		if name == "DeleteSubscription" {
			continue // the renewal needs it
		}
		t.Run(name, func(t *testing.T) {
			c := w.idleClient(w.config)
			if err := c.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := w.logins()
			w.RevokeTokens()
			if err := of(c)[name](); err != nil || w.logins()-before != 1 {
				t.Errorf("error = %v after %d logins, want none after 1", err, w.logins()-before)
			}
		})
	}
}

func TestManyCallersShareOneNewToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ids := w.users(32)
	if r := c.Read(t.Context(), ids[:1], nil)[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	before := w.logins()
	w.RevokeTokens()
	var failed atomic.Int32
	var callers sync.WaitGroup
	for _, id := range ids {
		callers.Go(func() {
			if r := c.Read(t.Context(), []ooo.ObjectID{id}, nil)[0]; r.Err != nil {
				failed.Add(1)
			}
		})
	}
	callers.Wait()
	if failed.Load() != 0 || w.logins()-before != 1 {
		t.Errorf("%d reads failed with %d logins, want none with 1", failed.Load(), w.logins()-before)
	}
}

func TestATokenRefusedInsideABatchIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ids := w.users(4)
	w.fault(graphsim.Fault{Operation: "batch-item", Kind: "status", Status: 401, Times: 4})
	for i, r := range c.Read(t.Context(), ids, nil) {
		if r.ID != ids[i] || r.Err != nil || r.Setting.ExternalReply != "I am "+string(ids[i]) {
			t.Errorf("reading %d = %+v, want the setting of %s", i, r, ids[i])
		}
	}
	if got := w.logins(); got != 2 {
		t.Errorf("%d logins, want 2", got)
	}
}

// Some mailboxes always answer 401. Their reads must not make us log in again.
func TestAMailboxThatAnswers401CostsNoLogins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ids := w.users(4)
	w.fault(graphsim.Fault{User: string(ids[1]), Operation: "batch-item", Kind: "status", Status: 401})
	w.fault(graphsim.Fault{User: string(ids[1]), Operation: "read", Kind: "status", Status: 401})
	for range 3 {
		if r := c.Read(t.Context(), ids[1:2], nil)[0]; !errors.Is(r.Err, ooo.ErrUnauthorized) {
			t.Errorf("alone = %v, want %v", r.Err, ooo.ErrUnauthorized)
		}
		for i, r := range c.Read(t.Context(), ids, nil) {
			if unauthorized := errors.Is(r.Err, ooo.ErrUnauthorized); unauthorized != (i == 1) {
				t.Errorf("reading %d = %v, want 401 for the second alone", i, r.Err)
			}
		}
	}
	if got := w.logins(); got != 1 {
		t.Errorf("%d logins, want 1", got)
	}
}

// A Graph that refuses every token must not make us log in for every read.
func TestATokenThatIsNeverGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ids := w.users(2)
	w.fault(graphsim.Fault{Operation: "read", Kind: "status", Status: 401})
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
	// One at the start, and one for each pause of two seconds that went by.
	if most := 2 + int64(time.Since(began)/(2*time.Second)); w.logins() > most {
		t.Errorf("%d logins, want at most %d", w.logins(), most)
	}
}

// Over several lives of a token no read fails.
func TestAShortTokenIsReplacedInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{TokenLifetime: 3 * time.Second})
	c := w.client()
	ids := w.users(3)
	await.True(t, "the first token", func() bool { return c.Token(t.Context()) == nil })
	reads := 0
	for w.logins() < 5 {
		for _, some := range [][]ooo.ObjectID{ids[:1], ids} {
			for _, r := range c.Read(t.Context(), some, nil) {
				if reads++; r.Err != nil {
					t.Fatalf("read %d failed: %v", reads, r.Err)
				}
			}
		}
		time.Sleep(4 * time.Millisecond) // below what a mailbox may be read
	}
	if reads < 100 {
		t.Errorf("%d reads over 5 tokens, want more than that to say anything", reads)
	}
}

// Without Run each call looks for itself whether the token still holds.
func TestAnIdleClientReplacesItsTokenToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{TokenLifetime: 4 * time.Second})
	c := w.idleClient(w.config)
	ids := w.users(1)
	for w.logins() < 2 {
		if r := c.Read(t.Context(), ids, nil)[0]; r.Err != nil {
			t.Fatalf("Read = %v, want the setting", r.Err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestLoginsThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	w.user("ann@contoso.example")
	gone := httptest.NewTLSServer(http.NotFoundHandler())
	gone.Close()
	tests := map[string]struct {
		fault   graphsim.Fault
		secret  string
		tenant  string
		client  string
		host    string
		want    error
		mention string
	}{
		"a wrong secret":       {secret: "wr0ng-s3cret", want: ooo.ErrUnauthorized, mention: "AADSTS7000215"},
		"an unknown client":    {client: "00000000-0000-4000-8000-000000000000", want: ooo.ErrUnauthorized, mention: "AADSTS700016"},
		"an unknown tenant":    {tenant: "00000000-0000-4000-8000-000000000000", want: ooo.ErrUnauthorized, mention: "AADSTS90002"},
		"the endpoint is down": {fault: graphsim.Fault{Kind: "status", Status: 503}, want: ooo.ErrUnavailable, mention: "503"},
		"it is throttled":      {fault: graphsim.Fault{Kind: "throttle"}, want: ooo.ErrUnavailable, mention: "429"},
		"a passing error":      {fault: graphsim.Fault{Kind: "status", Status: 400}, want: ooo.ErrUnavailable, mention: "AADSTS90033"},
		"the connection dies":  {fault: graphsim.Fault{Kind: "reset"}, want: ooo.ErrUnavailable, mention: "login endpoint"},
		"nobody is there":      {host: gone.URL, want: ooo.ErrUnavailable, mention: "login endpoint"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := w.config
			for to, from := range map[*string]string{&cfg.ClientSecret: tt.secret, &cfg.TenantID: tt.tenant, &cfg.ClientID: tt.client, &cfg.AuthorityHost: tt.host} {
				if from != "" {
					*to = from
				}
			}
			if tt.fault.Kind != "" {
				tt.fault.Operation = "token"
				w.fault(tt.fault)
				defer w.ClearFaults()
			}
			c := w.idleClient(cfg)
			calls := stubActs(t, c)
			calls["Token"] = func() error { return c.Token(t.Context()) }
			for what, act := range calls {
				err := act()
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.mention) || strings.Contains(err.Error(), cfg.ClientSecret) {
					t.Errorf("%s = %v, want %v that mentions %s and no secret", what, err, tt.want, tt.mention)
				}
				if code := graph.LoginCode(err); strings.HasPrefix(tt.mention, "AADSTS") && code != tt.mention {
					t.Errorf("LoginCode(%v) = %q, want %s", err, code, tt.mention)
				}
			}
		})
	}
}

// While logins fail, callers get the error at once and the endpoint has its rest.
func TestFailedLoginsAreNotRepeatedForEachCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.idleClient(w.config)
	ids := w.users(1)
	w.fault(graphsim.Fault{Operation: "token", Kind: "status", Status: 503})
	began := time.Now()
	for range 200 {
		if r := c.Read(t.Context(), ids, nil)[0]; !errors.Is(r.Err, ooo.ErrUnavailable) {
			t.Fatalf("Read = %v, want %v", r.Err, ooo.ErrUnavailable)
		}
	}
	if most := 1 + int64(time.Since(began)/(400*time.Millisecond)); w.logins() > most {
		t.Errorf("%d logins, want at most %d", w.logins(), most)
	}
	w.ClearFaults()
	await.True(t, "a read after the login works again", func() bool { return c.Read(t.Context(), ids, nil)[0].Err == nil })
}
