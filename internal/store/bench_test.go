package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// many is the number of mailboxes that one app can read every 2 s.
const many = 26_000

// openMany returns a store of many monitored mailboxes. Every tenth is out of office, every
// hundredth has a failed subscription, and every fiftieth a pending delivery.
func openMany(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(store.Config{URL: redistest.Start(b, "appendonly no").URL()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	lease := store.Lease{Life: "me", Tenure: 1}
	var owning []store.Swap
	for p := range ooo.Partitions {
		owning = append(owning, store.Swap{Field: store.LeaseField(p), New: lease.String()})
	}
	if ok, err := s.SwapOwners(b.Context(), owning...); !ok || err != nil {
		b.Fatal(ok, err)
	}
	var wishes []store.WishChange
	var saving errgroup.Group
	saving.SetLimit(32)
	for i := range many {
		person := ooo.Person{
			ID:                ooo.ObjectID(fmt.Sprintf("00000000-0000-0000-0000-%012d", i)),
			UserPrincipalName: fmt.Sprintf("user%05d@contoso.example", i), DisplayName: fmt.Sprintf("Person %05d of Contoso", i),
		}
		m := &ooo.Mailbox{
			ID: ooo.RecordID(person.ID), Version: 1, Person: person, Condition: ooo.Watching, State: &ooo.State{Away: i%10 == 0},
			Addresses:     []ooo.Address{{Spelling: person.UserPrincipalName, Delivery: ooo.Delivery{State: ooo.DeliveryDelivered}}},
			Subscriptions: subscribed(ooo.SubscriptionLive, time.Hour),
		}
		if i%100 == 1 {
			m.Subscriptions[0].State = ooo.SubscriptionFailed
		}
		if i%50 == 2 {
			m.Addresses[0].Delivery.State = ooo.DeliveryPending
		}
		random := "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		wish := ooo.Wish{Address: person.UserPrincipalName, On: true, Person: person, Start: random, Nonce: random, At: time.Now()}
		wishes = append(wishes, store.WishChange{New: wish, Hint: ooo.Hint{ID: m.ID, Kind: ooo.HintWish, Nonce: "1"}})
		saving.Go(func() error { return s.Save(b.Context(), store.Save{Lease: lease, Record: m}) })
	}
	if err := saving.Wait(); err != nil {
		b.Fatal(err)
	}
	if _, err := s.SwapWishes(b.Context(), wishes); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkFind measures lists of 26,000 monitored addresses: read from Redis, which happens at
// most once a second, and cached.
func BenchmarkFind(b *testing.B) {
	s := openMany(b)
	queries := []struct {
		name  string
		q     ooo.Query
		total int
	}{
		{"page", ooo.Query{Limit: 50}, many},
		{"search with few matches", ooo.Query{Text: "r0012", Limit: 50}, 10},
		{"search that matches all", ooo.Query{Text: "contoso", Limit: 50}, many},
		{"filter", ooo.Query{Filter: ooo.FilterAway, Limit: 50}, many / 10},
		{"search and filter", ooo.Query{Text: "r0", Filter: ooo.FilterUndelivered, Limit: 50}, 200},
	}
	for _, cached := range []bool{true, false} {
		for _, tt := range queries {
			tt.q.Resources = 1
			b.Run(fmt.Sprintf("%s, cached %v", tt.name, cached), func(b *testing.B) {
				for b.Loop() {
					if !cached {
						store.Forget(s)
					}
					if page, err := s.Find(context.Background(), tt.q); err != nil || page.Total != tt.total {
						b.Fatalf("Find = %d, %v, want %d", page.Total, err, tt.total)
					}
				}
			})
		}
	}
}
