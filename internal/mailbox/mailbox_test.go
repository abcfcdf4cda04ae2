package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

func TestWishes(t *testing.T) {
	t.Run("a start makes a record, and what was asked before it was owned counts", func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.wish(nil) })
		m := w.mailboxOf(annID, "the record", monitored)
		if a := m.Addresses[0]; m.Condition != ooo.Pending || a.Spelling != ann || m.Person.DisplayName != "Ann" {
			t.Errorf("record = %+v, want Ann, pending", m)
		}
		w.noHints()
		if got := w.kinds(); !slices.Equal(got, []ooo.EventKind{ooo.EventStarted}) {
			t.Errorf("history = %v, want started", got)
		}
	})
	t.Run("a stop removes record, wish and history", func(t *testing.T) {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		w.wish(off)
		w.eventually("the end", func() bool { _, ok := w.Get(ooo.RecordID(annID)); return !ok })
		w.noHints()
		wish, err := w.store.Wish(t.Context(), ann)
		if err != nil || wish.Nonce != "" {
			t.Errorf("wish = %+v, %v, want none", wish, err)
		}
		if n, _ := w.raw.Exists(t.Context(), "om:{om}:history:"+ooo.FoldAddress(ann)).Result(); n != 0 {
			t.Error("the history is still there")
		}
	})
	t.Run("a stop waits for the subscriptions", func(t *testing.T) {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		_, err := w.Update(t.Context(), ooo.RecordID(annID), func(d *mailbox.Draft) error {
			d.Subscriptions = []ooo.Subscription{{Resource: "r", ID: "s", State: ooo.SubscriptionLive}}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.wish(off)
		w.mailboxOf(annID, "no address", func(m *ooo.Mailbox) bool { return len(m.Addresses) == 0 })
	})
	t.Run("a start anew delivers the state again, a repeated one does not", func(t *testing.T) {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		away(w, annID)
		w.wish(func(n *ooo.Wish) { n.Address = "ANN@contoso.example" })
		m := w.mailboxOf(annID, "the spelling", func(m *ooo.Mailbox) bool { return m.Addresses[0].Spelling == "ANN@contoso.example" })
		if m.Addresses[0].Sequence != 1 {
			t.Errorf("sequence = %d, want 1", m.Addresses[0].Sequence)
		}
		w.wish(func(n *ooo.Wish) { n.Start = "second" })
		w.mailboxOf(annID, "another delivery", func(m *ooo.Mailbox) bool { return m.Addresses[0].Sequence == 2 })
		w.noHints()
		want := []ooo.EventKind{ooo.EventStarted, ooo.EventChanged, ooo.EventStarted, ooo.EventOvertaken, ooo.EventChanged}
		if got := w.kinds(); !slices.Equal(got, want) {
			t.Errorf("history = %v, want %v", got, want)
		}
	})
	t.Run("what was asked last holds", func(t *testing.T) {
		w := newWorld(t)
		for i := range 20 {
			w.wish(func(n *ooo.Wish) { n.On, n.Start = true, fmt.Sprint(i) })
			w.wish(off)
		}
		w.wish(func(n *ooo.Wish) { n.On, n.Start = true, "last" })
		w.mailboxOf(annID, "the last start", func(m *ooo.Mailbox) bool { return monitored(m) && m.Addresses[0].Start == "last" })
		w.noHints()
	})
	t.Run("an address moves to another mailbox with its delivery", func(t *testing.T) {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		away(w, annID)
		_, err := w.Update(t.Context(), ooo.RecordID(annID), func(d *mailbox.Draft) error {
			d.MoveAddresses(ooo.Person{ID: bobID})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		m := w.mailboxOf(bobID, "the other record", monitored)
		if m.Addresses[0].Sequence != 1 || m.State == nil || !m.State.Away {
			t.Errorf("moved = %+v %+v, want sequence 1 and the state", m.Addresses[0], m.State)
		}
		if _, ok := w.Get(ooo.RecordID(annID)); ok {
			t.Error("the record that it left is still there")
		}
		w.noHints()
	})
	t.Run("an address that moves keeps its delivery if it is respelled at the same time", func(t *testing.T) {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		away(w, annID)
		w.Drop(ooo.RecordID(bobID).Partition())
		_, err := w.Update(t.Context(), ooo.RecordID(annID), func(d *mailbox.Draft) error {
			d.MoveAddresses(ooo.Person{ID: bobID})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.wish(func(n *ooo.Wish) { n.Address = "ANN@contoso.example" })
		w.acquire(bobID)
		m := w.mailboxOf(bobID, "the other record", monitored)
		if a := m.Addresses[0]; a.Sequence != 1 || a.Spelling != "ANN@contoso.example" {
			t.Errorf("moved = %+v, want sequence 1 and the new spelling", a)
		}
		w.noHints()
	})
	t.Run("a stop that another record carried out ends the address here too", func(t *testing.T) {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		w.raw.HDel(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann))
		if err := w.Leave(t.Context(), ooo.Hint{ID: ooo.RecordID(annID), Kind: ooo.HintWish, Subject: ooo.FoldAddress(ann)}); err != nil {
			t.Fatal(err)
		}
		w.eventually("the end", func() bool { _, ok := w.Get(ooo.RecordID(annID)); return !ok })
	})
	t.Run("a damaged wish and a damaged record leave all others alone", func(t *testing.T) {
		w := newWorld(t, func(w *world) {
			w.wish(nil)
			id := ooo.RecordID("damaged")
			w.raw.HSet(t.Context(), fmt.Sprintf("om:{om}:records:%d", id.Partition()), string(id), "3:{")
			w.raw.HSet(t.Context(), "om:{om}:wants", "bob@contoso.example", "x:{")
			h := ooo.Hint{ID: ooo.RecordID(bobID), Kind: ooo.HintWish, Subject: "bob@contoso.example", Nonce: "n"}
			if err := w.store.LeaveHints(t.Context(), false, h); err != nil {
				t.Fatal(err)
			}
		})
		w.mailboxOf(annID, "the record", monitored)
		w.eventually("both reported", func() bool { return w.damaged.Load() == 2 })
		if id, err := w.store.RecordOf(t.Context(), ann); id != ooo.RecordID(annID) || err != nil {
			t.Errorf("RecordOf = %q, %v, want the record", id, err)
		}
	})
}

// TestSavesThatNeverEnd has more of them than wishes are carried out at once.
func TestSavesThatNeverEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fault := func(ctx context.Context, s store.Save) error {
		if s.Record.ID == ooo.RecordID(annID) {
			return w.store.Store.Save(ctx, s)
		}
		return errors.New("refused")
	}
	w.store.save.Store(&fault)
	for i := range 40 {
		stuck := ooo.Wish{Address: fmt.Sprintf("a%d@contoso.example", i), On: true, Person: ooo.Person{ID: ooo.ObjectID(fmt.Sprint("x", i))}, Nonce: "n"}
		h := ooo.Hint{ID: stuck.Record(), Kind: ooo.HintWish, Subject: stuck.Address, Nonce: "n"}
		if _, err := w.store.SwapWish(t.Context(), ooo.Wish{}, stuck, h); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("many are in flight", func() bool { return w.store.wishes.Load() >= 32 })
	w.wish(nil)
	w.mailboxOf(annID, "the record of another", monitored)
	w.acquire("x0")
	w.acquire(annID)
	w.mailboxOf(annID, "the record in a partition that is loaded now", monitored)
}

func TestHints(t *testing.T) {
	w := newWorld(t)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
	h := ooo.Hint{ID: ooo.RecordID(annID), Kind: ooo.HintRead}
	if err := w.Leave(t.Context(), h, ooo.Hint{ID: "nobody", Kind: ooo.HintRead}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the worker is called", func() bool { return w.worker.hinted(ooo.HintRead) })
	w.acquire(bobID) // hints are read then
	w.eventually("the unknown one is counted", func() bool { return w.unknown.Load() == 1 })
	first := w.Hints(h.ID, ooo.HintRead)
	if len(first) != 1 {
		t.Fatalf("waiting = %v, want one", first)
	}
	if err := w.Leave(t.Context(), h); err != nil { // again, before the first is carried out
		t.Fatal(err)
	}
	if err := w.Done(t.Context(), first...); err != nil {
		t.Fatal(err)
	}
	second := w.Hints(h.ID, ooo.HintRead)
	if len(second) != 1 || second[0].Nonce == first[0].Nonce {
		t.Fatalf("waiting = %v, want the second", second)
	}
	_, err := w.Update(t.Context(), h.ID, func(d *mailbox.Draft) error { d.Done(second...); return nil })
	if err != nil || len(w.Hints(h.ID, ooo.HintRead)) != 0 {
		t.Errorf("after the save: %v, %v, want no hint", err, w.Hints(h.ID, ooo.HintRead))
	}
	w.noHints()
}

func TestUpdate(t *testing.T) {
	ready := func(t *testing.T) *world {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		return w
	}
	id := ooo.RecordID(annID)
	rename := func(d *mailbox.Draft) error { d.Person.DisplayName += "!"; return nil }
	t.Run("answers that are lost are asked for until one comes, and the save is done once", func(t *testing.T) {
		w := ready(t)
		lost := 0
		fault := func(ctx context.Context, s store.Save) error {
			if err := w.store.Store.Save(ctx, s); err != nil {
				return err
			}
			if lost++; lost < 3 {
				return context.DeadlineExceeded
			}
			return nil
		}
		w.store.save.Store(&fault)
		m, err := w.Update(t.Context(), id, rename)
		if err != nil || m.Person.DisplayName != "Ann!" || m.Version != 2 {
			t.Errorf("Update = %+v, %v, want version 2", m, err)
		}
		saves, _ := w.Saves(id.Partition())
		if got, _ := w.raw.HGet(t.Context(), "om:{om}:owners", store.SavesField(id.Partition())).Int64(); got != saves {
			t.Errorf("Redis counts %d saves, memory %d", got, saves)
		}
	})
	t.Run("a refused save waits for what the table says", func(t *testing.T) {
		w := ready(t)
		w.own(store.Lease{Life: "other", Tenure: 7})
		ended := make(chan error, 1)
		go func() {
			_, err := w.Update(context.Background(), id, rename)
			ended <- err
		}()
		w.Drop(id.Partition())
		if err := <-ended; !errors.Is(err, ooo.ErrNotOwner) {
			t.Errorf("Update = %v, want ErrNotOwner", err)
		}
	})
	t.Run("nothing begins that must not", func(t *testing.T) {
		w := ready(t)
		begin := func(kind mailbox.Kind) bool {
			done, ok := w.Begin(id, kind, "")
			if ok {
				done()
			}
			return ok
		}
		done, ok := w.Begin(id, mailbox.Read, "")
		if !ok || begin(mailbox.Read) || !begin(mailbox.Subscription) {
			t.Error("want one read and one step at a time")
		}
		w.inTime.Store(false)
		if begin(mailbox.Subscription) {
			t.Error("begins past the deadline")
		}
		w.inTime.Store(true)
		drained := make(chan error, 1)
		go func() { drained <- w.Drain(context.Background(), id.Partition(), false) }()
		w.eventually("draining", func() bool { return !begin(mailbox.Subscription) })
		done()
		if err := <-drained; err != nil {
			t.Errorf("Drain = %v", err)
		}
	})
	t.Run("what is given away waits for a delivery that has just begun", func(t *testing.T) {
		w := ready(t)
		done, ok := w.Begin(id, mailbox.Delivery, "")
		if !ok {
			t.Fatal("the delivery does not begin")
		}
		var ended atomic.Bool
		last := func() { // what Drain does when nothing is in flight any more
			if !ended.Load() {
				t.Error("drained during a delivery")
			}
		}
		w.store.put.Store(&last)
		drained := make(chan error, 1)
		go func() { drained <- w.Drain(context.Background(), id.Partition(), false) }()
		w.eventually("draining", func() bool {
			done, ok := w.Begin(id, mailbox.Read, "")
			if ok {
				done()
			}
			return !ok
		})
		ended.Store(true)
		done()
		if err := <-drained; err != nil {
			t.Errorf("Drain = %v", err)
		}
	})
}

func TestRedisComesBackOlder(t *testing.T) {
	w := newWorld(t)
	id := ooo.RecordID(annID)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
	key := fmt.Sprintf("om:{om}:records:%d", id.Partition())
	older, err := w.raw.HGet(t.Context(), key, string(id)).Result()
	if err != nil {
		t.Fatal(err)
	}
	away(w, annID)
	saves, _ := w.Saves(id.Partition())
	restored := func(t *testing.T) {
		w.Restore(t.Context(), id.Partition(), lease)
		loaded, err := w.store.Load(t.Context(), id.Partition())
		if err != nil || len(loaded.Records) != 1 || loaded.Records[0].State == nil || loaded.Records[0].Version != 2 {
			t.Fatalf("in Redis = %+v, %v, want version 2 with its state", loaded, err)
		}
		if loaded.Saves < saves {
			t.Errorf("saves = %d, want %d at least", loaded.Saves, saves)
		}
		if wish, err := w.store.Wish(t.Context(), ann); err != nil || !wish.On {
			t.Errorf("wish = %+v, %v, want on", wish, err)
		}
	}
	t.Run("with an older record, and one that was removed since", func(t *testing.T) {
		other := id
		for i := 0; other == id || other.Partition() != id.Partition(); i++ {
			other = ooo.RecordID(fmt.Sprint("x", i))
		}
		w.raw.HSet(t.Context(), key, string(id), older, string(other), `1:{"id":"`+string(other)+`","addresses":[]}`)
		w.raw.HSet(t.Context(), "om:{om}:owners", store.SavesField(id.Partition()), 1)
		restored(t)
	})
	t.Run("empty", func(t *testing.T) {
		w.raw.FlushAll(t.Context())
		w.own(lease)
		restored(t)
	})
	t.Run("with a wish whose end was carried out, and a record that was removed here", func(t *testing.T) {
		wish, _ := w.raw.HGet(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann)).Result()
		w.wish(off)
		w.eventually("the end", func() bool { _, ok := w.Get(id); return !ok })
		w.raw.HSet(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann), wish)
		w.Restore(t.Context(), id.Partition(), lease)
		w.eventually("the wish is gone", func() bool {
			wish, err := w.store.Wish(t.Context(), ann)
			return err == nil && wish.Nonce == ""
		})
		w.noHints()
		w.raw.HSet(t.Context(), key, string(id), older)
		w.Restore(t.Context(), id.Partition(), lease)
		if there, err := w.raw.HExists(t.Context(), key, string(id)).Result(); there || err != nil {
			t.Errorf("the removed record is in Redis: %v, %v", there, err)
		}
	})
}
