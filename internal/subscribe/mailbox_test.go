package subscribe_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

const box = ooo.ObjectID("oid-box")

// alias monitors the one mailbox under another address.
func (w *world) alias(name string) ooo.Key {
	key := ooo.KeyOf(name)
	w.set(func() {
		u := w.users[key]
		if u == nil {
			u = &ooo.User{Key: key, Address: name, Person: ooo.Person{ID: box}}
			w.users[key] = u
		}
		u.Active = true
		w.mark(key, time.Now())
	})
	w.ring()
	return key
}

// part stops the monitoring of a user.
func (w *world) part(key ooo.Key) {
	w.set(func() {
		if u := w.users[key]; u != nil {
			u.Active = false
			w.mark(key, time.Now())
		}
	})
	w.ring()
}

// covers says what is wrong with the cover of the one mailbox, which the given
// users should share.
func (w *world) covers(monitored []ooo.Key) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.users) != len(monitored) || len(w.graph) != min(len(monitored), 1) {
		return fmt.Errorf("%d records and %d subscriptions of %d users, want one of the mailbox", len(w.users), len(w.graph), len(monitored))
	}
	for id, s := range w.graph {
		owner, _ := keys.Verify(w.states[id])
		if !slices.Contains(monitored, owner) || s.Resource != ooo.ResourcePath(events, box) {
			return fmt.Errorf("%s of %s names %s, want a monitored user", id, s.Resource, owner)
		}
		for _, key := range monitored {
			u := w.users[key]
			switch {
			case key == owner && (len(u.Subscriptions) != 1 || u.Subscriptions[0].ID != id || u.CoveredBy != ""):
				return fmt.Errorf("record of the owner = %+v by %q, want %s", u.Subscriptions, u.CoveredBy, id)
			case key != owner && (len(u.Subscriptions) != 0 || u.CoveredBy != owner):
				return fmt.Errorf("record of another = %+v by %q, want it covered by the owner", u.Subscriptions, u.CoveredBy)
			}
		}
	}
	return nil
}

// shared runs a story of a mailbox with two addresses, the first of which covers
// it.
func shared(t *testing.T, story func(t *testing.T, w *world, first, second ooo.Key), edits ...func(*subscribe.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.single = true
		first := w.alias("first@contoso.example")
		stop := w.start(t, edits...)
		defer stop()
		pass(time.Second)
		second := w.alias("second@contoso.example")
		pass(time.Second)
		if got := w.story(); got != "create" {
			t.Fatalf("calls at first = %s, want one creation for both", got)
		}
		if err := w.covers([]ooo.Key{first, second}); err != nil {
			t.Fatal(err)
		}
		story(t, w, first, second)
	})
}

func TestAMailboxUnderTwoAddressesIsCoveredOnce(t *testing.T) {
	type keys []ooo.Key
	tests := map[string]struct {
		happens func(w *world, first, second ooo.Key) (left keys)
		calls   []string // what may be seen
	}{
		"the other address leaves": {func(w *world, first, second ooo.Key) keys {
			w.part(second)
			return keys{first}
		}, []string{""}},
		"the owner leaves and the other takes over": {func(w *world, first, second ooo.Key) keys {
			w.part(first)
			return keys{second}
		}, []string{"delete sub-1, create", "create, delete sub-1, create", "create, delete sub-1, delete sub-1, create",
			"delete sub-1, create, create", "create, delete sub-1, create, delete sub-1"}},
		"the owner leaves for a moment": {func(w *world, first, second ooo.Key) keys {
			w.set(func() { w.users[first].Active = false })
			w.alias("first@contoso.example")
			return keys{first, second}
		}, []string{""}},
		"a third address comes": {func(w *world, first, second ooo.Key) keys {
			return keys{first, second, w.alias("third@contoso.example")}
		}, []string{""}},
		"both leave": {func(w *world, first, second ooo.Key) keys {
			w.part(second)
			w.part(first)
			return nil
		}, []string{"delete sub-1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			shared(t, func(t *testing.T, w *world, first, second ooo.Key) {
				left := tt.happens(w, first, second)
				pass(time.Second)
				if got := w.story(); !slices.Contains(tt.calls, got) {
					t.Errorf("calls = %s, want one of %q", got, tt.calls)
				}
				if err := w.covers(left); err != nil {
					t.Error(err)
				}
				pass(40 * time.Hour)
				if got := w.story(); got != "" {
					t.Errorf("calls of a quiet day = %s, want none", got)
				}
			})
		})
	}
}

func TestEachAddressIsReadWhenTheCoverIsMadeAnew(t *testing.T) {
	shared(t, func(t *testing.T, w *world, first, second ooo.Key) {
		w.set(func() { w.reads = nil })
		w.forget()
		w.announce(first, ooo.SubscriptionWasRemoved)
		pass(time.Second)
		w.set(func() {
			for _, key := range []ooo.Key{first, second} {
				if !slices.ContainsFunc(w.reads, func(m ooo.Mark) bool { return m.Key == key && m.Source == ooo.SourceSubscription }) {
					t.Errorf("marks = %+v, want both users read", w.reads)
				}
			}
		})
	})
}

