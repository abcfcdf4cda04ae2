package store_test

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// TestTokenRenewal logs in with tokens that are valid for four seconds, and renews them every two.
func TestTokenRenewal(t *testing.T) {
	t.Parallel()
	entra := redistest.StartEntra(t)
	cluster := redistest.StartCluster(t, "requirepass an-access-key")
	for name, tt := range map[string]struct {
		url   string
		admit func(user, token string, life time.Duration)
	}{
		"one server": {entra.URL() + "?skip_verify=true", entra.AddToken},
		"a Cluster": {strings.Replace(cluster.URL(), ":an-access-key@", "", 1), func(user, token string, life time.Duration) {
			for _, m := range cluster.Masters {
				m.AddToken(user, token, life)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var token atomic.Value
			issue := func() string {
				fresh := rand.Text()
				tt.admit("id", fresh, 4*time.Second)
				token.Store(fresh)
				return fresh
			}
			issue()
			f := openWith(t, store.Config{URL: tt.url, Token: func(context.Context) (user, text string, err error) {
				return "id", token.Load().(string), nil
			}})
			f.must(f.Ready(within(t, await.Timeout)))
			messages := f.listen()
			var renewed atomic.Bool // often enough
			var workers sync.WaitGroup
			for _, name := range []string{"ann", "bob", "cid", "dan", "eve", "fay"} {
				lease, m := f.saved(name)
				workers.Go(func() {
					for !renewed.Load() {
						m = nextVersion(m)
						if err := f.Save(t.Context(), store.Save{Lease: lease, Record: m}); err != nil {
							t.Errorf("save %d of %s = %v", m.Version, name, err)
							return
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
			workers.Go(func() {
				for n := int64(1); !renewed.Load(); n++ {
					if _, err := f.Round(t.Context(), "me", store.Beat{Number: n}); err != nil {
						t.Errorf("round %d = %v", n, err)
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
			for range 5 {
				time.Sleep(2 * time.Second)
				f.Reauthenticate("id", issue())
			}
			renewed.Store(true)
			workers.Wait()
			stats, err := f.raw.Eval(t.Context(), "return redis.call('INFO', 'commandstats')", []string{"om:{om}:owners"}).Text()
			if f.must(err); !strings.Contains(stats, "cmdstat_auth:") { // a new connection logs in with HELLO
				t.Error("no open connection was authenticated again")
			}
			await.True(t, "a message arrives", func() bool { // one that is sent while Listen reconnects with a new token is lost
				f.must(f.LeaveHints(t.Context(), true, newHint(newMailbox("ann"), ooo.HintRead, "1")))
				return len(messages.next().Hints) > 0
			})
		})
	}
}
