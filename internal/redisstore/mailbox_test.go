package redisstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
)

// alias monitors the mailbox of person("box") under another address.
func (s store) alias(name string) ooo.Key {
	s.t.Helper()
	started, err := s.Start(s.t.Context(), name+"@contoso.example", person("box"))
	s.must(err)
	return started.Key
}

// join has a user take part in its mailbox, as its cover is looked after.
func (s store) join(key ooo.Key) ooo.Mailbox {
	s.t.Helper()
	_, err := s.Mark(s.t.Context(), ooo.SubscribeQueue, ooo.Mark{Key: key})
	s.must(err)
	c := s.tend(key)
	defer s.done(c, s.now().Add(time.Hour))
	box, err := s.JoinMailbox(s.t.Context(), c, s.user(key))
	s.must(err)
	return box
}

// tend takes a user out of the subscribe queue, and leaves the others in it.
func (s store) tend(key ooo.Key) ooo.Claim {
	s.t.Helper()
	var taken ooo.Claim
	s.eventually(fmt.Sprintf("%s is due for its cover", key), func() bool {
		for _, c := range s.claims(ooo.SubscribeQueue, long) {
			if c.Key == key {
				taken = c
			} else {
				s.done(c, c.Due)
			}
		}
		return taken.Key == key
	})
	return taken
}

// stop ends a user's monitoring; leave forgets the rest.
func (s store) stop(key ooo.Key) { s.t.Helper(); s.must(s.Stop(s.t.Context(), key)) }

func (s store) part(key ooo.Key) ooo.Mailbox {
	s.t.Helper()
	box, err := s.PartMailbox(s.t.Context(), s.user(key))
	s.must(err)
	return box
}

func (s store) leave(key ooo.Key) {
	s.t.Helper()
	c := s.tend(key)
	s.must(s.LeaveMailbox(s.t.Context(), s.user(key)))
	s.must(s.Forget(s.t.Context(), c))
	s.done(c, time.Time{})
}

// box compares a mailbox with who should own it and who should be in it.
func (s store) box(what string, got ooo.Mailbox, owner ooo.Key, leaving bool, others ...ooo.Key) {
	s.t.Helper()
	slices.Sort(got.Others)
	slices.Sort(others)
	if got.Owner != owner || got.Leaving != leaving || !slices.Equal(got.Others, others) {
		s.t.Errorf("%s = %+v, want owned by %s, leaving %v, with %v", what, got, owner, leaving, others)
	}
}

// quiet gives back whatever is due for reading.
func (s store) quiet() {
	s.t.Helper()
	for _, c := range s.claims(ooo.ReadQueue, long) {
		s.done(c, s.now().Add(time.Hour))
	}
}

// woken returns who is due for reading after a notification of key's.
func (s store) woken(key ooo.Key) []ooo.Key {
	s.t.Helper()
	s.quiet()
	_, err := s.Mark(s.t.Context(), ooo.ReadQueue, ooo.Mark{
		Key: key, Source: ooo.SourceNotification, ID: "n-1", Urgent: true, Spoke: ooo.ResourceTag("/users/{id}/events")})
	s.must(err)
	var keys []ooo.Key
	for _, c := range s.claims(ooo.ReadQueue, long) {
		if c.Source != ooo.SourceNotification || c.SourceID != "n-1" {
			s.t.Errorf("claim of %s = %s %q, want it to tell of the notification", c.Key, c.Source, c.SourceID)
		}
		keys = append(keys, c.Key)
		s.done(c, s.now().Add(time.Hour))
	}
	slices.Sort(keys)
	return keys
}

func (s store) wakes(what string, key ooo.Key, want ...ooo.Key) {
	s.t.Helper()
	slices.Sort(want)
	if got := s.woken(key); !slices.Equal(got, want) {
		s.t.Errorf("woken by a notification %s = %v, want %v", what, got, want)
	}
}