func TestTheOtherAddressLooksAfterAnOwnerThatVanished(t *testing.T) {
	shared(t, func(t *testing.T, w *world, first, second ooo.Key) {
		w.set(func() { // its record is lost, and with it all knowledge of what it had
			delete(w.users, first)
			delete(w.due, first)
		})
		pass(time.Hour)
		if err := w.covers([]ooo.Key{second}); err != nil {
			t.Error(err)
		}
	})
}

func TestTheOtherAddressTakesOverWhenTheOwnerHasAnotherMailbox(t *testing.T) {
	shared(t, func(t *testing.T, w *world, first, second ooo.Key) {
		w.set(func() {
			w.users[first].Person.ID = "oid-elsewhere"
			w.mark(first, time.Now())
		})
		w.ring()
		pass(time.Minute)
		covered := map[string]ooo.Key{} // who is named by the subscription of each mailbox
		w.set(func() {
			for id, s := range w.graph {
				covered[s.Resource], _ = keys.Verify(w.states[id])
			}
			if len(w.graph) != 2 || w.users[second].CoveredBy != "" {
				t.Errorf("%d subscriptions, record of the other covered by %q, want one for each mailbox, and itself", len(w.graph), w.users[second].CoveredBy)
			}
		})
		if covered[ooo.ResourcePath(events, box)] != second || covered[ooo.ResourcePath(events, "oid-elsewhere")] != first {
			t.Errorf("who is named = %v, want the other address in the old mailbox, and the owner in its new one (calls: %s)", covered, w.story())
		}
	})
}

// TestALeaverDoesNotTakeAnothersForItsOwn loses the answer to the creation of a
// user's subscription. When the user leaves, what Graph lists for the mailbox is
// the other user's by then.
func TestALeaverDoesNotTakeAnothersForItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.single = true
		n := 1
		w.lost = func(string) bool { n--; return n >= 0 }
		stop := w.start(t)
		defer stop()
		first := w.alias("first@contoso.example")
		pass(time.Second)
		second := w.alias("second@contoso.example")
		pass(time.Second)
		w.part(first)
		pass(time.Minute)
		if err := w.covers([]ooo.Key{second}); err != nil {
			t.Errorf("%v (calls: %s)", err, w.story())
		}
	})
}

// TestWhoBothTakeThemselvesForTheOwnerAgree begins with what an older version
// left behind: two users with a subscription each, of which Graph has one.
func TestWhoBothTakeThemselvesForTheOwnerAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.single = true
		var both []ooo.Key
		for i, name := range []string{"first@contoso.example", "second@contoso.example"} {
			key := w.alias(name)
			id := ooo.SubscriptionID(fmt.Sprintf("old-%d", i))
			s := ooo.Subscription{
				Resource: events, ObjectID: box, ID: id, State: ooo.SubscriptionLive, NotificationURL: hook, LifecycleURL: want.LifecycleURL,
				KeyTag: keys.Tag(), ExpiresAt: time.Now().Add(72 * time.Hour), RenewAt: time.Now().Add(48 * time.Hour),
			}
			w.users[key].Subscriptions = []ooo.Subscription{s}
			delete(w.due, key)
			both = append(both, key)
			if i == 1 {
				w.graph[id] = ooo.GraphSubscription{ID: id, Resource: ooo.ResourcePath(events, box), NotificationURL: hook, ExpiresAt: s.ExpiresAt}
				w.states[id] = keys.Derive(key, events)
			}
		}
		stop := w.start(t)
		defer stop()
		pass(time.Minute)
		if err := w.covers(both); err != nil {
			t.Error(err)
		}
	})
}

// TestAnyOrderOfAddressesEndsWithOneSubscription starts and stops the addresses
// of one mailbox at random, while Redis goes away, Graph fails, answers get lost
// and the process ends, until it is quiet.
func TestAnyOrderOfAddressesEndsWithOneSubscription(t *testing.T) {
	names := []string{"a@contoso.example", "b@contoso.example", "c@contoso.example", "d@contoso.example"}
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			w := newWorld()
			w.single, w.slow = true, time.Duration(random.IntN(3))*time.Second
			sweep := func(cfg *subscribe.Config) { cfg.SweepEvery = time.Hour }
			stop := w.start(t, sweep)
			on := map[ooo.Key]bool{}
			for range 30 {
				name := names[random.IntN(len(names))]
				switch random.IntN(8) {
				case 0, 1, 2:
					on[w.alias(name)] = true
				case 3, 4:
					w.part(ooo.KeyOf(name))
					delete(on, ooo.KeyOf(name))
				case 5:
					w.set(func() { w.err = errors.New("Redis is away") })
					pass(time.Duration(random.IntN(15_000)) * time.Millisecond)
					w.set(func() { w.err = nil })
				case 6:
					n := 1 + random.IntN(2)
					w.set(func() { w.lost = func(string) bool { n--; return n >= 0 } })
				case 7:
					stop()
					if random.IntN(2) == 0 {
						pass(time.Duration(random.IntN(5000)) * time.Millisecond)
					}
					stop = w.start(t, sweep)
				}
				if random.IntN(3) > 0 {
					pass(time.Duration(random.IntN(4000)) * time.Millisecond)
				}
			}
			defer func() { stop() }()
			pass(3 * time.Hour)
			var monitored []ooo.Key
			for key := range on {
				monitored = append(monitored, key)
			}
			if err := w.covers(monitored); err != nil {
				t.Errorf("seed %d: %v (calls: %s)", seed, err, w.story())
			}
		})
	}
}
