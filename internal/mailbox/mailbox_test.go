package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/store"
)

func TestWishes(t *testing.T) {
	t.Run("start before the partition is owned creates a record", func(t *testing.T) {
		f := newFixture(t, func(f *fixture) { f.wish(nil) })
		m := f.mailboxOf(annID, "the record", monitored)
		if a := m.Addresses[0]; m.Condition != ooo.Pending || a.Spelling != ann || m.Person.DisplayName != "Ann" {
			t.Errorf("record = %+v, want Ann, pending", m)
		}
		f.noHints()
		if got := f.kinds(); !slices.Equal(got, []ooo.EventKind{ooo.EventStarted}) {
			t.Errorf("history = %v, want started", got)
		}
	})
	t.Run("stop removes record, wish, hints and history", func(t *testing.T) {
		f := monitoring(t)
		f.hint(ooo.HintRead)
		f.wish(off)
		f.removed()
		f.acquire(bobID) // reads the hints
		f.noHints()
		if wish := f.stored(); wish.Nonce != "" {
			t.Errorf("wish = %+v, want none", wish)
		}
		if n, _ := f.raw.Exists(t.Context(), "om:{om}:history:"+ooo.FoldAddress(ann)).Result(); n != 0 {
			t.Error("the history still exists")
		}
	})
	t.Run("stop keeps the record while it has subscriptions", func(t *testing.T) {
		f := monitoring(t)
		f.update(func(d *mailbox.Draft) {
			d.Subscriptions = []ooo.Subscription{{Resource: "r", ID: "s", State: ooo.SubscriptionLive}}
		})
		f.wish(off)
		f.mailboxOf(annID, "no address", func(m *ooo.Mailbox) bool { return len(m.Addresses) == 0 })
	})
	t.Run("only a new start queues the state again", func(t *testing.T) {
		f := monitoring(t)
		f.update(away)
		f.wish(func(n *ooo.Wish) { n.Address = "ANN@contoso.example" })
		m := f.mailboxOf(annID, "the new spelling", func(m *ooo.Mailbox) bool { return m.Addresses[0].Spelling == "ANN@contoso.example" })
		if m.Addresses[0].Sequence != 1 {
			t.Errorf("sequence = %d, want 1", m.Addresses[0].Sequence)
		}
		f.wish(func(n *ooo.Wish) { n.StartID = "second" })
		f.mailboxOf(annID, "the second delivery", func(m *ooo.Mailbox) bool { return m.Addresses[0].Sequence == 2 })
		f.noHints()
		want := []ooo.EventKind{ooo.EventStarted, ooo.EventChanged, ooo.EventStarted, ooo.EventOvertaken, ooo.EventChanged}
		if got := f.kinds(); !slices.Equal(got, want) {
			t.Errorf("history = %v, want %v", got, want)
		}
	})
	t.Run("last of many wishes wins", func(t *testing.T) {
		f := newFixture(t)
		for i := range 20 {
			f.wish(func(n *ooo.Wish) { n.On, n.StartID = true, fmt.Sprint(i) })
			f.wish(off)
		}
		f.wish(func(n *ooo.Wish) { n.On, n.StartID = true, "last" })
		f.mailboxOf(annID, "the last start", func(m *ooo.Mailbox) bool { return monitored(m) && m.Addresses[0].StartID == "last" })
		f.noHints()
	})
	t.Run("address moves to another mailbox with its delivery", func(t *testing.T) {
		f := monitoring(t)
		f.update(away)
		f.update(move)
		m := f.mailboxOf(bobID, "the other record", monitored)
		if m.Addresses[0].Sequence != 1 || m.State == nil || !m.State.Away {
			t.Errorf("moved = %+v %+v, want sequence 1 and the state", m.Addresses[0], m.State)
		}
		if _, ok := f.Get(ooo.RecordID(annID)); ok {
			t.Error("the former record still exists")
		}
		f.noHints()
	})
	t.Run("moving address keeps its delivery when it is respelled", func(t *testing.T) {
		f := monitoring(t)
		f.update(away)
		f.Drop(ooo.RecordID(bobID).Partition())
		f.update(move)
		f.wish(func(n *ooo.Wish) { n.Address = "ANN@contoso.example" })
		f.acquire(bobID)
		m := f.mailboxOf(bobID, "the other record", monitored)
		if a := m.Addresses[0]; a.Sequence != 1 || a.Spelling != "ANN@contoso.example" {
			t.Errorf("moved = %+v, want sequence 1 and the new spelling", a)
		}
		f.noHints()
	})
	t.Run("moving address brings the state to an address that waits for one", func(t *testing.T) {
		f := monitoring(t)
		f.update(away)
		f.store.ChangeWish(t, "bob@contoso.example", func(n *ooo.Wish) {
			n.On, n.Person, n.StartID = true, ooo.Person{ID: bobID}, "first"
		})
		f.mailboxOf(bobID, "the record without a state", monitored)
		f.update(move)
		m := f.mailboxOf(bobID, "both addresses", func(m *ooo.Mailbox) bool { return len(m.Addresses) == 2 })
		for _, a := range m.Addresses {
			if a.Sequence != 1 {
				t.Errorf("address = %+v, want sequence 1", a)
			}
		}
		f.noHints()
	})
	t.Run("missing wish ends the monitoring", func(t *testing.T) {
		f := monitoring(t)
		f.raw.HDel(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann))
		f.hint(ooo.HintWish)
		f.removed()
	})
	t.Run("damaged wish and damaged record affect no other", func(t *testing.T) {
		f := newFixture(t, func(f *fixture) {
			f.wish(nil)
			id := ooo.RecordID("damaged")
			f.raw.HSet(t.Context(), fmt.Sprintf("om:{om}:records:%d", id.Partition()), string(id), "3:{")
			f.raw.HSet(t.Context(), "om:{om}:wants", "bob@contoso.example", "x:{")
			h := ooo.Hint{ID: ooo.RecordID(bobID), Kind: ooo.HintWish, Subject: "bob@contoso.example", Nonce: "n"}
			if err := f.store.LeaveHints(t.Context(), false, h); err != nil {
				t.Fatal(err)
			}
		})
		f.mailboxOf(annID, "the record", monitored)
		f.eventually("both are reported", func() bool { return f.damaged.Load() == 2 })
		if id, err := f.store.RecordOf(t.Context(), ann); id != ooo.RecordID(annID) || err != nil {
			t.Errorf("RecordOf = %q, %v, want %q", id, err, annID)
		}
	})
}

