package mailbox_test

import (
	"strings"
	"testing"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/store"
)

func TestWritingBackLeavesWhatEndsMeanwhile(t *testing.T) {
	w := monitoring(t)
	id := ooo.RecordID(annID)
	w.update(away)
	w.raw.Del(t.Context(), recordsOf(id))
	var removed func()
	w.store.BeforeSaves(func(store.Save) error {
		w.store.BeforeSaves(nil)
		removed = meanwhile(func() { w.update(func(d *mailbox.Draft) { d.Remove() }) })
		return nil
	})
	w.Restore(t.Context(), id.Partition(), ownertest.Lease)
	removed()
	if record := w.field(recordsOf(id), string(id)); strings.HasPrefix(record, "2:") { // the wish may start a first version
		t.Errorf("the removed record is back in Redis: %s", record)
	}
}

func TestAnOlderWishLeavesNoAddressInTwoRecords(t *testing.T) {
	w := monitoring(t)
	folded := ooo.FoldAddress(ann)
	older := w.field("om:{om}:wants", folded)
	w.update(move)
	w.mailboxOf(bobID, "the address in the other record", monitored)
	w.raw.HSet(t.Context(), "om:{om}:wants", folded, older)
	w.hint(ooo.HintWish)
	w.mailboxOf(annID, "the address in both", monitored)
	w.Restore(t.Context(), ooo.RecordID(bobID).Partition(), ownertest.Lease)
	w.noHints()
	w.eventually("the address in one record", func() bool { _, ok := w.Get(ooo.RecordID(annID)); return !ok })
	w.mailboxOf(bobID, "the address where it moved to", monitored)
}

func TestAnOlderStopEndsNothing(t *testing.T) {
	w := newWorld(t)
	folded := ooo.FoldAddress(ann)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
	first := w.field("om:{om}:wants", folded)
	w.wish(func(n *ooo.Wish) { n.Start = "second" })
	w.mailboxOf(annID, "the second start", func(m *ooo.Mailbox) bool { return m.Addresses[0].Start == "second" })
	w.noHints()
	stop := strings.Replace(first, `"on":true`, `"on":false`, 1)
	w.raw.HSet(t.Context(), "om:{om}:wants", folded, "stop"+stop[strings.Index(stop, ":"):])
	w.hint(ooo.HintWish)
	w.noHints()
	w.Restore(t.Context(), ooo.RecordID(annID).Partition(), ownertest.Lease)
	w.noHints()
	w.mailboxOf(annID, "the second start still", func(m *ooo.Mailbox) bool { return monitored(m) && m.Addresses[0].Start == "second" })
	if wish := w.stored(); !wish.On || wish.Start != "second" {
		t.Errorf("wish = %+v, want the second start", wish)
	}
}

func TestADamagedRecordIsWrittenAgain(t *testing.T) {
	id := ooo.RecordID(annID)
	damage := func(w *world) { w.raw.HSet(w.t.Context(), recordsOf(id), string(id), "9:{") }
	written := func(w *world) {
		w.eventually("the record in Redis", func() bool {
			loaded, err := w.store.Load(w.t.Context(), id.Partition())
			return err == nil && len(loaded.Damaged) == 0 && len(loaded.Records) == 1
		})
	}
	t.Run("by a start that waited when it was loaded", func(t *testing.T) {
		w := newWorld(t, damage, func(w *world) { w.wish(nil) })
		w.mailboxOf(annID, "the record", monitored)
		w.noHints()
		written(w)
	})
	t.Run("by a stop", func(t *testing.T) {
		w := newWorld(t, damage, func(w *world) { w.wish(nil); w.wish(off) })
		w.noHints()
		if n, err := w.raw.HLen(t.Context(), recordsOf(id)).Result(); n != 0 || err != nil {
			t.Errorf("records = %d, %v, want none", n, err)
		}
	})
	t.Run("by a save", func(t *testing.T) {
		w := monitoring(t)
		damage(w)
		w.update(away)
		written(w)
	})
	t.Run("with the other addresses that it had", func(t *testing.T) {
		w := newWorld(t, damage, func(w *world) {
			other := ooo.Wish{Address: "a@contoso.example", On: true, Person: ooo.Person{ID: annID}, Start: "other", Nonce: "other"}
			_, err := w.store.SwapWish(t.Context(), ooo.Wish{}, other, ooo.Hint{ID: "nobody", Kind: ooo.HintRead, Nonce: "n"})
			if err != nil {
				t.Fatal(err)
			}
			w.wish(nil)
		})
		w.mailboxOf(annID, "both addresses", func(m *ooo.Mailbox) bool { return len(m.Addresses) == 2 })
		written(w)
	})
}

func TestAMissingWishEndsNothingWhenRedisCameBackEmpty(t *testing.T) {
	id := ooo.RecordID(annID)
	tests := map[string]func(w *world){
		"a hint waits":                  func(*world) {},
		"and the record is saved first": func(w *world) { w.update(away) },
	}
	for name, first := range tests {
		t.Run(name, func(t *testing.T) {
			w := monitoring(t)
			w.update(away)
			w.noHints()
			w.raw.FlushAll(t.Context())
			w.own(ownertest.Lease)
			first(w)
			read := w.store.wishes.Load()
			w.hint(ooo.HintWish)
			w.eventually("the wish is looked for", func() bool { return w.store.wishes.Load() > read })
			w.Restore(t.Context(), id.Partition(), ownertest.Lease)
			w.noHints()
			w.mailboxOf(annID, "the record still", monitored)
			if wish := w.stored(); !wish.On {
				t.Errorf("wish = %+v, want on", wish)
			}
		})
	}
}

// A save in between would be missing in the number that is written back.
func TestWritingBackCountsEverySave(t *testing.T) {
	w := monitoring(t)
	id := ooo.RecordID(annID)
	var saved func()
	before := func() { saved = meanwhile(func() { w.update(func(d *mailbox.Draft) { d.Reason = "changed" }) }) }
	w.store.setSaves.Store(&before)
	w.Restore(t.Context(), id.Partition(), ownertest.Lease)
	saved()
	saves, _ := w.Saves(id.Partition())
	if got, err := w.raw.HGet(t.Context(), "om:{om}:owners", store.SavesField(id.Partition())).Int64(); got < saves || err != nil {
		t.Errorf("Redis counts %d saves (%v), memory %d", got, err, saves)
	}
}
