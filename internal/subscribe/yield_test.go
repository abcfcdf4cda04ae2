package subscribe_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
)

// TestTheOwnerLearnsThatItHasNoCover begins with two users of one mailbox, each of
// which has a subscription on record. Only one of them can be in Graph. Nothing but
// the step itself tells the owner: there is no sweep.
func TestTheOwnerLearnsThatItHasNoCover(t *testing.T) {
	away := errors.New("Redis is away")
	tests := map[string]struct {
		younger int                           // the one in Graph: 0 is the owner's
		happens func(w *world)                // once the other's was deleted, before anything is noted
		after   func(w *world, other ooo.Key) // and a moment later
		calls   string
		left    bool // the other is monitored no longer
	}{
		"nothing goes wrong": {younger: 1, calls: "delete old-1, create"},
		"the process dies in between": {
			younger: 1,
			happens: func(w *world) { w.err = away },
			calls:   "delete old-1, delete old-1, create",
		},
		"it dies in between, and the other leaves": {
			younger: 1,
			happens: func(w *world) { w.err = away },
			after:   func(w *world, other ooo.Key) { w.users[other].Active = false },
			calls:   "delete old-1, delete old-1, create",
			left:    true,
		},
		"the owner's is the one that lives": {younger: 0, calls: "delete old-1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.single = true
				keysOf := []ooo.Key{w.alias("first@contoso.example"), w.alias("second@contoso.example")}
				w.boxes[box] = append(w.boxes[box], keysOf...) // the first one owns the cover
				for i, key := range keysOf {
					id := ooo.SubscriptionID(fmt.Sprintf("old-%d", i))
					made := time.Now().Add(-time.Hour)
					if i == tt.younger {
						made = made.Add(time.Minute)
					}
					s := ooo.Subscription{
						Resource: events, ObjectID: box, ID: id, State: ooo.SubscriptionLive, NotificationURL: hook, LifecycleURL: want.LifecycleURL,
						KeyTag: keys.Tag(), CreatedAt: made, ExpiresAt: made.Add(72 * time.Hour), RenewAt: made.Add(48 * time.Hour),
					}
					w.users[key].Subscriptions, w.users[key].Mailbox = []ooo.Subscription{s}, box
					if i == tt.younger {
						w.graph[id] = ooo.GraphSubscription{ID: id, Resource: ooo.ResourcePath(events, box), NotificationURL: hook, ExpiresAt: s.ExpiresAt}
						w.states[id] = keys.Derive(key, events)
					}
				}
				delete(w.due, keysOf[0])
				w.fail = func(what string) error {
					if tt.happens != nil && what == "delete old-1" {
						tt.happens(w)
						tt.happens = nil
					}
					return nil
				}
				stop := w.start(t)
				pass(time.Second)
				stop()
				w.set(func() {
					w.err = nil
					if tt.after != nil {
						tt.after(w, keysOf[1])
					}
				})
				stop = w.start(t)
				defer stop()
				pass(time.Minute)
				if got := w.story(); got != tt.calls {
					t.Errorf("calls = %s, want %s", got, tt.calls)
				}
				if tt.left {
					keysOf = keysOf[:1]
				}
				if err := w.covers(keysOf); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
