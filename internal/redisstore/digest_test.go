package redisstore_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
)

// shardCount is part of the schema.
const shardCount = 16

func digestKey(shard int) string { return fmt.Sprintf("om:{%02d}:digest", shard) }

// digests returns the lines of all users.
func (s store) digests() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for shard := range shardCount {
		lines, err := s.Client().HGetAll(s.t.Context(), digestKey(shard)).Result()
		s.must(err)
		maps.Copy(all, lines)
	}
	return all
}

// lose deletes all lines.
func (s store) lose() { s.t.Helper(); lose(s.t, s.Store) }

func lose(t testing.TB, s *redisstore.Store) {
	t.Helper()
	for shard := range shardCount {
		if err := s.Client().Del(t.Context(), digestKey(shard)).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// agrees compares the lines as the scripts left them with those that are made
// anew of the records.
func (s store) agrees(what string, users int) {
	s.t.Helper()
	left := s.digests()
	s.lose()
	page, err := s.Find(s.t.Context(), ooo.Query{Resources: []string{calendar}})
	s.must(err)
	if made := s.digests(); !maps.Equal(left, made) || len(made) != users || page.Total != users {
		s.t.Errorf("after %s the lines = %q, want what the records of %d users say: %q", what, left, users, made)
	}
}

// digestSuite is the part of the suite about what is kept of the records a second
// time.
var digestSuite = map[string]func(t *testing.T, s store){
	"the digest follows the records": func(t *testing.T, s store) {
		s.must(s.StartAll(t.Context(), []string{"Unfound@contoso.example"}))
		s.agrees("a start without a look-up", 1)
		unfound := ooo.KeyOf("unfound@contoso.example")
		c := s.claim(ooo.ReadQueue, unfound, long)
		s.must(s.Identify(t.Context(), c, person("found")))
		s.done(c, s.now().Add(time.Hour))
		s.agrees("a look-up", 1)

		ann := s.start("ann")
		s.agrees("a start", 2)
		s.read(ann, on)
		s.agrees("a look", 2)
		s.ends(s.deliverable(ann), ooo.DeliveryRefused, time.Hour, false)
		s.agrees("a refusal", 2)
		s.must(s.Resend(t.Context(), ann))
		s.agrees("a resend", 2)
		s.ends(s.deliverable(ann), ooo.DeliveryDelivered, 0, false)
		s.agrees("a delivery", 2)
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: ann, Source: ooo.SourceRequest, Urgent: true})
		s.must(err)
		c = s.claim(ooo.ReadQueue, ann, long)
		s.must(s.Unknown(t.Context(), c, "a reason", s.now()))
		s.done(c, s.now().Add(time.Hour))
		s.agrees("a mailbox that can't be read", 2)

		c = s.tend(ann)
		sub := ooo.Subscription{Resource: calendar, State: ooo.SubscriptionLive, ExpiresAt: s.now().Add(time.Hour)}
		s.must(s.SaveSubscription(t.Context(), c, sub))
		s.agrees("a subscription", 2)
		sub.State, sub.Error = ooo.SubscriptionFailed, "a\ttab and\na line"
		s.must(s.SaveSubscription(t.Context(), c, sub))
		s.agrees("a failure", 2)
		s.must(s.DropSubscription(t.Context(), c, calendar))
		s.agrees("the end of a subscription", 2)

		s.stop(ann)
		s.agrees("a stop", 1)
		s.start("ann")
		s.agrees("a second start", 2)
	},
	"whom another address covers is not bare": func(t *testing.T, s store) {
		owner, alias := s.alias("owner"), s.alias("alias")
		s.join(owner)
		s.join(alias)
		s.agrees("joining a mailbox", 2)
		if got, want := s.found(ooo.Query{Filter: ooo.FilterUncovered, Resources: []string{calendar}}), "owner"; got != want {
			t.Errorf("uncovered = %q, want %q", got, want)
		}
		s.stop(owner)
		s.part(owner)
		s.leave(owner)
		s.join(alias)
		s.agrees("leaving it", 1)
		if got, want := s.found(ooo.Query{Filter: ooo.FilterUncovered, Resources: []string{calendar}}), "alias"; got != want {
			t.Errorf("uncovered after the owner left = %q, want %q", got, want)
		}
	},
	"who is not in the directory is not bare": func(t *testing.T, s store) {
		s.must(s.StartAll(t.Context(), []string{"unfound@contoso.example"}))
		if got := s.found(ooo.Query{Filter: ooo.FilterUncovered, Resources: []string{calendar}}); got != "" {
			t.Errorf("uncovered = %q, want nobody", got)
		}
	},
	"a lost digest is made anew": func(t *testing.T, s store) {
		const users = 900 // of one shard, more than two calls make
		var addresses []string
		for i := 0; len(addresses) < users; i++ {
			address := fmt.Sprintf("user%05d@contoso.example", i)
			if redisstore.ShardOf(ooo.KeyOf(address)) == 0 {
				addresses = append(addresses, address)
			}
		}
		s.must(s.StartAll(t.Context(), addresses))
		s.agrees("many starts", users)
		s.lose()
		if c := s.census(events); c.Conditions[ooo.Pending] != users {
			t.Errorf("counted after a loss = %d, want %d", c.Conditions[ooo.Pending], users)
		}
		if got := len(s.digests()); got != users {
			t.Errorf("lines after a loss = %d, want %d", got, users)
		}
	},
	"a line that something else left does not stay": func(t *testing.T, s store) {
		key := s.start("ann")
		shard := digestKey(0)
		s.must(s.Client().HSet(t.Context(), shard, "stranger", "unknown|1|refused|own\t\t\nstranger@contoso.example\nStranger").Err())
		if got, want := s.found(ooo.Query{Text: "a"}), "ann"; got != want {
			t.Errorf("Find = %q, want %q", got, want)
		}
		if _, ok := s.digests()["stranger"]; ok {
			t.Error("the stranger's line is still there")
		}
		life, err := s.Client().PTTL(t.Context(), digestKey(redisstore.ShardOf(key))).Result()
		s.must(err)
		if life <= 0 || life > 2*time.Hour {
			t.Errorf("life of the digest = %v, want that it ends within two hours", life)
		}
	},
}