// More saves fail than wishes are carried out at the same time.
func TestFailingSavesDelayNoOtherWish(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.store.BeforeSaves(func(s store.Save) error {
		if s.Record.ID == ooo.RecordID(annID) {
			return nil
		}
		return errors.New("refused")
	})
	for i := range 40 {
		f.store.ChangeWish(t, fmt.Sprintf("a%d@contoso.example", i), func(n *ooo.Wish) {
			n.On, n.Person.ID = true, ooo.ObjectID(fmt.Sprint("x", i))
		})
	}
	f.eventually("the limit is in flight", func() bool { return f.store.wishes.Load() >= 32 })
	f.wish(nil)
	f.mailboxOf(annID, "the record of another wish", monitored)
	f.acquire("x0")
	f.acquire(annID)
	f.mailboxOf(annID, "the record after its partition was loaded again", monitored)
}

func TestHints(t *testing.T) {
	f := monitoring(t)
	h := ooo.Hint{ID: ooo.RecordID(annID), Kind: ooo.HintRead}
	if err := f.LeaveHints(t.Context(), h, ooo.Hint{ID: "nobody", Kind: ooo.HintRead}); err != nil {
		t.Fatal(err)
	}
	f.eventually("the worker is called", func() bool { return f.worker.hinted(ooo.HintRead) })
	f.acquire(bobID) // reads the hints
	f.eventually("the unknown mailbox is counted", func() bool { return f.unknown.Load() == 1 })
	first := f.Hints(h.ID, ooo.HintRead)
	if len(first) != 1 {
		t.Fatalf("pending = %v, want one", first)
	}
	if err := f.LeaveHints(t.Context(), h); err != nil { // again, before the first was carried out
		t.Fatal(err)
	}
	if err := f.RemoveHints(t.Context(), first...); err != nil {
		t.Fatal(err)
	}
	second := f.Hints(h.ID, ooo.HintRead)
	if len(second) != 1 || second[0].Nonce == first[0].Nonce {
		t.Fatalf("pending = %v, want the second", second)
	}
	f.update(func(d *mailbox.Draft) { d.RemoveHints(second...) })
	if left := f.Hints(h.ID, ooo.HintRead); len(left) != 0 {
		t.Errorf("pending after the save = %v, want none", left)
	}
	f.noHints()
}

