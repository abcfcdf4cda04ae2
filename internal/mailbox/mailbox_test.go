package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
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
		w := monitoring(t)
		w.wish(off)
		w.gone()
		w.noHints()
		if wish := w.stored(); wish.Nonce != "" {
			t.Errorf("wish = %+v, want none", wish)
		}
		if n, _ := w.raw.Exists(t.Context(), "om:{om}:history:"+ooo.FoldAddress(ann)).Result(); n != 0 {
			t.Error("the history is still there")
		}
	})
	t.Run("a stop waits for the subscriptions", func(t *testing.T) {
		w := monitoring(t)
		w.update(func(d *mailbox.Draft) {
			d.Subscriptions = []ooo.Subscription{{Resource: "r", ID: "s", State: ooo.SubscriptionLive}}
		})
		w.wish(off)
		w.mailboxOf(annID, "no address", func(m *ooo.Mailbox) bool { return len(m.Addresses) == 0 })
	})
	t.Run("a start anew delivers the state again, a repeated one does not", func(t *testing.T) {
		w := monitoring(t)
		w.update(away)
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
		w := monitoring(t)
		w.update(away)
		w.update(move)
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
		w := monitoring(t)
		w.update(away)
		w.Drop(ooo.RecordID(bobID).Partition())
		w.update(move)
		w.wish(func(n *ooo.Wish) { n.Address = "ANN@contoso.example" })
		w.acquire(bobID)
		m := w.mailboxOf(bobID, "the other record", monitored)
		if a := m.Addresses[0]; a.Sequence != 1 || a.Spelling != "ANN@contoso.example" {
			t.Errorf("moved = %+v, want sequence 1 and the new spelling", a)
		}
		w.noHints()
	})
	t.Run("a stop that another record carried out ends the address here too", func(t *testing.T) {
		w := monitoring(t)
		w.raw.HDel(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann))
		w.hint(ooo.HintWish)
		w.gone()
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
	w.store.BeforeSaves(func(s store.Save) error {
		if s.Record.ID == ooo.RecordID(annID) {
			return nil
		}
		return errors.New("refused")
	})
	for i := range 40 {
		w.store.ChangeWish(t, fmt.Sprintf("a%d@contoso.example", i), func(n *ooo.Wish) {
			n.On, n.Person.ID = true, ooo.ObjectID(fmt.Sprint("x", i))
		})
	}
	w.eventually("many are in flight", func() bool { return w.store.wishes.Load() >= 32 })
	w.wish(nil)
	w.mailboxOf(annID, "the record of another", monitored)
	w.acquire("x0")
	w.acquire(annID)
	w.mailboxOf(annID, "the record in a partition that is loaded now", monitored)
}

func TestHints(t *testing.T) {
	w := monitoring(t)
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
	w.update(func(d *mailbox.Draft) { d.Done(second...) })
	if left := w.Hints(h.ID, ooo.HintRead); len(left) != 0 {
		t.Errorf("after the save: %v, want no hint", left)
	}
	w.noHints()
}

