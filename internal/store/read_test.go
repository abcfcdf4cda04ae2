package store_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// feed returns the names and kinds of feed entries.
func feed(entries []ooo.FeedEntry) string {
	var all []string
	for _, n := range entries {
		name, _, _ := strings.Cut(n.Address, "@")
		all = append(all, name+" "+string(n.Kind))
	}
	return strings.Join(all, ", ")
}

var readSuite = map[string]func(*testing.T, *fixture){
	"a user combines the wish and the record": func(t *testing.T, f *fixture) {
		user := func(address string) ooo.User {
			t.Helper()
			u, err := f.User(t.Context(), address)
			f.must(err)
			return u
		}
		_, err := f.User(t.Context(), "ann@contoso.example")
		f.wantErr(err, ooo.ErrNotMonitored)
		ann := f.start("ann")
		pending := ooo.PendingUser(ann.Address, ann.Person)
		if got := user("ANN@contoso.example"); !reflect.DeepEqual(got, pending) {
			t.Errorf("user = %+v, want %+v", got, pending)
		}
		m := newMailbox("ann")
		m.Addresses = append(m.Addresses, ooo.Address{Spelling: "alias@contoso.example"})
		f.must(f.Save(t.Context(), store.Save{Lease: f.own(m), Record: m}))
		spelled := ann
		spelled.Address, spelled.Nonce = "Ann@contoso.example", "spelled"
		f.swapWish(ann, spelled)
		if got := user("ann@contoso.example"); got.Spelling != spelled.Address || got.Condition != ooo.Watching ||
			len(got.Addresses) != 2 || got.State == nil || !got.State.Away {
			t.Errorf("user = %+v, want the record with the newest spelling", got)
		}
		other := newWish("other", "o")
		other.Person = ann.Person
		f.swapWish(ooo.Wish{}, other) // the owner has not added the address yet
		if got := user("other@contoso.example"); got.Condition != ooo.Pending {
			t.Errorf("user = %+v, want it pending", got)
		}
		f.stop(spelled)
		_, err = f.User(t.Context(), "ann@contoso.example")
		f.wantErr(err, ooo.ErrNotMonitored)
	},
	"CheckedAt is the later of record and reads": func(t *testing.T, f *fixture) {
		saved := time.UnixMilli(10_000).UTC()
		f.monitor("ann", func(m *ooo.Mailbox, _ *ooo.Address) { m.CheckedAt = saved })
		f.monitor("new", unchanged)
		p, later := newMailbox("ann").ID.Partition(), saved.Add(time.Minute)
		for _, step := range []struct {
			name  string
			reads store.Reads
			want  time.Time
		}{
			{"newer reads", store.Reads{At: later}, later},
			{"older reads", store.Reads{At: saved.Add(-time.Minute)}, saved},
			{"exception", store.Reads{At: later, Except: map[ooo.RecordID]time.Time{"id-ann": saved.Add(time.Second)}}, saved.Add(time.Second)},
			{"other exception", store.Reads{At: later, Except: map[ooo.RecordID]time.Time{"id-bob": {}}}, later},
		} {
			f.must(f.PutReads(t.Context(), map[int]store.Reads{p: step.reads, newMailbox("new").ID.Partition(): step.reads}))
			for name, want := range map[string]time.Time{"ann": step.want, "new": {}} {
				u, err := f.User(t.Context(), name+"@contoso.example")
				if f.must(err); !u.CheckedAt.Equal(want) {
					t.Errorf("%s: CheckedAt of %s = %v, want %v", step.name, name, u.CheckedAt, want)
				}
			}
		}
		f.damage("reads", fmt.Sprint(p), "{")
		if u, err := f.User(t.Context(), "ann@contoso.example"); err != nil || !u.CheckedAt.Equal(saved) {
			t.Errorf("CheckedAt = %v, %v, want that of the record", u.CheckedAt, err)
		}
	},
	"histories are returned newest first": func(t *testing.T, f *fixture) {
		_, err := f.History(t.Context(), "ann@contoso.example", 10)
		f.wantErr(err, ooo.ErrNotMonitored)
		f.monitor("ann", unchanged)
		m := nextVersion(newMailbox("ann"))
		away := event(m, ooo.EventChanged)
		away.Away, away.Sequence = new(true), 3
		f.must(f.Save(t.Context(), store.Save{Lease: f.own(m), Record: m, Events: []ooo.FeedEntry{away, event(m, ooo.EventDelivered)}}))
		events, err := f.History(t.Context(), "ANN@contoso.example", 2)
		if f.must(err); len(events) != 2 || events[0].Kind != ooo.EventDelivered || !reflect.DeepEqual(events[1], away.Event) {
			t.Errorf("History = %+v, want the newest two", events)
		}
	},
	"the feed is read from a position, in order": func(t *testing.T, f *fixture) {
		read := func(from, want string) (position string) {
			t.Helper()
			got, position, err := f.FeedAfter(t.Context(), from)
			if f.must(err); feed(got) != want || position == "" {
				t.Errorf("FeedAfter(%q) = %q at %q, want %q", from, feed(got), position, want)
			}
			return position
		}
		start := read("", "")
		f.monitor("ann", unchanged)
		f.monitor("bob", unchanged)
		position := read(start, "ann started, bob started")
		read(position, "")
		for _, unknown := range []string{"", "1-2-3", "x", "-", "01-1"} {
			if got := read(unknown, ""); got != position {
				t.Errorf("position for %q = %q, want the current one", unknown, got)
			}
		}
		got, at, err := f.RecentFeed(t.Context(), 1)
		if f.must(err); feed(got) != "bob started" || got[0].Name == "" || at != position {
			t.Errorf("RecentFeed(1) = %+v at %q, want the newest at %q", got, at, position)
		}
		f.monitor("chris", unchanged)
		read(position, "chris started")
		if got, _, err := f.RecentFeed(t.Context(), 10); feed(got) != "ann started, bob started, chris started" || err != nil {
			t.Errorf("RecentFeed(10) = %q, %v, want all three", feed(got), err)
		}
	},
	"damaged entries are reported once, without addresses, hide no others, and can be replaced": func(t *testing.T, f *fixture) {
		ann, record, row := f.monitor("ann", unchanged), f.monitor("record", unchanged), f.monitor("row", unchanged)
		f.damage(fmt.Sprint("records:", record.Record().Partition()), string(record.Record()), "1:{")
		f.damage(fmt.Sprint("rows:", row.Record().Partition()), "row@contoso.example", "id-row\tgarbage")
		for i, bad := range []string{"", "x", "1:{", ":{}", "1:[]"} {
			f.damage("hints", fmt.Sprintf("wish\tid\tsecret%d@x", i), bad)
		}
		f.damage("hints", "secret@x", "1:{}")
		addresses := []string{ann.Address}
		for i, bad := range []string{"", "x", "n:{", ":{}", `n:{"address":"other@x"}`} {
			address := fmt.Sprintf("secret%d@contoso.example", i)
			f.damage("wants", address, bad)
			addresses = append(addresses, address)
		}
		for range 2 {
			hints, err := f.Hints(t.Context())
			f.must(err)
			wishes, err := f.AllWishes(t.Context())
			f.must(err)
			if found := f.found(ooo.Query{}); len(hints) != 3 || len(wishes) != 3 || found != "ann record" {
				t.Errorf("%d hints and %d wishes, and %q are found, want three each, and ann and the damaged record", len(hints), len(wishes), found)
			}
		}
		if want := map[string]int{"hint": 6, "wish": 5, "record": 1, "row": 1}; !maps.Equal(f.reported, want) {
			t.Errorf("reported = %v, want %v", f.reported, want)
		}
		if text := f.log.String(); strings.Contains(text, "secret") || strings.Count(text, "damaged entry") != 13 {
			t.Errorf("log = %s, want 13 entries without addresses", text)
		}
		user, err := f.User(t.Context(), record.Address)
		if f.must(err); user.Condition != ooo.Unknown || user.Reason == "" || user.Person != record.Person {
			t.Errorf("user with a damaged record = %+v, want it unknown with a reason", user)
		}
		for _, damaged := range []ooo.Wish{record, row} {
			_, _, err = f.Summary(t.Context(), damaged)
			f.wantErr(err, store.ErrDamaged)
		}
		wishes, err := f.Wishes(t.Context(), addresses...)
		if f.must(err); wishes[0] != ann {
			t.Errorf("Wishes = %+v, want that of ann first", wishes)
		}
		for i, address := range addresses[1:] {
			_, err := f.User(t.Context(), address)
			f.wantErr(err, store.ErrDamaged)
			bad, err := f.Wish(t.Context(), address)
			f.wantErr(err, store.ErrDamaged)
			if bad != wishes[i+1] || strings.Contains(err.Error(), "contoso") {
				t.Errorf("Wish = %+v, %v, want %+v and an error without the address", bad, err, wishes[i+1])
			}
			next := newWish(fmt.Sprint("secret", i), "2")
			f.swapWish(bad, next)
		}
	},
	"an error is not hidden by a missing record before it": func(t *testing.T, f *fixture) {
		f.start("ann") // has no record yet
		bob := f.monitor("bob", unchanged)
		records := fmt.Sprint("om:{om}:records:", bob.Record().Partition())
		f.must(f.raw.Del(t.Context(), records).Err())
		f.must(f.raw.Set(t.Context(), records, "not a hash", 0).Err())
		if users, _, err := f.Users(t.Context(), 10, ""); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
			t.Errorf("Users = %s, %v, want the error of the second record", names(users), err)
		}
	},
	"damaged entries are reported by whatever finds them": func(t *testing.T, f *fixture) {
		row := f.monitor("row", unchanged)
		f.damage(fmt.Sprint("rows:", row.Record().Partition()), "row@contoso.example", "id-row\tgarbage")
		f.damage("wants", "ann@contoso.example", "x")
		_, err := f.Wishes(t.Context(), "ann@contoso.example")
		f.must(err)
		_, _, err = f.Summary(t.Context(), row)
		f.wantErr(err, store.ErrDamaged)
		if want := map[string]int{"wish": 1, "row": 1}; !maps.Equal(f.reported, want) {
			t.Errorf("reported = %v, want %v", f.reported, want)
		}
	},
	"reports of replicas": func(t *testing.T, f *fixture) {
		reports := func(age time.Duration, want string) (got []ooo.Replica) {
			t.Helper()
			got, now, err := f.Reports(t.Context(), age)
			f.must(err)
			var ids []string
			for _, r := range got {
				if now.Before(r.SeenAt) || now.Sub(r.SeenAt) > age {
					t.Errorf("%s was seen at %v, want at most %v before %v", r.ID, r.SeenAt, age, now)
				}
				ids = append(ids, r.ID)
			}
			if all := strings.Join(ids, " "); all != want {
				t.Errorf("Reports = %q, want %q", all, want)
			}
			return got
		}
		reports(time.Hour, "")
		old := fmt.Sprint(time.Now().Add(-time.Minute).UnixMilli(), "-1")
		f.must(f.raw.Do(t.Context(), "XADD", "om:{om}:loads", old, "r", `{"id":"dead"}`).Err())
		f.must(f.raw.Do(t.Context(), "XADD", "om:{om}:loads", "*", "r", "{").Err())
		want := ooo.Replica{
			ID: "one", Host: "host", Version: "v1", Since: time.UnixMilli(1000).UTC(),
			Load: ooo.Load{Span: 10 * time.Second, Reads: 50, Late: time.Second, Throttled: 2, Delivered: map[int]int{3: 4}},
		}
		f.must(f.ReportLoad(t.Context(), ooo.Replica{ID: "two"}))
		f.must(f.ReportLoad(t.Context(), want))
		f.must(f.raw.Do(t.Context(), "XADD", "om:{om}:loads", "*", "l", "two").Err()) // by an older version: two stopped
		f.must(f.ReportLoad(t.Context(), ooo.Replica{ID: "two"}))
		reports(time.Hour, "dead two one two")
		got := reports(30*time.Second, "two one two")[1]
		if got.SeenAt = (time.Time{}); !reflect.DeepEqual(got, want) {
			t.Errorf("Reports = %+v, want %+v", got, want)
		}
		if f.reported["load"] != 1 {
			t.Errorf("%d entries are reported as damaged, want one", f.reported["load"])
		}
	},
	"locks are exclusive until they are unlocked or expire": func(t *testing.T, f *fixture) {
		lock := func(want error) (unlock func(context.Context) error) {
			t.Helper()
			unlock, err := f.Lock(t.Context(), "sync", time.Minute)
			f.wantErr(err, want)
			return unlock
		}
		unlock := lock(nil)
		lock(store.ErrLocked)
		f.must(unlock(t.Context()))
		lost := lock(nil)
		f.must(f.raw.Del(t.Context(), "om:{om}:lock:sync").Err())
		f.must(lost(t.Context())) // already deleted
		unlock = lock(nil)
		f.must(lost(t.Context())) // held by another
		lock(store.ErrLocked)
		f.must(unlock(t.Context()))
		_, err := f.Lock(t.Context(), "short", time.Millisecond)
		f.must(err)
		if !strings.Contains(t.Name(), "Embedded") { // there nothing expires
			await.True(t, "it has expired", func() bool {
				_, err := f.Lock(t.Context(), "short", time.Minute)
				return err == nil
			})
		}
	},
	"secrets are stored once": func(t *testing.T, f *fixture) {
		for _, fresh := range []string{"a", "other"} {
			if got, err := f.Secret(t.Context(), "state", fresh); got != "a" || err != nil {
				t.Errorf("Secret = %q, %v, want a", got, err)
			}
		}
	},
	"storages keep the last data until it is deleted": func(t *testing.T, f *fixture) {
		st, data := f.Storage("acme"), []byte("-----BEGIN\x00\xff\r\n")
		get := func(st store.Storage, name string, want []byte) {
			t.Helper()
			if got, err := st.Get(t.Context(), name); !bytes.Equal(got, want) || (got == nil) != (want == nil) || err != nil {
				t.Errorf("Get(%s) = %#v, %v, want %#v", name, got, err, want)
			}
		}
		get(st, "a", nil)
		f.must(st.Put(t.Context(), "a", []byte("old and long")))
		f.must(st.Put(t.Context(), "a", data))
		f.must(st.Put(t.Context(), "b", nil))
		get(open(t, f.url).Storage("acme"), "a", data)
		get(f.Storage("other"), "a", nil)
		for range 2 {
			f.must(st.Delete(t.Context(), "a"))
		}
		get(st, "a", nil)
		get(st, "b", []byte{})
	},
}
