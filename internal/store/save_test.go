package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// saved saves a new record and returns its lease.
func (f *fixture) saved(name string) (store.Lease, *ooo.Mailbox) {
	f.t.Helper()
	m := newMailbox(name)
	lease := f.own(m)
	f.must(f.Save(f.t.Context(), store.Save{Lease: lease, Record: m}))
	return lease, m
}

// length returns the number of entries in a history or the feed.
func (f *fixture) length(stream string) int64 {
	f.t.Helper()
	n, err := f.raw.XLen(f.t.Context(), "om:{om}:"+stream).Result()
	f.must(err)
	return n
}

// row returns the row of an address; empty if there is none.
func (f *fixture) row(p int, address string) string {
	f.t.Helper()
	row, err := f.raw.HGet(f.t.Context(), fmt.Sprint("om:{om}:rows:", p), address).Result()
	if err != redis.Nil {
		f.must(err)
	}
	return row
}

func event(m *ooo.Mailbox, kind ooo.EventKind) ooo.FeedEntry {
	return ooo.FeedEntry{Address: m.Addresses[0].Spelling, Name: m.Person.DisplayName, Event: ooo.Event{Kind: kind}}
}

var saveSuite = map[string]func(*testing.T, *fixture){
	"a repeated save writes everything once": func(t *testing.T, f *fixture) {
		m := newMailbox("ann")
		p := m.ID.Partition()
		lease := f.own(m)
		done, again, other := newHint(m, ooo.HintRead, "1"), newHint(m, ooo.HintCheck, "1"), newHint(m, ooo.HintResend, "1")
		f.must(f.LeaveHints(t.Context(), false, done, newHint(m, ooo.HintCheck, "2"), other))
		for _, name := range []string{"ann", "bob"} {
			f.swapWish(ooo.Wish{}, newWish(name, "a"))
		}
		moved := newWish("ann", "b")
		s := store.Save{
			Lease: lease, Record: m, DoneHints: []ooo.Hint{done, again}, NewHints: []ooo.Hint{newHint(m, ooo.HintStray, "9")},
			Events: []ooo.FeedEntry{event(m, ooo.EventStarted), event(m, ooo.EventChanged)},
			Wishes: []store.WishChange{{Old: ooo.Wish{Nonce: "a"}, New: moved}, {Old: newWish("bob", "other")}},
		}
		for range 3 {
			f.must(f.Save(t.Context(), s))
		}
		loaded := f.load(p)
		if len(loaded.Records) != 1 || !reflect.DeepEqual(loaded.Records[0], m) || loaded.Saves != 1 || len(loaded.Damaged) != 0 {
			t.Errorf("loaded %+v, want %+v once", loaded, m)
		}
		hints := f.hints()
		if len(hints) != 4 || hints[ooo.HintCheck].Nonce != "2" || hints[ooo.HintStray].Nonce != "9" || hints[ooo.HintResend].Nonce != "1" {
			t.Errorf("hints = %+v", hints)
		}
		if f.wish("ann@contoso.example") != moved || f.wish("bob@contoso.example") != newWish("bob", "a") {
			t.Errorf("wishes = %+v, %+v", f.wish("ann@contoso.example"), f.wish("bob@contoso.example"))
		}
		if f.length("history:ann@contoso.example") != 2 || f.length("feed") != 2 || f.row(p, "ann@contoso.example") == "" {
			t.Error("the history, the feed or the row is wrong")
		}
	},
	"saves are fenced": func(t *testing.T, f *fixture) {
		lease, m := f.saved("ann")
		second := nextVersion(m)
		f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: second}))
		same := second.Clone()
		same.Reason = "another change"
		ahead, you := nextVersion(nextVersion(second)), store.Lease{Life: "you", Tenure: 1}
		removal := store.Save{Lease: lease, Record: &ooo.Mailbox{ID: sibling(m, "x"), Version: 2}, Remove: true}
		for name, tt := range map[string]struct {
			save store.Save
			want error
		}{
			"another life":                   {store.Save{Lease: you, Record: nextVersion(second)}, ooo.ErrNotOwner},
			"earlier tenure":                 {store.Save{Lease: store.Lease{Life: "me"}, Record: nextVersion(second)}, ooo.ErrNotOwner},
			"no lease":                       {store.Save{Record: nextVersion(second)}, ooo.ErrNotOwner},
			"overwrite by another life":      {store.Save{Lease: you, Record: ahead, Overwrite: true}, ooo.ErrNotOwner},
			"first version again":            {store.Save{Lease: lease, Record: m}, store.ErrVersion},
			"same version, other content":    {store.Save{Lease: lease, Record: same}, store.ErrVersion},
			"skipped version":                {store.Save{Lease: lease, Record: ahead}, store.ErrVersion},
			"removal with a skipped version": {store.Save{Lease: lease, Record: ahead, Remove: true}, store.ErrVersion},
			"overwrite by an older version":  {store.Save{Lease: lease, Record: m, Overwrite: true}, store.ErrVersion},
			"overwrite by the same version":  {store.Save{Lease: lease, Record: same, Overwrite: true}, nil},
			"repetition":                     {store.Save{Lease: lease, Record: second}, nil},
			"missing record":                 {store.Save{Lease: lease, Record: &ooo.Mailbox{ID: sibling(m, "x"), Version: 2}}, store.ErrVersion},
			"removal of a missing record":    {removal, store.ErrVersion},
		} {
			tt.save.Events = []ooo.FeedEntry{event(m, ooo.EventChanged)}
			tt.save.NewHints = []ooo.Hint{newHint(m, ooo.HintRead, "1")}
			err := f.Save(t.Context(), tt.save)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: error = %v, want %v", name, err, tt.want)
			}
			if got := f.stored(m.ID); !reflect.DeepEqual(got, second) || f.length("feed") != 0 || len(f.hints()) != 0 ||
				f.load(m.ID.Partition()).Saves != 2 {
				t.Errorf("%s: something was written: %+v", name, got)
			}
		}
	},
	"a removed address takes its row and history with it": func(t *testing.T, f *fixture) {
		m := newMailbox("ann")
		m.Addresses = append(m.Addresses, ooo.Address{Spelling: "Second@x"}, ooo.Address{Spelling: "Third@x"})
		p, lease := m.ID.Partition(), f.own(m)
		f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: m, Events: []ooo.FeedEntry{
			event(m, ooo.EventStarted), {Address: "Second@x", Event: ooo.Event{Kind: ooo.EventStarted}},
		}}))
		// The row of the third address now belongs to another record in the partition.
		f.must(f.raw.HSet(t.Context(), fmt.Sprint("om:{om}:rows:", p), "third@x", "other\tThird@x").Err())
		m = nextVersion(m)
		m.Addresses = m.Addresses[:1]
		f.must(f.Save(t.Context(), store.Save{
			Lease: lease, Record: m, RemovedAddresses: []string{"SECOND@x", "third@x"}, DeletedHistories: []string{"SECOND@x"},
			Events: []ooo.FeedEntry{{Address: "Second@x", Event: ooo.Event{Kind: ooo.EventStopped}}},
		}))
		if f.row(p, "ann@contoso.example") == "" || f.row(p, "second@x") != "" || f.row(p, "third@x") == "" {
			t.Error("the rows are wrong, want only those of ann and of the other record")
		}
		if f.length("history:second@x") != 0 || f.length("history:ann@contoso.example") != 1 || f.length("feed") != 3 {
			t.Error("the histories or the feed are wrong")
		}
	},
	"a record is removed once, with its rows, wish and hint": func(t *testing.T, f *fixture) {
		lease, m := f.saved("ann")
		fresh := &ooo.Mailbox{ID: sibling(m, "bob"), Version: 1} // removed before it was ever saved
		for _, tt := range []struct {
			record *ooo.Mailbox
			name   string
			saves  int64
		}{{nextVersion(m), "ann", 2}, {fresh, "bob", 3}} {
			wish := newWish(tt.name, "off")
			f.swapWish(ooo.Wish{}, wish)
			remove := store.Save{
				Lease: lease, Record: tt.record, Remove: true, Events: []ooo.FeedEntry{event(m, ooo.EventStopped)},
				DoneHints: []ooo.Hint{hintOf(wish)}, Wishes: []store.WishChange{{Old: wish}},
			}
			f.must(f.Save(t.Context(), remove))
			if tt.record.Version > 1 { // Redis may have lost the record
				f.wantErr(f.Save(t.Context(), remove), store.ErrVersion)
				remove.Overwrite, remove.Events = true, nil
				f.must(f.Save(t.Context(), remove))
			}
			if loaded := f.load(m.ID.Partition()); len(loaded.Records) != 0 || loaded.Saves != tt.saves || f.length("feed") != tt.saves-1 {
				t.Errorf("%s: loaded %+v, want no records", tt.name, loaded)
			}
			if f.row(m.ID.Partition(), "ann@contoso.example") != "" || f.wish(tt.name+"@contoso.example") != (ooo.Wish{}) || len(f.hints()) != 0 {
				t.Errorf("%s: the row, the wish or the hint was not removed", tt.name)
			}
		}
	},
	"an owner restores its copies after a rollback": func(t *testing.T, f *fixture) {
		lease, m := f.saved("ann")
		p := m.ID.Partition()
		key := fmt.Sprint("om:{om}:records:", p)
		older, err := f.raw.HGet(t.Context(), key, string(m.ID)).Result()
		f.must(err)
		m = nextVersion(nextVersion(m))
		// Redis comes back with the first version, with a removed record and with a damaged one.
		removed, bad := &ooo.Mailbox{ID: sibling(m, "removed"), Version: 8, Addresses: []ooo.Address{{Spelling: "Old@x"}}}, sibling(m, "bad")
		f.must(f.raw.HSet(t.Context(), key, string(m.ID), older, string(bad), "9:x",
			string(removed.ID), fmt.Sprintf(`7:{"id":%q,"addresses":[{"spelling":"Old@x"}]}`, removed.ID)).Err())
		f.must(f.raw.HSet(t.Context(), fmt.Sprint("om:{om}:rows:", p), "old@x", string(removed.ID)+"\tOld@x").Err())
		f.wantErr(f.Save(t.Context(), store.Save{Lease: lease, Record: nextVersion(m)}), store.ErrVersion)
		f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: m, Overwrite: true}))
		f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: m, Overwrite: true}))
		f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: removed, Remove: true}))
		f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: &ooo.Mailbox{ID: bad, Version: 1 << 52}, Remove: true, Overwrite: true}))
		f.must(f.SetSaves(t.Context(), lease, p, 40))
		f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: nextVersion(m)}))
		loaded := f.load(p)
		if len(loaded.Records) != 1 || !reflect.DeepEqual(loaded.Records[0], nextVersion(m)) || len(loaded.Damaged) != 0 || loaded.Saves != 41 ||
			f.row(p, "old@x") != "" {
			t.Errorf("loaded %+v, want only %+v with 41 saves, and no row of the removed record", loaded, nextVersion(m))
		}
	},
	"an empty Redis accepts overwrites and removals": func(t *testing.T, f *fixture) {
		lease, m := f.saved("ann")
		m = nextVersion(m)
		f.flush()
		f.wantErr(f.Save(t.Context(), store.Save{Lease: lease, Record: m}), ooo.ErrNotOwner)
		f.own(m)
		f.wantErr(f.Save(t.Context(), store.Save{Lease: lease, Record: m}), store.ErrVersion)
		f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: m, Overwrite: true}))
		f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: nextVersion(nextVersion(m)), Remove: true, Overwrite: true}))
		if got := f.stored(m.ID); got != nil {
			t.Errorf("stored %+v, want none", got)
		}
	},
	"a damaged record hides no other": func(t *testing.T, f *fixture) {
		lease, m := f.saved("ann")
		p := m.ID.Partition()
		for i, bad := range []string{"", "x", "1:{", `x:{"id":"bad3"}`, `1:{"id":"other"}`} {
			f.damage(fmt.Sprint("records:", p), fmt.Sprint("bad", i), bad)
		}
		loaded := f.load(p)
		if len(loaded.Records) != 1 || len(loaded.Damaged) != 5 {
			t.Fatalf("loaded %+v, want one record and five damaged", loaded)
		}
		for _, err := range loaded.Damaged {
			f.wantErr(err, store.ErrDamaged)
		}
		id := ooo.RecordID("bad")
		f.damage(fmt.Sprint("records:", id.Partition()), string(id), "1:{")
		_, err := f.LoadRecord(t.Context(), id)
		f.wantErr(err, store.ErrDamaged)
		f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: nextVersion(m)}))
	},
	"histories and the feed are capped": func(t *testing.T, f *fixture) {
		lease, m := f.saved("ann")
		var events []ooo.FeedEntry
		for range 100 {
			events = append(events, event(m, ooo.EventFailed))
		}
		for range 35 {
			m = nextVersion(m)
			f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: m, Events: events}))
		}
		if n := f.length("history:ann@contoso.example"); n < 200 || n > 400 {
			t.Errorf("the history has %d entries, want about 200", n)
		}
		if n := f.length("feed"); n < 3000 || n > 3200 {
			t.Errorf("the feed has %d entries, want about 3000", n)
		}
	},
}
