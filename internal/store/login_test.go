package store_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

const redisAudience = "https://redis.azure.com"

// loginFixture is a store that logs in to Redis with tokens of a local login endpoint.
type loginFixture struct {
	*graphsim.Server
	issued atomic.Int32
	source *graph.TokenSource
	store  *store.Store
}

// newLoginFixture opens the Redis at url with tokens that are valid for life. admit makes Redis
// accept a token before the endpoint returns it.
func newLoginFixture(t *testing.T, url string, life time.Duration, admit func(user, token string, life time.Duration) error) *loginFixture {
	t.Helper()
	f := &loginFixture{}
	var err error
	f.Server, err = graphsim.New(graphsim.Config{TokenLifetime: life, OnToken: func(audience, user, token string, life time.Duration) {
		if err := admit(user, token, life); err != nil || audience != redisAudience {
			t.Errorf("token for %s: %v", audience, err)
		}
		f.issued.Add(1)
	}})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(f.CAPEM())
	f.source, err = graph.NewTokenSource(graph.Config{
		Endpoint: f.URL(), AuthorityHost: f.URL(), RootCAs: roots,
		TenantID: f.TenantID(), ClientID: graphsim.DefaultClientID, ClientSecret: graphsim.DefaultClientSecret,
	}, redisAudience+"/.default", func(user, token string) { f.store.Reauthenticate(user, token) })
	if err != nil {
		t.Fatal(err)
	}
	if f.store, err = store.Open(store.Config{URL: url, Token: f.source.Token}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.store.Close)
	await.Run(t, f.Server.Run)
	await.Run(t, f.source.Run)
	return f
}

func TestTokenRenewal(t *testing.T) {
	t.Parallel()
	entra := redistest.StartEntra(t)
	cluster := redistest.StartCluster(t)
	tests := map[string]struct {
		url   string
		admit func(user, token string, life time.Duration) error
	}{
		"one server": {entra.URL() + "?skip_verify=true", entra.AddToken},
		"a Cluster":  {cluster.URL(), cluster.AddToken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLoginFixture(t, tt.url, 3*time.Second, tt.admit)
			f := &fixture{Store: l.store, t: t, raw: store.Clients(l.store)[0]}
			f.must(f.Ready(t.Context()))
			messages := f.listen()
			renewals := l.issued.Load() + 5
			var saves, rounds atomic.Int32
			var workers sync.WaitGroup
			for _, name := range []string{"ann", "bob", "cid", "dan", "eve", "fay"} {
				lease, m := f.saved(name)
				workers.Go(func() {
					for l.issued.Load() < renewals {
						m = nextVersion(m)
						if err := f.Save(t.Context(), store.Save{Lease: lease, Record: m}); err != nil {
							t.Errorf("save %d of %s = %v", m.Version, name, err)
							return
						}
						saves.Add(1)
						time.Sleep(time.Millisecond)
					}
				})
			}
			workers.Go(func() {
				for n := int64(1); l.issued.Load() < renewals; n++ {
					if _, err := f.Round(t.Context(), "me", store.Beat{Number: n}); err != nil {
						t.Errorf("round %d = %v", n, err)
						return
					}
					rounds.Add(1)
					time.Sleep(100 * time.Millisecond)
				}
			})
			workers.Wait()
			if saves.Load() < 1000 || rounds.Load() < 20 {
				t.Errorf("%d saves and %d rounds, want at least 1000 and 20", saves.Load(), rounds.Load())
			}
			await.True(t, "a message arrives", func() bool { // one that is sent while Listen reconnects with a new token is lost
				f.must(f.LeaveHints(t.Context(), true, newHint(newMailbox("ann"), ooo.HintRead, "1")))
				return len(messages.next().Hints) > 0
			})
		})
	}
}

func TestFailedLogin(t *testing.T) {
	t.Parallel()
	entra := redistest.StartEntra(t)
	l := newLoginFixture(t, entra.URL()+"?skip_verify=true", time.Minute, entra.AddToken)
	if _, err := l.SetFault(graphsim.Fault{Operation: "token", Kind: "status", Status: 503}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 100 {
		if err := l.store.Ping(t.Context()); !errors.Is(err, ooo.ErrUnavailable) {
			t.Fatalf("Ping = %v, want %v", err, ooo.ErrUnavailable)
		}
	}
	var logins int64
	for _, n := range l.Stats().Calls["token"] {
		logins += n
	}
	if most := 2 + int64(time.Since(began)/(400*time.Millisecond)); logins > most {
		t.Errorf("%d logins, want at most %d", logins, most)
	}
	l.ClearFaults()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.store.Ready(ctx); err != nil {
		t.Error(err)
	}
	// The error of Redis is passed on: it leads to the remedy.
	entra.DenyAccess(true)
	denied := newLoginFixture(t, entra.URL()+"?skip_verify=true", time.Minute, entra.AddToken).store
	if err := denied.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("Ping = %v, want WRONGPASS", err)
	}
}
