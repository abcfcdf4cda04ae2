package store_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// start writes a wish for name@Contoso.example. No owner carries it out.
func (f *fixture) start(name string) ooo.Wish {
	f.t.Helper()
	wish := newWish(name, name)
	wish.Person = newMailbox(name).Person
	f.swapWish(ooo.Wish{}, wish)
	return wish
}

// monitor starts an address and saves its record as modified by change.
func (f *fixture) monitor(name string, change func(m *ooo.Mailbox, a *ooo.Address)) ooo.Wish {
	f.t.Helper()
	wish := f.start(name)
	m := newMailbox(name)
	change(m, &m.Addresses[0])
	f.must(f.Save(f.t.Context(), store.Save{Lease: f.own(m), Record: m, Events: []ooo.FeedEntry{event(m, ooo.EventStarted)}}))
	return wish
}

// unchanged is a no-op for monitor.
func unchanged(*ooo.Mailbox, *ooo.Address) {}

// names returns the local parts of the addresses.
func names(users []ooo.User) string {
	var all []string
	for _, u := range users {
		name, _, _ := strings.Cut(u.Spelling, "@")
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

// found returns the names of the matching users.
func (f *fixture) found(q ooo.Query) string {
	f.t.Helper()
	q.Limit = 100
	page, err := f.Search(f.t.Context(), q)
	if f.must(err); page.Total < len(page.Users) {
		f.t.Errorf("Total = %d, want at least the %d on the page", page.Total, len(page.Users))
	}
	return names(page.Users)
}

func subscribed(state ooo.SubscriptionState, until time.Duration) []ooo.Subscription {
	return []ooo.Subscription{{Resource: "/events", State: state, ExpiresAt: time.Now().Add(until)}}
}

var listSuite = map[string]func(*testing.T, *fixture){
	"users are found by part of their address or name, at once after own writes": func(t *testing.T, f *fixture) {
		ann := f.monitor("ann", func(m *ooo.Mailbox, _ *ooo.Address) { m.Person.DisplayName = "Änne Öz" })
		if got := f.found(ooo.Query{}); got != "ann" {
			t.Fatalf("Search = %q, want ann", got)
		}
		f.monitor("annette", unchanged)
		f.start("bob")
		f.start("Chris")
		for text, want := range map[string]string{
			"": "ann annette bob Chris", "ann": "ann annette", " ANN ": "ann annette", "chr": "Chris", "b@contoso": "bob",
			"änne öz": "ann", "ÖZ": "ann", "miss bob": "", "miss annette": "annette", "%": "", "*": "", "zed": "",
		} {
			if got := f.found(ooo.Query{Text: text}); got != want {
				t.Errorf("Search(%q) = %q, want %q", text, got, want)
			}
		}
		f.stop(ann)
		if users, _, err := f.Users(t.Context(), 10, ""); names(users) != "annette bob Chris" || err != nil {
			t.Errorf("Users after a stop = %q, %v, want all but ann", names(users), err)
		}
	},
	"users are found and counted by state": func(t *testing.T, f *fixture) {
		f.monitor("present", func(m *ooo.Mailbox, a *ooo.Address) {
			m.State.Away, a.Delivery.State, m.Subscriptions = false, ooo.DeliveryPending, subscribed(ooo.SubscriptionLive, time.Hour)
		})
		f.monitor("away", func(m *ooo.Mailbox, a *ooo.Address) {
			a.Delivery.State, m.Subscriptions = ooo.DeliveryRefused, subscribed(ooo.SubscriptionFailed, time.Hour)
		})
		f.monitor("unread", func(m *ooo.Mailbox, _ *ooo.Address) {
			m.Condition, m.Subscriptions = ooo.Unknown, subscribed(ooo.SubscriptionLive, -time.Second)
		})
		f.monitor("new", func(m *ooo.Mailbox, _ *ooo.Address) { m.State = nil })
		f.start("pending")
		f.swapWish(ooo.Wish{}, newWish("unresolved", "u"))
		tests := map[ooo.Filter]string{
			ooo.FilterAll: "away new pending present unread unresolved", ooo.FilterAway: "away unread", ooo.FilterPresent: "present",
			ooo.FilterUnknown: "unread", ooo.FilterPending: "pending unresolved", ooo.FilterUndelivered: "present",
			ooo.FilterRefused: "away", ooo.FilterFailed: "away", ooo.FilterUncovered: "away new pending",
		}
		counted, err := f.Search(t.Context(), ooo.Query{Resources: 1})
		if f.must(err); len(counted.Users) != 0 || counted.Cursor != "" || counted.Total != 6 {
			t.Errorf("Search with limit 0 = %+v, want only counts", counted)
		}
		for filter, want := range tests {
			if got := f.found(ooo.Query{Filter: filter, Resources: 1}); got != want {
				t.Errorf("Search(%s) = %q, want %q", filter, got, want)
			}
			if got, want := counted.Counts[filter], len(strings.Fields(want)); got != want {
				t.Errorf("Counts[%s] = %d, want %d", filter, got, want)
			}
		}
		if got := f.found(ooo.Query{Filter: ooo.FilterUncovered}); got != "" {
			t.Errorf("uncovered without resources = %q, want none", got)
		}
		if got := f.found(ooo.Query{Filter: ooo.FilterUncovered, Resources: 2}); !strings.Contains(got, "present") {
			t.Errorf("uncovered with two resources = %q, want also present", got)
		}
		if _, err := f.Search(t.Context(), ooo.Query{Filter: "nonsense"}); err == nil {
			t.Error("Search with an unknown filter = nil, want an error")
		}
	},
	"pages are complete": func(t *testing.T, f *fixture) {
		var want []string
		for i := range 45 {
			name := fmt.Sprintf("user%02d", i)
			f.start(name)
			want = append(want, name)
		}
		var got []string
		for cursor, n := "", 0; n == 0 || cursor != "" && n < 10; n++ {
			page, err := f.Search(t.Context(), ooo.Query{Text: "user", Limit: 10, Cursor: cursor})
			f.must(err)
			users, next, err := f.Users(t.Context(), 10, cursor)
			if f.must(err); names(users) != names(page.Users) || next != page.Cursor || page.Total != 45 {
				t.Errorf("Users = %q, %q, Search = %+v, want the same page of 45", names(users), next, page)
			}
			got, cursor = append(got, strings.Fields(names(users))...), next
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages = %v, want %v", got, want)
		}
		if users, next, err := f.Users(t.Context(), 45, ""); len(users) != 45 || next != "" || err != nil {
			t.Errorf("Users(45) = %d users, cursor %q, %v, want 45 and no cursor", len(users), next, err)
		}
	},
	"invalid cursors": func(t *testing.T, f *fixture) {
		f.start("ann")
		encode := base64.RawURLEncoding.EncodeToString
		for _, cursor := range []string{"garbage", "!", encode([]byte("ann")), encode([]byte("ANN@contoso.example"))} {
			_, _, err := f.Users(t.Context(), 10, cursor)
			f.wantErr(err, ooo.ErrBadCursor)
		}
		users, _, err := f.Users(t.Context(), 10, encode([]byte("ann@contoso")))
		if f.must(err); names(users) != "ann" {
			t.Errorf("users = %q, want ann", names(users))
		}
		if page, err := f.Search(t.Context(), ooo.Query{Limit: 10, Cursor: "!"}); names(page.Users) != "ann" || err != nil {
			t.Errorf("Search = %q, %v, want the first page", names(page.Users), err)
		}
	},
	"rows of other records are ignored": func(t *testing.T, f *fixture) {
		var want ooo.Summary
		ann := f.monitor("ann", func(m *ooo.Mailbox, a *ooo.Address) {
			m.Person.DisplayName, m.ErrorKind = "A\tB\nC", ooo.ReadErrorNotInDirectory
			a.Delivery.State, a.QueuedAt = ooo.DeliveryPending, time.UnixMilli(1700000000123).UTC()
			live := ooo.Subscription{State: ooo.SubscriptionLive, ExpiresAt: a.QueuedAt.Add(time.Hour)}
			m.Subscriptions = []ooo.Subscription{live, live}
			want = m.Summary(a)
		})
		want.Name = "A B C"
		if row, ok, err := f.Summary(t.Context(), ann); !ok || err != nil || !reflect.DeepEqual(row, want) {
			t.Errorf("Summary = %+v, %v, %v, want %+v", row, ok, err, want)
		}
		moved := ann
		moved.Nonce, moved.Person = "moved", ooo.Person{ID: "id-new", DisplayName: "New"}
		f.swapWish(ann, moved)
		_, _, err := f.Summary(t.Context(), ann)
		f.wantErr(err, store.ErrChanged)
		page, err := f.Search(t.Context(), ooo.Query{Text: "new", Limit: 1})
		if f.must(err); page.Counts[ooo.FilterPending] != 1 || page.Users[0].Person.ID != "id-new" || page.Users[0].Condition != ooo.Pending {
			t.Errorf("page = %+v, want the new mailbox, pending", page)
		}
		if _, ok, err := f.Summary(t.Context(), moved); ok || err != nil {
			t.Errorf("Summary = %v, %v, want none", ok, err)
		}
	},
}

// slow is a hook with which a pipeline takes over a second.
type slow struct{ *lossy }

func (slow) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		time.Sleep(1100 * time.Millisecond)
		return next(ctx, commands)
	}
}