func TestUpdate(t *testing.T) {
	id := ooo.RecordID(annID)
	rename := func(d *mailbox.Draft) { d.Person.DisplayName += "!" }
	// begins reports whether work begins, and ends it at once.
	begins := func(w *world, kind mailbox.Kind) bool {
		done, ok := w.Begin(id, kind, "")
		if ok {
			done()
		}
		return ok
	}
	// drain returns once Drain has begun, and what it returns when it ends.
	drain := func(w *world) (ended chan error) {
		ended = make(chan error, 1)
		go func() { ended <- w.Drain(context.Background(), id.Partition(), false) }()
		w.eventually("draining", func() bool { return !begins(w, mailbox.Subscription) })
		return ended
	}
	t.Run("answers that are lost are asked for until one comes, and the save is done once", func(t *testing.T) {
		w := monitoring(t)
		lost := 0
		w.store.BeforeSaves(func(s store.Save) error {
			if lost++; lost > 2 {
				return nil
			}
			return errors.Join(w.store.Store.Store.Save(t.Context(), s), context.DeadlineExceeded)
		})
		if m := w.update(rename); m.Person.DisplayName != "Ann!" || m.Version != 2 {
			t.Errorf("Update = %+v, want version 2", m)
		}
		saves, _ := w.Saves(id.Partition())
		if got, _ := w.raw.HGet(t.Context(), "om:{om}:owners", store.SavesField(id.Partition())).Int64(); got != saves {
			t.Errorf("Redis counts %d saves, memory %d", got, saves)
		}
	})
	t.Run("a refused save waits for what the table says", func(t *testing.T) {
		w := monitoring(t)
		w.own(store.Lease{Life: "other", Tenure: 7})
		ended := make(chan error, 1)
		go func() {
			_, err := w.Update(id, func(d *mailbox.Draft) error { rename(d); return nil })
			ended <- err
		}()
		w.Drop(id.Partition())
		if err := <-ended; !errors.Is(err, ooo.ErrNotOwner) {
			t.Errorf("Update = %v, want ErrNotOwner", err)
		}
	})
	t.Run("nothing begins that must not", func(t *testing.T) {
		w := monitoring(t)
		done, ok := w.Begin(id, mailbox.Delivery, "")
		if !ok || begins(w, mailbox.Delivery) || !begins(w, mailbox.Subscription) {
			t.Error("want one delivery and one step at a time")
		}
		reader := w.Reader(id)
		if !reader.Begin() {
			t.Error("the read does not begin")
		}
		w.SetLate(true)
		if reader.Begin() || begins(w, mailbox.Subscription) {
			t.Error("begins past the deadline")
		}
		w.SetLate(false)
		var ended atomic.Bool
		last := func() {
			if !ended.Load() {
				t.Error("drained during a read")
			}
		}
		w.store.put.Store(&last)
		done()
		drained := drain(w)
		if reader.Begin() {
			t.Error("a read begins in what is drained")
		}
		time.Sleep(20 * time.Millisecond) // so that a Drain that does not wait is seen
		ended.Store(true)
		reader.End()
		if err := <-drained; err != nil {
			t.Errorf("Drain = %v", err)
		}
	})
	t.Run("what is given away waits for a delivery that has just begun", func(t *testing.T) {
		w := monitoring(t)
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
		drained := drain(w)
		ended.Store(true)
		done()
		if err := <-drained; err != nil {
			t.Errorf("Drain = %v", err)
		}
	})
}

func TestRedisComesBackOlder(t *testing.T) {
	w := monitoring(t)
	id := ooo.RecordID(annID)
	key := fmt.Sprintf("om:{om}:records:%d", id.Partition())
	older := w.field(key, string(id))
	w.update(away)
	saves, _ := w.Saves(id.Partition())
	restored := func(t *testing.T) {
		w.Restore(t.Context(), id.Partition(), ownertest.Lease)
		loaded, err := w.store.Load(t.Context(), id.Partition())
		if err != nil || len(loaded.Records) != 1 || loaded.Records[0].State == nil || loaded.Records[0].Version != 2 {
			t.Fatalf("in Redis = %+v, %v, want version 2 with its state", loaded, err)
		}
		if loaded.Saves < saves {
			t.Errorf("saves = %d, want %d at least", loaded.Saves, saves)
		}
		if wish := w.stored(); !wish.On {
			t.Errorf("wish = %+v, want on", wish)
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
		w.own(ownertest.Lease)
		restored(t)
	})
	t.Run("with a wish whose end was carried out, and a record that was removed here", func(t *testing.T) {
		wish, _ := w.raw.HGet(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann)).Result()
		w.wish(off)
		w.gone()
		w.raw.HSet(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann), wish)
		w.Restore(t.Context(), id.Partition(), ownertest.Lease)
		w.eventually("the wish is gone", func() bool { return w.stored().Nonce == "" })
		w.noHints()
		w.raw.HSet(t.Context(), key, string(id), older)
		w.Restore(t.Context(), id.Partition(), ownertest.Lease)
		if there, err := w.raw.HExists(t.Context(), key, string(id)).Result(); there || err != nil {
			t.Errorf("the removed record is in Redis: %v, %v", there, err)
		}
	})
}
