package redisstore_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
)

const events = "/users/{id}/events"

// cover records a subscription of a user to events.
func (s store) cover(key ooo.Key, state ooo.SubscriptionState, ends time.Time) {
	s.t.Helper()
	c := s.claim(ooo.SubscribeQueue, key, long)
	s.must(s.SaveSubscription(s.t.Context(), c, ooo.Subscription{Resource: events, ID: "sub", State: state, ExpiresAt: ends}))
	s.done(c, s.now().Add(time.Hour))
}

// see claims the user, records that its mailbox was read, and gives it back.
func (s store) see(key ooo.Key, setting ooo.Setting) {
	s.t.Helper()
	c := s.claim(ooo.ReadQueue, key, long)
	s.look(c, setting)
	s.must(s.Done(s.t.Context(), c.Queue, []ooo.Finished{{Claim: c, Next: s.now().Add(time.Hour), Read: true}}))
}

func (s store) census(resources ...string) redisstore.Census {
	s.t.Helper()
	c, err := s.Census(s.t.Context(), resources)
	s.must(err)
	return c
}

// censusSuite is the part of the suite about how all users stand.
var censusSuite = map[string]func(t *testing.T, s store){
	"a census counts each user once": func(t *testing.T, s store) {
		const users = 20 // in most shards
		ends := s.now().Truncate(time.Second).Add(3 * time.Hour)
		before := s.now()
		for i := range users {
			key := s.start(fmt.Sprintf("user%d", i))
			switch i % 4 {
			case 0:
				s.see(key, on)
				s.cover(key, ooo.SubscriptionLive, ends.Add(time.Duration(i)*time.Hour))
			case 1:
				s.see(key, off)
				s.cover(key, ooo.SubscriptionFailed, time.Time{})
			case 2:
				s.see(key, off)
				s.cover(key, ooo.SubscriptionLive, before.Add(-time.Hour)) // its time is up
			case 3: // neither read nor covered yet
			}
		}
		stopped := s.start("stopped")
		s.must(s.Stop(t.Context(), stopped))
		s.must(s.StartAll(t.Context(), []string{"unfound@contoso.example"}))
		c := s.census(events)
		if want := map[ooo.Condition]int{ooo.Watching: 15, ooo.Pending: 6}; !maps.Equal(c.Conditions, want) {
			t.Errorf("Conditions = %v, want %v", c.Conditions, want)
		}
		if want := map[ooo.DeliveryState]int{ooo.DeliveryPending: 15, ooo.DeliveryNone: 6}; !maps.Equal(c.Deliveries, want) {
			t.Errorf("Deliveries = %v, want %v", c.Deliveries, want)
		}
		if want := map[ooo.SubscriptionState]int{ooo.SubscriptionLive: 5, ooo.SubscriptionFailed: 5, redisstore.ExpiredSubscription: 5}; !maps.Equal(c.Subscriptions, want) {
			t.Errorf("Subscriptions = %v, want %v", c.Subscriptions, want)
		}
		if c.Away != 5 || c.Uncovered != 15 {
			t.Errorf("Away, Uncovered = %d, %d, want 5 and 15: who is not in the directory can't be covered", c.Away, c.Uncovered)
		}
		if !c.FirstExpiry.Equal(ends) {
			t.Errorf("FirstExpiry = %v, want %v", c.FirstExpiry, ends)
		}
		for what, at := range map[string]time.Time{"PendingSince": c.PendingSince, "ReadAt": c.ReadAt} {
			if at.Before(before.Add(-time.Second)) || at.After(s.now()) {
				t.Errorf("%s = %v, want it since %v", what, at, before)
			}
		}
	},
	"a census is good for all for a while": func(t *testing.T, s store) {
		s.start("ann")
		first := s.census(events)
		s.start("bob")
		if again := s.census(events); !again.At.Equal(first.At) || again.Conditions[ooo.Pending] != 1 {
			t.Errorf("second census = %v of %v, want the first one's, of %v", again.Conditions, again.At, first.At)
		}
		other := open(t, s.url)
		if again := other.census(events); !again.At.Equal(first.At) {
			t.Errorf("another replica's census is of %v, want the first one's, of %v", again.At, first.At)
		}
	},
	"a census of nobody": func(t *testing.T, s store) {
		c := s.census(events)
		if len(c.Conditions)+len(c.Deliveries)+len(c.Subscriptions)+c.Away+c.Uncovered != 0 ||
			!c.FirstExpiry.IsZero() || !c.PendingSince.IsZero() || !c.ReadAt.IsZero() {
			t.Errorf("Census = %+v, want nothing counted", c)
		}
	},
	"a census tells of the wait that Graph asked for": func(t *testing.T, s store) {
		until := s.now().Add(time.Minute).Truncate(time.Millisecond)
		s.must(s.Hold(t.Context(), until, ooo.ReadQueue))
		if c := s.census(); !c.Holds[ooo.ReadQueue].Equal(until) || !c.Holds[ooo.SubscribeQueue].IsZero() {
			t.Errorf("Holds = %v, want reading held until %v", c.Holds, until)
		}
	},
	"a user whose mailbox another one covers is not bare": func(t *testing.T, s store) {
		alias, err := s.Start(t.Context(), "alias@contoso.example", person("ann"))
		s.must(err)
		s.start("ann")
		joined := 0
		s.eventually("both take part in the mailbox", func() bool {
			for _, c := range s.claims(ooo.SubscribeQueue, long) {
				_, err := s.JoinMailbox(t.Context(), c, s.user(c.Key))
				s.must(err)
				joined++
			}
			return joined == 2 && s.user(alias.Key).Mailbox != ""
		})
		if got := s.census(events); got.Uncovered != 1 {
			t.Errorf("Uncovered = %d, want 1: who owns the cover", got.Uncovered)
		}
	},
	"the pool has the connections that are in use": func(t *testing.T, s store) {
		s.start("ann")
		if p := s.Pool(); p.TotalConns == 0 || p.Hits+p.Misses == 0 {
			t.Errorf("Pool = %+v, want a connection that was used", p)
		}
	},
}
