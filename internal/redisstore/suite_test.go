package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/redistest"
)

// store is the store under test with what tests ask of it again and again.
type store struct {
	*redisstore.Store
	t    *testing.T
	url  string
	held map[ooo.Key]ooo.Claim // in the deliver queue
}

func TestEmbeddedRedis(t *testing.T) {
	embedded, err := redisstore.Embed()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Close)
	conform(t, embedded.URL())
}

func TestSingleRedis(t *testing.T)   { conform(t, redistest.Start(t).URL()) }
func TestRedisCluster(t *testing.T)  { conform(t, redistest.StartCluster(t).URL()) }
func TestRedisSentinel(t *testing.T) { conform(t, redistest.StartSentinel(t).URL()) }

// conform runs every part of the suite on an emptied Redis.
func conform(t *testing.T, url string) {
	for _, suite := range []map[string]func(*testing.T, store){queueSuite, wakeSuite, aheadSuite, handSuite, lostSuite, recordSuite, deliverySuite, factSuite, vaultSuite, censusSuite, traceSuite, mailboxSuite, overviewSuite, digestSuite, requestSuite} {
		for name, part := range suite {
			t.Run(name, func(t *testing.T) {
				flush(t, url)
				part(t, open(t, url))
			})
		}
	}
}

func open(t *testing.T, url string) store {
	t.Helper()
	s, err := redisstore.Open(redisstore.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return store{s, t, url, map[ooo.Key]ooo.Claim{}}
}

// flush empties every master behind url.
func flush(t *testing.T, url string) {
	t.Helper()
	switch {
	case strings.Contains(url, "master_name="):
		o, err := redis.ParseFailoverURL(url)
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewFailoverClient(o)
		defer client.Close()
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	case strings.Contains(url, "addr="):
		o, err := redis.ParseClusterURL(url)
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClusterClient(o)
		defer client.Close()
		err = client.ForEachMaster(t.Context(), func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() })
		if err != nil {
			t.Fatal(err)
		}
	default:
		o, err := redis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(o)
		defer client.Close()
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

const long = time.Minute // a lease that doesn't end during a test

func person(name string) ooo.Person {
	return ooo.Person{ID: ooo.ObjectID("id-" + name), UserPrincipalName: name + "@contoso.example", DisplayName: name}
}

// must stops the test on err.
func (s store) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// start monitors name@contoso.example, found in the directory.
func (s store) start(name string) ooo.Key {
	s.t.Helper()
	started, err := s.Start(s.t.Context(), name+"@contoso.example", person(name))
	s.must(err)
	return started.Key
}

func (s store) user(key ooo.Key) ooo.User {
	s.t.Helper()
	u, err := s.User(s.t.Context(), key)
	s.must(err)
	return u
}

// claims takes what is due now.
func (s store) claims(q ooo.Queue, lease time.Duration) []ooo.Claim {
	s.t.Helper()
	b, err := s.Claim(s.t.Context(), q, 500, lease)
	s.must(err)
	return b.Claims
}

// claim waits until key is due in q and takes it; others stay taken.
func (s store) claim(q ooo.Queue, key ooo.Key, lease time.Duration) ooo.Claim {
	s.t.Helper()
	var taken ooo.Claim
	s.eventually(fmt.Sprintf("%s is due in %s", key, q), func() bool {
		for _, c := range s.claims(q, lease) {
			if c.Key == key {
				taken = c
			}
		}
		return taken.Key == key
	})
	return taken
}

func (s store) eventually(what string, done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("never: %s", what)
		}
	}
}

func (s store) done(c ooo.Claim, next time.Time) {
	s.t.Helper()
	s.must(s.Done(s.t.Context(), c.Queue, []ooo.Finished{{Claim: c, Next: next}}))
}

func (s store) now() time.Time {
	s.t.Helper()
	now, err := s.Now(s.t.Context())
	s.must(err)
	return now
}

var policy ooo.Policy

// look records that the mailbox of a claimed user has setting.
func (s store) look(c ooo.Claim, setting ooo.Setting) int64 {
	s.t.Helper()
	u := s.user(c.Key)
	at := s.now()
	sequence, err := s.Record(s.t.Context(), c, ooo.Change{
		Revision: u.Revision, Setting: setting, Fingerprint: setting.Fingerprint(),
		Decision: policy.Decide(u.State, setting, at), At: at,
	})
	s.must(err)
	return sequence
}

// read claims the user, records setting and gives the claim back.
func (s store) read(key ooo.Key, setting ooo.Setting) int64 {
	s.t.Helper()
	_, err := s.Mark(s.t.Context(), ooo.ReadQueue, ooo.Mark{Key: key, Source: ooo.SourceRequest, Urgent: true})
	s.must(err)
	c := s.claim(ooo.ReadQueue, key, long)
	sequence := s.look(c, setting)
	s.done(c, s.now().Add(time.Hour))
	return sequence
}

var (
	off = ooo.Setting{Status: ooo.Disabled}
	on  = ooo.Setting{Status: ooo.AlwaysEnabled, ExternalReply: "<p>Away</p>"}
)

// kinds lists the history's kinds, oldest first.
func (s store) kinds(key ooo.Key) string {
	s.t.Helper()
	events, err := s.History(s.t.Context(), key, 200)
	s.must(err)
	var kinds []string
	for _, e := range events {
		kinds = append([]string{string(e.Kind)}, kinds...)
	}
	return strings.Join(kinds, " ")
}
