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

// saved creates a record with all that a save may do, and saves a change of it.
func (w *world) saved(name string) (store.Lease, *ooo.Mailbox) {
	w.t.Helper()
	m := mailbox(name)
	lease := w.own(m)
	w.must(w.Save(w.t.Context(), store.Save{Lease: lease, Record: m}))
	return lease, m
}

// length is how many entries a history or the feed has.
func (w *world) length(stream string) int64 {
	w.t.Helper()
	n, err := w.raw.XLen(w.t.Context(), "om:{om}:"+stream).Result()
	w.must(err)
	return n
}

// row is the row of an address; empty if there is none.
func (w *world) row(p int, address string) string {
	w.t.Helper()
	row, err := w.raw.HGet(w.t.Context(), fmt.Sprint("om:{om}:rows:", p), address).Result()
	if err != redis.Nil {
		w.must(err)
	}
	return row
}

func event(m *ooo.Mailbox, kind ooo.EventKind) ooo.FeedEntry {
	return ooo.FeedEntry{Address: m.Addresses[0].Spelling, Name: m.Person.DisplayName, Event: ooo.Event{Kind: kind}}
}

var saveSuite = map[string]func(*testing.T, *world){
	"a save writes everything once, however often it is repeated": func(t *testing.T, w *world) {
		m := mailbox("ann")
		p := m.ID.Partition()
		lease := w.own(m)
		done, again, other := hint(m, ooo.HintRead, "1"), hint(m, ooo.HintCheck, "1"), hint(m, ooo.HintResend, "1")
		w.must(w.LeaveHints(t.Context(), false, done, hint(m, ooo.HintCheck, "2"), other))
		for _, name := range []string{"ann", "bob"} {
			w.wants(ooo.Wish{}, on(name, "a"), other)
		}
		moved := on("ann", "b")
		s := store.Save{
			Lease: lease, Record: m, DoneHints: []ooo.Hint{done, again}, NewHints: []ooo.Hint{hint(m, ooo.HintStray, "9")},
			Events: []ooo.FeedEntry{event(m, ooo.EventStarted), event(m, ooo.EventChanged)},
			Wishes: []store.WishSwap{{Address: "ANN@contoso.example", Nonce: "a", New: &moved}, {Address: "bob@contoso.example", Nonce: "other"}},
		}
		for range 3 {
			w.must(w.Save(t.Context(), s))
		}
		loaded := w.load(p)
		if len(loaded.Records) != 1 || !reflect.DeepEqual(loaded.Records[0], m) || loaded.Saves != 1 || len(loaded.Damaged) != 0 {
			t.Errorf("loaded %+v, want %+v once", loaded, m)
		}
		hints := w.hints()
		if len(hints) != 3 || hints[ooo.HintCheck].Nonce != "2" || hints[ooo.HintStray].Nonce != "9" || hints[ooo.HintResend].Nonce != "1" {
			t.Errorf("hints = %+v", hints)
		}
		if w.wish("ann@contoso.example") != moved || w.wish("bob@contoso.example") != on("bob", "a") {
			t.Errorf("wishes = %+v, %+v", w.wish("ann@contoso.example"), w.wish("bob@contoso.example"))
		}
		if w.length("history:ann@contoso.example") != 2 || w.length("feed") != 2 || w.row(p, "ann@contoso.example") == "" {
			t.Error("history, feed or row is not what it was to be")
		}
	},
	"the fence": func(t *testing.T, w *world) {
		lease, m := w.saved("ann")
		second := next(m)
		w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: second}))
		same := second.Clone()
		same.Reason = "another change"
		ahead := next(next(second))
		tests := map[string]struct {
			save store.Save
			want error
		}{
			"of another life":            {store.Save{Lease: store.Lease{Life: "you", Tenure: 1}, Record: next(second)}, ooo.ErrNotOwner},
			"of an earlier tenure":       {store.Save{Lease: store.Lease{Life: "me"}, Record: next(second)}, ooo.ErrNotOwner},
			"of no lease":                {store.Save{Record: next(second)}, ooo.ErrNotOwner},
			"an overwrite of another":    {store.Save{Lease: store.Lease{Life: "you", Tenure: 1}, Record: ahead, Overwrite: true}, ooo.ErrNotOwner},
			"the first version again":    {store.Save{Lease: lease, Record: m}, store.ErrVersion},
			"the same version otherwise": {store.Save{Lease: lease, Record: same}, store.ErrVersion},
			"a version left out":         {store.Save{Lease: lease, Record: ahead}, store.ErrVersion},
			"a removal, left out":        {store.Save{Lease: lease, Record: ahead, Remove: true}, store.ErrVersion},
			"an overwrite by an older":   {store.Save{Lease: lease, Record: m, Overwrite: true}, store.ErrVersion},
			"an overwrite by its like":   {store.Save{Lease: lease, Record: same, Overwrite: true}, nil},
			"the second again":           {store.Save{Lease: lease, Record: second}, nil},
			"one that is missing":        {store.Save{Lease: lease, Record: &ooo.Mailbox{ID: sibling(m, "x"), Version: 2}}, store.ErrVersion},
			"a removal of what is gone":  {store.Save{Lease: lease, Record: &ooo.Mailbox{ID: sibling(m, "x"), Version: 2}, Remove: true}, nil},
		}
		for name, tt := range tests {
			tt.save.Events = []ooo.FeedEntry{event(m, ooo.EventChanged)}
			tt.save.NewHints = []ooo.Hint{hint(m, ooo.HintRead, "1")}
			err := w.Save(t.Context(), tt.save)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: error = %v, want %v", name, err, tt.want)
			}
			if got := w.stored(m.ID); !reflect.DeepEqual(got, second) || w.length("feed") != 0 || len(w.hints()) != 0 || w.load(m.ID.Partition()).Saves != 2 {
				t.Errorf("%s: something was written: %+v", name, got)
			}
		}
	},
	"an address leaves with its row and history": func(t *testing.T, w *world) {
		m := mailbox("ann")
		m.Addresses = append(m.Addresses, ooo.Address{Spelling: "Second@x"}, ooo.Address{Spelling: "Third@x"})
		p, lease := m.ID.Partition(), w.own(m)
		w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: m, Events: []ooo.FeedEntry{
			event(m, ooo.EventStarted), {Address: "Second@x", Event: ooo.Event{Kind: ooo.EventStarted}},
		}}))
		// Meanwhile the third is of another record in the same partition.
		w.must(w.raw.HSet(t.Context(), fmt.Sprint("om:{om}:rows:", p), "third@x", "other\tThird@x").Err())
		m = next(m)
		m.Addresses = m.Addresses[:1]
		w.must(w.Save(t.Context(), store.Save{
			Lease: lease, Record: m, RemovedAddresses: []string{"SECOND@x", "third@x"}, DeletedHistories: []string{"SECOND@x"},
			Events: []ooo.FeedEntry{{Address: "Second@x", Event: ooo.Event{Kind: ooo.EventStopped}}},
		}))
		if w.row(p, "ann@contoso.example") == "" || w.row(p, "second@x") != "" || w.row(p, "third@x") == "" {
			t.Error("rows are not those of who stays")
		}
		if w.length("history:second@x") != 0 || w.length("history:ann@contoso.example") != 1 || w.length("feed") != 3 {
			t.Error("the history stays, or the feed does not")
		}
	},
	"a record is removed once, with its rows, wish and hint": func(t *testing.T, w *world) {
		lease, m := w.saved("ann")
		fresh := &ooo.Mailbox{ID: sibling(m, "bob"), Version: 1} // a wish that had no record
		for _, tt := range []struct {
			record *ooo.Mailbox
			name   string
			saves  int64
		}{{next(m), "ann", 2}, {fresh, "bob", 3}} {
			h := hint(tt.record, ooo.HintWish, "1")
			w.wants(ooo.Wish{}, on(tt.name, "off"), h)
			remove := store.Save{
				Lease: lease, Record: tt.record, Remove: true, Events: []ooo.FeedEntry{event(m, ooo.EventStopped)},
				DoneHints: []ooo.Hint{h}, Wishes: []store.WishSwap{{Address: tt.name + "@contoso.example", Nonce: "off"}},
			}
			w.must(w.Save(t.Context(), remove))
			if tt.record.Version > 1 { // nothing tells a repetition of a first version
				w.must(w.Save(t.Context(), remove))
			}
			if loaded := w.load(m.ID.Partition()); len(loaded.Records) != 0 || loaded.Saves != tt.saves || w.length("feed") != tt.saves-1 {
				t.Errorf("%s: left: %+v", tt.name, loaded)
			}
			if w.row(m.ID.Partition(), "ann@contoso.example") != "" || w.wish(tt.name+"@contoso.example") != (ooo.Wish{}) || len(w.hints()) != 0 {
				t.Errorf("%s: the row, the wish or its hint is left", tt.name)
			}
		}
	},
	"memory is written back after a rollback": func(t *testing.T, w *world) {
		lease, m := w.saved("ann")
		p := m.ID.Partition()
		key := fmt.Sprint("om:{om}:records:", p)
		older, err := w.raw.HGet(t.Context(), key, string(m.ID)).Result()
		w.must(err)
		m = next(next(m))
		// Redis comes back with the first version, and with a record that was removed.
		gone, bad := &ooo.Mailbox{ID: sibling(m, "gone"), Version: 8, Addresses: []ooo.Address{{Spelling: "Gone@x"}}}, sibling(m, "bad")
		w.must(w.raw.HSet(t.Context(), key, string(m.ID), older, string(bad), "9:x",
			string(gone.ID), fmt.Sprintf(`7:{"id":%q,"addresses":[{"spelling":"Gone@x"}]}`, gone.ID)).Err())
		w.must(w.raw.HSet(t.Context(), fmt.Sprint("om:{om}:rows:", p), "gone@x", string(gone.ID)+"\tGone@x").Err())
		w.is(w.Save(t.Context(), store.Save{Lease: lease, Record: next(m)}), store.ErrVersion)
		w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: m, Overwrite: true}))
		w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: m, Overwrite: true}))
		w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: gone, Remove: true}))
		w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: &ooo.Mailbox{ID: bad, Version: 1 << 52}, Remove: true, Overwrite: true}))
		w.must(w.SetSaves(t.Context(), lease, p, 40))
		w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: next(m)}))
		loaded := w.load(p)
		if len(loaded.Records) != 1 || !reflect.DeepEqual(loaded.Records[0], next(m)) || len(loaded.Damaged) != 0 || loaded.Saves != 41 || w.row(p, "gone@x") != "" {
			t.Errorf("loaded %+v", loaded)
		}
	},
	"an emptied Redis takes what is overwritten, a removal too": func(t *testing.T, w *world) {
		lease, m := w.saved("ann")
		m = next(m)
		w.flush()
		w.is(w.Save(t.Context(), store.Save{Lease: lease, Record: m}), ooo.ErrNotOwner)
		w.own(m)
		w.is(w.Save(t.Context(), store.Save{Lease: lease, Record: m}), store.ErrVersion)
		w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: m, Overwrite: true}))
		w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: next(next(m)), Remove: true, Overwrite: true}))
		if got := w.stored(m.ID); got != nil {
			t.Errorf("stored %+v, want none", got)
		}
	},
	"a damaged record is reported and hides no other": func(t *testing.T, w *world) {
		lease, m := w.saved("ann")
		p := m.ID.Partition()
		for i, bad := range []string{"", "x", "1:{", `x:{"id":"bad3"}`, `1:{"id":"other"}`} {
			w.must(w.raw.HSet(t.Context(), fmt.Sprint("om:{om}:records:", p), fmt.Sprint("bad", i), bad).Err())
		}
		loaded := w.load(p)
		if len(loaded.Records) != 1 || len(loaded.Damaged) != 5 {
			t.Fatalf("loaded %+v, want one record and five damaged", loaded)
		}
		for _, err := range loaded.Damaged {
			w.is(err, store.ErrDamaged)
		}
		w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: next(m)}))
	},
	"histories and the feed are capped": func(t *testing.T, w *world) {
		lease, m := w.saved("ann")
		var events []ooo.FeedEntry
		for range 100 {
			events = append(events, event(m, ooo.EventFailed))
		}
		for range 35 {
			m = next(m)
			w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: m, Events: events}))
		}
		if n := w.length("history:ann@contoso.example"); n < 200 || n > 400 {
			t.Errorf("the history has %d entries, want about 200", n)
		}
		if n := w.length("feed"); n < 3000 || n > 3200 {
			t.Errorf("the feed has %d entries, want about 3000", n)
		}
	},
}