var mailboxSuite = map[string]func(*testing.T, store){
	"a mailbox with one address": func(t *testing.T, s store) {
		ann := s.start("ann")
		s.box("mailbox", s.join(ann), ann, false)
		if u := s.user(ann); u.Mailbox != person("ann").ID || u.CoveredBy != "" {
			t.Errorf("record = %q by %q, want its own mailbox, covered by itself", u.Mailbox, u.CoveredBy)
		}
		s.wakes("of a lone user", ann, ann)
	},
	"the first that asks covers a mailbox, and wakes all": func(t *testing.T, s store) {
		one, two, three := s.alias("one"), s.alias("two"), s.alias("three")
		s.box("mailbox at first", s.join(two), two, false)
		s.box("mailbox of a second", s.join(one), two, false, two)
		s.box("mailbox of a third", s.join(three), two, false, one, two)
		s.box("mailbox of the owner", s.join(two), two, false, one, three)
		if got := s.user(one).CoveredBy; got != two {
			t.Errorf("record says covered by %q, want the owner", got)
		}
		s.wakes("of the owner", two, one, two, three)
		s.join(one) // again: nothing is doubled
		s.wakes("of the owner", two, one, two, three)
		s.wakes("that names another", one, one)
	},
	"a mailbox goes to the next when its owner leaves": func(t *testing.T, s store) {
		one, two, three := s.alias("one"), s.alias("two"), s.alias("three")
		for _, key := range []ooo.Key{one, two, three} {
			s.join(key)
		}
		s.stop(one)
		s.box("mailbox of the next", s.join(two), two, true, three)
		s.box("mailbox of the leaver", s.part(one), two, false, two, three)
		s.box("mailbox of the last", s.join(three), two, true, two)
		s.wakes("that still names the leaver", one, two, three)
		s.wakes("of the new owner", two, two, three)
		s.leave(one)
		s.box("mailbox without the leaver", s.join(two), two, false, three)
		s.wakes("of a forgotten user", one)
		if got := s.user(two).CoveredBy; got != "" {
			t.Errorf("record of the new owner says covered by %q, want by itself", got)
		}
		if got := s.user(three).CoveredBy; got != two {
			t.Errorf("record of the last says covered by %q, want the new owner", got)
		}
	},
	"an owner that comes back finds its place taken": func(t *testing.T, s store) {
		one, two := s.alias("one"), s.alias("two")
		s.join(one)
		s.join(two)
		s.stop(one)
		s.part(one)
		s.join(two)
		s.alias("one")
		s.box("mailbox of who came back", s.join(one), two, false, two)
		s.wakes("of the new owner", two, one, two)
	},
	"an owner that leaves for a moment stays": func(t *testing.T, s store) {
		one, two := s.alias("one"), s.alias("two")
		s.join(one)
		s.join(two)
		s.stop(one)
		s.alias("one")
		s.box("mailbox", s.join(one), one, false, two)
	},
	"a stopped user is not woken": func(t *testing.T, s store) {
		one, two := s.alias("one"), s.alias("two")
		s.join(one)
		s.join(two)
		s.stop(two)
		s.wakes("of the owner", one, one)
		s.part(two)
		s.leave(two)
		s.box("mailbox", s.join(one), one, false)
	},
	"an address that belongs to another mailbox by now": func(t *testing.T, s store) {
		one, two := s.alias("one"), s.alias("two")
		s.join(one)
		s.join(two)
		c := s.claim(ooo.ReadQueue, one, long)
		s.must(s.Identify(t.Context(), c, person("elsewhere")))
		s.done(c, s.now().Add(time.Hour))
		s.box("mailbox that it is to leave", s.part(one), two, false, two)
		s.box("mailbox that it left", s.join(two), two, false)
		s.box("mailbox that it came to", s.join(one), one, false)
		s.wakes("of the one that moved", one, one)
	},
	"the record of an owner is lost": func(t *testing.T, s store) {
		one, two := s.alias("one"), s.alias("two")
		s.join(one)
		s.join(two)
		client := s.Client()
		s.must(client.Del(t.Context(), fmt.Sprintf("om:{%02d}:u:%s", redisstore.ShardOf(one), one)).Err())
		s.box("mailbox", s.join(two), two, false)
		if got := s.user(two).CoveredBy; got != "" {
			t.Errorf("record says covered by %q, want by itself", got)
		}
	},
	"who takes part in a mailbox is lost": func(t *testing.T, s store) {
		one, two := s.alias("one"), s.alias("two")
		s.join(one)
		s.join(two)
		client := s.Client()
		s.must(client.Del(t.Context(), "om:mailbox:{"+string(person("box").ID)+"}").Err())
		s.box("mailbox of who asks first", s.join(two), two, false)
		s.box("mailbox of who owned it", s.join(one), two, false, two)
		s.wakes("of the new owner", two, one, two)
	},
	"nothing of a mailbox is left when all have left": func(t *testing.T, s store) {
		keys := []ooo.Key{s.alias("one"), s.alias("two"), s.alias("three")}
		for _, key := range keys {
			s.join(key)
		}
		for _, key := range keys {
			s.stop(key)
			s.part(key)
			s.leave(key)
		}
		client := s.Client()
		if n, err := client.Exists(t.Context(), "om:mailbox:{"+string(person("box").ID)+"}").Result(); n != 0 || err != nil {
			t.Errorf("mailboxes left = %d, %v, want none", n, err)
		}
		for shard := range 16 {
			if n, err := client.Exists(t.Context(), fmt.Sprintf("om:{%02d}:mates", shard)).Result(); n != 0 || err != nil {
				t.Errorf("mates left in shard %d = %d, %v, want none", shard, n, err)
			}
		}
	},
	"records by their keys": func(t *testing.T, s store) {
		ann, bob := s.start("ann"), s.start("bob")
		users, err := s.Named(t.Context(), []ooo.Key{bob, ooo.KeyOf("nobody"), ann})
		s.must(err)
		if len(users) != 2 || !slices.ContainsFunc(users, func(u ooo.User) bool { return u.Key == ann }) {
			t.Errorf("users = %+v, want the two that exist", users)
		}
	},
}
