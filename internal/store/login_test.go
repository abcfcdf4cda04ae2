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

// loginWorld is a local login endpoint whose tokens for Redis a test admits there.
type loginWorld struct {
	*graphsim.Server
	issued atomic.Int32
	source *graph.TokenSource
	store  *store.Store
}

// newLoginWorld opens the Redis at url with tokens that live for life. Each token is
// admitted before it is answered.
func newLoginWorld(t *testing.T, url string, life time.Duration, admit func(user, token string, life time.Duration) error) *loginWorld {
	t.Helper()
	w := &loginWorld{}
	var err error
	w.Server, err = graphsim.New(graphsim.Config{TokenLifetime: life, OnToken: func(audience, user, token string, life time.Duration) {
		if err := admit(user, token, life); err != nil || audience != redisAudience {
			t.Errorf("token for %s: %v", audience, err)
		}
		w.issued.Add(1)
	}})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.CAPEM())
	w.source, err = graph.NewTokenSource(graph.Config{
		Endpoint: w.URL(), AuthorityHost: w.URL(), RootCAs: roots,
		TenantID: w.TenantID(), ClientID: graphsim.DefaultClientID, ClientSecret: graphsim.DefaultClientSecret,
	}, redisAudience+"/.default", func(user, token string) { w.store.Reauthenticate(user, token) })
	if err != nil {
		t.Fatal(err)
	}
	if w.store, err = store.Open(store.Config{URL: url, Token: w.source.Token}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.store.Close)
	await.Run(t, w.Server.Run)
	await.Run(t, w.source.Run)
	return w
}

func TestSavesGoOnWhileTokensAreRenewed(t *testing.T) {
	t.Parallel()
	entra := redistest.StartEntra(t)
	cluster := redistest.StartCluster(t)
	tests := map[string]struct {
		url   string
		admit func(user, token string, life time.Duration) error
	}{
		"one server": {entra.URL() + "?skip_verify=true", entra.Admit},
		"a Cluster":  {cluster.URL(), cluster.Admit},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLoginWorld(t, tt.url, 3*time.Second, tt.admit)
			w := &world{Store: l.store, t: t, raw: store.Client(l.store)}
			w.must(w.Ready(t.Context()))
			heard := w.listen()
			heard.connected()
			renewals := l.issued.Load() + 5
			var saves, rounds atomic.Int32
			var workers sync.WaitGroup
			for _, name := range []string{"ann", "bob", "cid", "dan", "eve", "fay"} {
				lease, m := w.saved(name)
				workers.Go(func() {
					for l.issued.Load() < renewals {
						m = next(m)
						if err := w.Save(t.Context(), store.Save{Lease: lease, Record: m}); err != nil {
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
					if _, err := w.Round(t.Context(), "me", store.Beat{Number: n}); err != nil {
						t.Errorf("round %d = %v", n, err)
						return
					}
					rounds.Add(1)
					time.Sleep(100 * time.Millisecond)
				}
			})
			workers.Wait()
			if saves.Load() < 1000 || rounds.Load() < 20 {
				t.Errorf("%d saves and %d rounds, want more than that to say anything", saves.Load(), rounds.Load())
			}
			w.must(w.LeaveHints(t.Context(), true, hint(mailbox("ann"), ooo.HintRead, "1")))
			for m := heard.next(); len(m.Hints) == 0; m = heard.next() {
			}
		})
	}
}

func TestALoginThatFailsIsRetriedInMeasure(t *testing.T) {
	t.Parallel()
	entra := redistest.StartEntra(t)
	l := newLoginWorld(t, entra.URL()+"?skip_verify=true", time.Minute, entra.Admit)
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
	// What Redis refuses is said with its own word, which leads to the remedy.
	entra.Closed(true)
	denied := newLoginWorld(t, entra.URL()+"?skip_verify=true", time.Minute, entra.Admit).store
	if err := denied.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("Ping = %v, want WRONGPASS", err)
	}
}