// hintless is a store whose hints can't be read.
type hintless struct {
	*ownertest.Store
	reads atomic.Int64 // of the hints
}

func (h *hintless) Hints(context.Context) ([]ooo.Hint, error) {
	h.reads.Add(1)
	return nil, errors.New("redis unreachable")
}

// Listen says once a second that it has connected again.
func (h *hintless) Listen(ctx context.Context, receive func(store.Message)) error {
	for range 60 {
		receive(store.Message{})
		time.Sleep(time.Second)
	}
	<-ctx.Done()
	return nil
}

// Failures must not add up: each request and each regular read that fails is retried by the
// same next read.
func TestUnreadableHintsAreReadOnceASecond(t *testing.T) {
	ownertest.InBubble(t, func(t *testing.T, s *ownertest.Store) {
		redis := &hintless{Store: s}
		owner := ownertest.NewOwner(t, mailbox.Config{Store: redis})
		stop := await.Run(t, func(ctx context.Context) error { return owner.Registry.Run(ctx) })
		go owner.Acquire(t.Context(), 0, ownertest.Lease)()
		time.Sleep(10 * time.Minute)
		if n := redis.reads.Load(); n < 590 || n > 670 {
			t.Errorf("hints read %d times in ten minutes, want once a second and for each of 60 requests", n)
		}
		stop()
	})
}

func TestUpdate(t *testing.T) {
	id := ooo.RecordID(annID)
	rename := func(d *mailbox.Draft) { d.Person.DisplayName += "!" }
	t.Run("lost answers are retried, and the save is carried out once", func(t *testing.T) {
		f := monitoring(t)
		attempts := 0
		f.store.BeforeSaves(func(s store.Save) error {
			if attempts++; attempts > 2 {
				return nil
			}
			return errors.Join(f.store.Store.Store.Save(t.Context(), s), context.DeadlineExceeded)
		})
		if m := f.update(rename); m.Person.DisplayName != "Ann!" || m.Version != 2 {
			t.Errorf("Update = %+v, want version 2", m)
		}
		saves, _ := f.Saves(id.Partition())
		if got, _ := f.raw.HGet(t.Context(), "om:{om}:owners", store.SavesField(id.Partition())).Int64(); got != saves {
			t.Errorf("Redis counts %d saves, memory %d", got, saves)
		}
	})
	t.Run("refused save is retried until the partition is lost", func(t *testing.T) {
		f := monitoring(t)
		f.own(store.Lease{Life: "other", Tenure: 7})
		ended := make(chan error, 1)
		go func() {
			_, err := f.Update(id, func(d *mailbox.Draft) error { rename(d); return nil })
			ended <- err
		}()
		f.Drop(id.Partition())
		if err := <-ended; !errors.Is(err, ooo.ErrNotOwner) {
			t.Errorf("Update = %v, want ErrNotOwner", err)
		}
	})
}

