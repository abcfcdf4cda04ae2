package store_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// start writes a wish for name@Contoso.example that no owner has carried out.
func (w *world) start(name string) ooo.Wish {
	w.t.Helper()
	wish := on(name, name)
	wish.Person = mailbox(name).Person
	w.wants(ooo.Wish{}, wish, wishHint(wish))
	return wish
}

// monitor starts an address and carries it out with what change makes of its record.
func (w *world) monitor(name string, change func(m *ooo.Mailbox, a *ooo.Address)) ooo.Wish {
	w.t.Helper()
	wish := w.start(name)
	m := mailbox(name)
	change(m, &m.Addresses[0])
	w.must(w.Save(w.t.Context(), store.Save{Lease: w.own(m), Record: m, Events: []ooo.FeedEntry{event(m, ooo.EventStarted)}}))
	return wish
}

func asIs(*ooo.Mailbox, *ooo.Address) {}

// damage overwrites a field of a hash.
func (w *world) damage(key, field, value string) {
	w.t.Helper()
	w.must(w.raw.HSet(w.t.Context(), "om:{om}:"+key, field, value).Err())
}

// names are the local parts of addresses.
func names(users []ooo.User) string {
	var all []string
	for _, u := range users {
		name, _, _ := strings.Cut(u.Spelling, "@")
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

// found lists who matches.
func (w *world) found(q ooo.Query) string {
	w.t.Helper()
	q.Limit = 100
	page, err := w.Find(w.t.Context(), q)
	if w.must(err); page.Total < len(page.Users) {
		w.t.Errorf("Total = %d, want at least the %d on the page", page.Total, len(page.Users))
	}
	return names(page.Users)
}

func subscribed(state ooo.SubscriptionState, until time.Duration) []ooo.Subscription {
	return []ooo.Subscription{{Resource: "/events", State: state, ExpiresAt: time.Now().Add(until)}}
}

var listSuite = map[string]func(*testing.T, *world){
	"users are found by part of their address or name": func(t *testing.T, w *world) {
		w.monitor("ann", func(m *ooo.Mailbox, _ *ooo.Address) { m.Person.DisplayName = "Änne Öz" })
		w.monitor("annette", asIs)
		w.start("bob")
		w.start("Chris")
		for text, want := range map[string]string{
			"": "ann annette bob Chris", "ann": "ann annette", " ANN ": "ann annette", "chr": "Chris", "b@contoso": "bob",
			"änne öz": "ann", "ÖZ": "ann", "miss bob": "", "miss annette": "annette", "%": "", "*": "", "zed": "",
		} {
			if got := w.found(ooo.Query{Text: text}); got != want {
				t.Errorf("Find(%q) = %q, want %q", text, got, want)
			}
		}
	},
	"users are found and counted by how they stand": func(t *testing.T, w *world) {
		w.monitor("present", func(m *ooo.Mailbox, a *ooo.Address) {
			m.State.Away, a.Delivery.State, m.Subscriptions = false, ooo.DeliveryPending, subscribed(ooo.SubscriptionLive, time.Hour)
		})
		w.monitor("away", func(m *ooo.Mailbox, a *ooo.Address) {
			a.Delivery.State, m.Subscriptions = ooo.DeliveryRefused, subscribed(ooo.SubscriptionFailed, time.Hour)
		})
		w.monitor("unread", func(m *ooo.Mailbox, _ *ooo.Address) {
			m.Condition, m.Subscriptions = ooo.Unknown, subscribed(ooo.SubscriptionLive, -time.Second)
		})
		w.start("pending")
		w.wants(ooo.Wish{}, on("unresolved", "u"), wishHint(on("unresolved", "u")))
		tests := map[ooo.Filter]string{
			ooo.FilterAll: "away pending present unread unresolved", ooo.FilterAway: "away unread", ooo.FilterPresent: "present",
			ooo.FilterUnknown: "unread", ooo.FilterPending: "pending unresolved", ooo.FilterUndelivered: "present",
			ooo.FilterRefused: "away", ooo.FilterFailed: "away", ooo.FilterUncovered: "away pending unread",
		}
		counted, err := w.Find(t.Context(), ooo.Query{Resources: 1})
		if w.must(err); len(counted.Users) != 0 || counted.Cursor != "" || counted.Total != 5 {
			t.Errorf("a page of none = %+v, want the counts alone", counted)
		}
		for filter, want := range tests {
			if got := w.found(ooo.Query{Filter: filter, Resources: 1}); got != want {
				t.Errorf("Find(%s) = %q, want %q", filter, got, want)
			}
			if got, want := counted.Counts[filter], len(strings.Fields(want)); got != want {
				t.Errorf("Counts[%s] = %d, want %d", filter, got, want)
			}
		}
		if got := w.found(ooo.Query{Filter: ooo.FilterUncovered}); got != "" {
			t.Errorf("uncovered with nothing to cover = %q, want none", got)
		}
		if got := w.found(ooo.Query{Filter: ooo.FilterUncovered, Resources: 2}); !strings.Contains(got, "present") {
			t.Errorf("uncovered with two resources = %q, want all of the directory", got)
		}
		if _, err := w.Find(t.Context(), ooo.Query{Filter: "nonsense"}); err == nil {
			t.Error("an unknown filter was accepted")
		}
	},
	"pages follow each other without a gap": func(t *testing.T, w *world) {
		var want []string
		for i := range 45 {
			name := fmt.Sprintf("user%02d", i)
			w.start(name)
			want = append(want, name)
		}
		pages := map[string]func(cursor string) ([]ooo.User, string, error){
			"Find": func(cursor string) ([]ooo.User, string, error) {
				page, err := w.Find(t.Context(), ooo.Query{Text: "user", Limit: 10, Cursor: cursor})
				if page.Total != 45 {
					t.Errorf("Total = %d, want 45", page.Total)
				}
				return page.Users, page.Cursor, err
			},
			"Users": func(cursor string) ([]ooo.User, string, error) { return w.Users(t.Context(), 10, cursor) },
		}
		for name, read := range pages {
			var got []string
			for cursor, n := "", 0; n == 0 || cursor != "" && n < 10; n++ {
				users, next, err := read(cursor)
				w.must(err)
				got, cursor = append(got, strings.Fields(names(users))...), next
			}
			if !slices.Equal(got, want) {
				t.Errorf("all pages of %s = %v, want %v", name, got, want)
			}
		}
		if users, next, err := w.Users(t.Context(), 45, ""); len(users) != 45 || next != "" || err != nil {
			t.Errorf("the only page = %d users, cursor %q, %v, want 45 and no cursor", len(users), next, err)
		}
	},
	"a cursor that is none": func(t *testing.T, w *world) {
		w.start("ann")
		encode := base64.RawURLEncoding.EncodeToString
		for _, cursor := range []string{"garbage", "!", encode([]byte("ann")), encode([]byte("ANN@contoso.example"))} {
			_, _, err := w.Users(t.Context(), 10, cursor)
			w.is(err, ooo.ErrBadCursor)
		}
		users, _, err := w.Users(t.Context(), 10, encode([]byte("ann@contoso")))
		if w.must(err); names(users) != "ann" {
			t.Errorf("users = %q, want those after an address that is not there", names(users))
		}
		if page, err := w.Find(t.Context(), ooo.Query{Limit: 10, Cursor: "!"}); names(page.Users) != "ann" || err != nil {
			t.Errorf("Find = %q, %v, want the first page", names(page.Users), err)
		}
	},
	"lists show own writes at once": func(t *testing.T, w *world) {
		ann := w.monitor("ann", asIs)
		if got := w.found(ooo.Query{}); got != "ann" {
			t.Fatalf("Find = %q, want ann", got)
		}
		w.start("bob")
		if got := w.found(ooo.Query{}); got != "ann bob" {
			t.Errorf("Find after a start = %q, want both", got)
		}
		w.stop(ann)
		if users, _, err := w.Users(t.Context(), 10, ""); names(users) != "bob" || err != nil {
			t.Errorf("Users after a stop = %q, %v, want bob", names(users), err)
		}
	},
	"a row of another record is not shown": func(t *testing.T, w *world) {
		ann := w.monitor("ann", asIs)
		if row, ok, err := w.Summary(t.Context(), ann); !ok || err != nil || row.ID != "id-ann" || row.Condition != ooo.Watching {
			t.Errorf("Summary = %+v, %v, %v, want the row", row, ok, err)
		}
		moved := ann
		moved.Nonce, moved.Person = "moved", ooo.Person{ID: "id-new", DisplayName: "New"}
		w.wants(ann, moved, wishHint(moved))
		page, err := w.Find(t.Context(), ooo.Query{Text: "new", Limit: 1})
		if w.must(err); page.Counts[ooo.FilterPending] != 1 || page.Users[0].Person.ID != "id-new" || page.Users[0].Condition != ooo.Pending {
			t.Errorf("page = %+v, want the new mailbox, pending", page)
		}
		if _, ok, err := w.Summary(t.Context(), moved); ok || err != nil {
			t.Errorf("Summary = %v, %v, want none", ok, err)
		}
	},
	"what is damaged is skipped": func(t *testing.T, w *world) {
		for _, name := range []string{"ann", "bob", "cut", "record", "row"} {
			w.monitor(name, asIs)
		}
		address := func(name string) string { return name + "@contoso.example" }
		row, record := mailbox("row").ID.Partition(), mailbox("record").ID
		wish, err := w.raw.HGet(t.Context(), "om:{om}:wants", address("cut")).Result()
		w.must(err)
		w.damage("wants", address("bob"), "garbage")
		w.damage("wants", address("cut"), wish[:len(wish)-3])
		w.damage("wants", address("other"), wish)
		w.damage(fmt.Sprint("rows:", row), address("row"), "id-row\tgarbage")
		w.damage(fmt.Sprint("records:", record.Partition()), string(record), "1:{")
		reported := map[string]int{}
		s, err := store.Open(store.Config{URL: w.url, OnDamaged: func(kind string) { reported[kind]++ }})
		w.must(err)
		defer s.Close()
		for range 2 {
			page, err := s.Find(t.Context(), ooo.Query{Limit: 10})
			w.must(err)
			if len(page.Users) != 1 || page.Users[0].Person.ID != "id-ann" {
				t.Errorf("Find = %+v, want ann alone", page.Users)
			}
		}
		if want := map[string]int{"wish": 3, "row": 1, "record": 1}; !maps.Equal(reported, want) {
			t.Errorf("reported = %v, want %v", reported, want)
		}
		_, err = w.User(t.Context(), address("record"))
		w.is(err, store.ErrDamaged)
		_, err = w.User(t.Context(), address("bob"))
		w.is(err, store.ErrDamaged)
		_, _, err = w.Summary(t.Context(), ooo.Wish{Address: address("row"), Person: mailbox("row").Person})
		w.is(err, store.ErrDamaged)
	},
}

// TestListsAreReadOnce counts what lists cost Redis however many ask.
func TestListsAreReadOnce(t *testing.T) {
	var pipelines atomic.Int64
	var logged strings.Builder
	server := redistest.Start(t)
	s, err := store.Open(store.Config{
		URL: server.URL(), Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn})),
		// The wishes are read as a whole for this alone.
		Observe: func(command string, _ time.Duration, _ error) {
			if command == "hgetall" {
				pipelines.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := open(t, server.URL(), "")
	w.start("ann")
	w.damage("wants", "bob@contoso.example", "garbage")
	if all, err := s.AllWishes(t.Context()); len(all) != 1 || err != nil || !strings.Contains(logged.String(), "damaged entry") {
		t.Errorf("AllWishes = %+v, %v, want one, and the damaged one in the log: %s", all, err, logged.String())
	}
	pipelines.Store(0)
	began := time.Now()
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			for range 5 {
				if page, err := s.Find(t.Context(), ooo.Query{}); page.Total != 1 || err != nil {
					t.Errorf("Find = %+v, %v, want one user", page, err)
				}
			}
		})
	}
	asking.Wait()
	most := int64(1+time.Since(began)/time.Second) * (1 + ooo.Partitions)
	if got := pipelines.Load(); got == 0 || got > most {
		t.Errorf("hashes read = %d, want at most %d", got, most)
	}
	w.start("zed") // written by another replica
	w.eventually("it is listed", func() bool {
		page, err := s.Find(t.Context(), ooo.Query{})
		return err == nil && page.Total == 2
	})
	if n := strings.Count(logged.String(), "damaged entry"); n != 1 || strings.Contains(logged.String(), "contoso") {
		t.Errorf("log = %s, want the damaged wish once, without its address", logged.String())
	}
}