// TestListsAreReadOncePerSecond counts how often many callers make the store read the lists.
func TestListsAreReadOncePerSecond(t *testing.T) {
	var hashes atomic.Int64
	server := redistest.Start(t)
	s := openWith(t, store.Config{URL: server.URL(), Observe: func(command string, _ time.Duration, _ error) {
		if command == "hgetall" {
			hashes.Add(1)
		}
	}})
	other := open(t, server.URL())
	other.start("ann")
	began := time.Now()
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for range 5 {
				if page, err := s.Search(t.Context(), ooo.Query{}); page.Total != 1 || err != nil {
					t.Errorf("Search = %+v, %v, want one user", page, err)
				}
			}
		})
	}
	callers.Wait()
	most := int64(1+time.Since(began)/time.Second) * (1 + ooo.Partitions)
	if got := hashes.Load(); got == 0 || got > most {
		t.Errorf("hashes read = %d, want 1 to %d", got, most)
	}
	other.start("zed")
	await.True(t, "it is listed", func() bool {
		page, err := s.Search(t.Context(), ooo.Query{})
		return err == nil && page.Total == 2
	})

	s.raw.AddHook(slow{&lossy{}})
	time.Sleep(time.Second) // the last list is too old
	hashes.Store(0)
	for range 8 {
		callers.Go(func() {
			if page, err := s.Search(t.Context(), ooo.Query{}); page.Total != 2 || err != nil {
				t.Errorf("Search = %+v, %v, want two users", page, err)
			}
		})
	}
	callers.Wait()
	if got := hashes.Load(); got > 2*(1+ooo.Partitions) {
		t.Errorf("hashes read = %d, want callers to share a slow read", got)
	}
}
