package mailbox_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

func TestWritingBackLeavesWhatEndsMeanwhile(t *testing.T) {
	w := newWorld(t)
	id := ooo.RecordID(annID)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
	away(w, annID)
	w.raw.Del(t.Context(), recordsOf(id))
	removed := make(chan error, 1)
	fault := func(ctx context.Context, s store.Save) error {
		w.store.save.Store(nil)
		go func() {
			_, err := w.Update(context.Background(), id, func(d *mailbox.Draft) error { d.Remove(); return nil })
			removed <- err
		}()
		select {
		case err := <-removed:
			removed <- err
		case <-time.After(100 * time.Millisecond): // it waits for the record to be written back
		}
		return w.store.Store.Save(ctx, s)
	}
	w.store.save.Store(&fault)
	w.Restore(t.Context(), id.Partition(), lease)
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if there, err := w.raw.HExists(t.Context(), recordsOf(id), string(id)).Result(); there || err != nil {
		t.Errorf("the removed record is back in Redis: %t, %v", there, err)
	}
}

func TestAnOlderWishLeavesNoAddressInTwoRecords(t *testing.T) {
	w := newWorld(t)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
	folded := ooo.FoldAddress(ann)
	older, err := w.raw.HGet(t.Context(), "om:{om}:wants", folded).Result()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Update(t.Context(), ooo.RecordID(annID), func(d *mailbox.Draft) error {
		d.MoveAddresses(ooo.Person{ID: bobID})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.mailboxOf(bobID, "the address in the other record", monitored)
	w.raw.HSet(t.Context(), "om:{om}:wants", folded, older)
	if err := w.Leave(t.Context(), ooo.Hint{ID: ooo.RecordID(annID), Kind: ooo.HintWish, Subject: folded}); err != nil {
		t.Fatal(err)
	}
	w.mailboxOf(annID, "the address in both", monitored)
	w.Restore(t.Context(), ooo.RecordID(bobID).Partition(), lease)
	w.noHints()
	w.eventually("the address in one record", func() bool { _, ok := w.Get(ooo.RecordID(annID)); return !ok })
	w.mailboxOf(bobID, "the address where it moved to", monitored)
}

func TestAnOlderStopEndsNothing(t *testing.T) {
	w := newWorld(t)
	folded := ooo.FoldAddress(ann)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
	first, err := w.raw.HGet(t.Context(), "om:{om}:wants", folded).Result()
	if err != nil {
		t.Fatal(err)
	}
	w.wish(func(n *ooo.Wish) { n.Start = "second" })
	w.mailboxOf(annID, "the second start", func(m *ooo.Mailbox) bool { return m.Addresses[0].Start == "second" })
	w.noHints()
	stop := strings.Replace(first, `"on":true`, `"on":false`, 1)
	w.raw.HSet(t.Context(), "om:{om}:wants", folded, "stop"+stop[strings.Index(stop, ":"):])
	if err := w.Leave(t.Context(), ooo.Hint{ID: ooo.RecordID(annID), Kind: ooo.HintWish, Subject: folded}); err != nil {
		t.Fatal(err)
	}
	w.noHints()
	w.Restore(t.Context(), ooo.RecordID(annID).Partition(), lease)
	w.noHints()
	w.mailboxOf(annID, "the second start still", func(m *ooo.Mailbox) bool { return monitored(m) && m.Addresses[0].Start == "second" })
	if wish, err := w.store.Wish(t.Context(), ann); err != nil || !wish.On || wish.Start != "second" {
		t.Errorf("wish = %+v, %v, want the second start", wish, err)
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
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		damage(w)
		away(w, annID)
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
		"and the record is saved first": func(w *world) { away(w, annID) },
	}
	for name, first := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.wish(nil)
			w.mailboxOf(annID, "the record", monitored)
			away(w, annID)
			w.noHints()
			w.raw.FlushAll(t.Context())
			w.own(lease)
			first(w)
			read := w.store.wishes.Load()
			if err := w.Leave(t.Context(), ooo.Hint{ID: id, Kind: ooo.HintWish, Subject: ooo.FoldAddress(ann)}); err != nil {
				t.Fatal(err)
			}
			w.eventually("the wish is looked for", func() bool { return w.store.wishes.Load() > read })
			w.Restore(t.Context(), id.Partition(), lease)
			w.noHints()
			w.mailboxOf(annID, "the record still", monitored)
			if wish, err := w.store.Wish(t.Context(), ann); err != nil || !wish.On {
				t.Errorf("wish = %+v, %v, want on", wish, err)
			}
		})
	}
}

// A save in between would be missing in the number that is written back.
func TestWritingBackCountsEverySave(t *testing.T) {
	w := newWorld(t)
	id := ooo.RecordID(annID)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
	ended := make(chan error, 1)
	before := func() {
		go func() {
			_, err := w.Update(context.Background(), id, func(d *mailbox.Draft) error { d.Reason = "changed"; return nil })
			ended <- err
		}()
		select {
		case err := <-ended:
			ended <- err
		case <-time.After(100 * time.Millisecond): // it waits until the number is written
		}
	}
	w.store.setSaves.Store(&before)
	w.Restore(t.Context(), id.Partition(), lease)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	saves, _ := w.Saves(id.Partition())
	if got, err := w.raw.HGet(t.Context(), "om:{om}:owners", store.SavesField(id.Partition())).Int64(); got < saves || err != nil {
		t.Errorf("Redis counts %d saves (%v), memory %d", got, err, saves)
	}
}