func TestBegin(t *testing.T) {
	id := ooo.RecordID(annID)
	// begins reports whether work begins, and ends it at once.
	begins := func(f *fixture) bool {
		done, ok := f.Begin(id)
		if ok {
			done()
		}
		return ok
	}
	t.Run("refused past the deadline", func(t *testing.T) {
		f := monitoring(t)
		if !begins(f) {
			t.Error("no work begins before the deadline")
		}
		f.SetLate(true)
		if f.Reader(id).Begin() || begins(f) {
			t.Error("work begins past the deadline")
		}
	})
	t.Run("late drain of a lost partition does not drain its successor", func(t *testing.T) {
		f := monitoring(t)
		lost, cancel := context.WithCancel(t.Context())
		cancel()
		f.acquire(annID)
		if err := f.Drain(lost, id.Partition()); err == nil {
			t.Error("Drain = nil, want the error of its context")
		}
		if !begins(f) {
			t.Error("no work begins in a partition that does not drain")
		}
	})
	for kind, begin := range map[string]func(f *fixture) (end func()){
		"delivery": func(f *fixture) func() { done, _ := f.Begin(id); return done },
		"read":     func(f *fixture) func() { r := f.Reader(id); r.Begin(); return r.End },
	} {
		t.Run("drain waits for a "+kind+" and refuses new work", func(t *testing.T) {
			f := monitoring(t)
			end := begin(f)
			var ended atomic.Bool
			f.store.hooks.Store("PutReads", func() { // the last step of Drain
				if !ended.Load() {
					t.Errorf("drained during a %s", kind)
				}
			})
			drained := make(chan error, 1)
			go func() { drained <- f.Drain(context.Background(), id.Partition()) }()
			f.eventually("draining", func() bool { return !begins(f) })
			if f.Reader(id).Begin() {
				t.Error("a read begins while the partition drains")
			}
			time.Sleep(20 * time.Millisecond) // lets a Drain that does not wait end
			ended.Store(true)
			end()
			if err := <-drained; err != nil {
				t.Errorf("Drain = %v", err)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	f := monitoring(t)
	id := ooo.RecordID(annID)
	key := fmt.Sprintf("om:{om}:records:%d", id.Partition())
	older := f.field(key, string(id))
	f.update(away)
	saves, _ := f.Saves(id.Partition())
	restored := func(t *testing.T) {
		f.Restore(t.Context(), id.Partition(), ownertest.Lease)
		loaded, err := f.store.Load(t.Context(), id.Partition())
		if err != nil || len(loaded.Records) != 1 || loaded.Records[0].State == nil || loaded.Records[0].Version != 2 {
			t.Fatalf("stored = %+v, %v, want version 2 with its state", loaded, err)
		}
		if loaded.Saves < saves {
			t.Errorf("saves = %d, want %d at least", loaded.Saves, saves)
		}
		if wish := f.stored(); !wish.On {
			t.Errorf("wish = %+v, want on", wish)
		}
	}
	t.Run("older record, and one that was removed since", func(t *testing.T) {
		other := id
		for i := 0; other == id || other.Partition() != id.Partition(); i++ {
			other = ooo.RecordID(fmt.Sprint("x", i))
		}
		f.raw.HSet(t.Context(), key, string(id), older, string(other), `1:{"id":"`+string(other)+`","addresses":[]}`)
		f.raw.HSet(t.Context(), "om:{om}:owners", store.SavesField(id.Partition()), 1)
		restored(t)
	})
	t.Run("empty Redis", func(t *testing.T) {
		f.raw.FlushAll(t.Context())
		f.own(ownertest.Lease)
		restored(t)
	})
	t.Run("wish that was stopped, and a record that was removed", func(t *testing.T) {
		wish, _ := f.raw.HGet(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann)).Result()
		f.wish(off)
		f.removed()
		f.raw.HSet(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann), wish)
		f.Restore(t.Context(), id.Partition(), ownertest.Lease)
		f.eventually("the wish is removed", func() bool { return f.stored().Nonce == "" })
		f.noHints()
		f.raw.HSet(t.Context(), key, string(id), older)
		f.Restore(t.Context(), id.Partition(), ownertest.Lease)
		if exists, err := f.raw.HExists(t.Context(), key, string(id)).Result(); exists || err != nil {
			t.Errorf("removed record in Redis = %t, %v, want none", exists, err)
		}
	})
}
