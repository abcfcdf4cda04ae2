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
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/store"
)

func TestWishes(t *testing.T) {
	t.Run("start before the partition is owned, new spelling, second start and stop", func(t *testing.T) {
		f := newFixture(t, func(f *fixture) { f.wish(nil) })
		m := f.mailboxOf(annID, "the record", monitored)
		if a := m.Addresses[0]; m.Condition != ooo.Pending || a.Spelling != ann || m.Person.DisplayName != "Ann" {
			t.Errorf("record = %+v, want Ann, pending", m)
		}
		f.update(away)
		f.store.fail.Store(1)
		f.wish(respell)
		m = f.mailboxOf(annID, "the new spelling", func(m *ooo.Mailbox) bool { return m.Addresses[0].Spelling == respelled })
		if m.Addresses[0].Sequence != 1 {
			t.Errorf("sequence = %d, want 1: only a new start queues the state again", m.Addresses[0].Sequence)
		}
		f.update(func(d *mailbox.Draft) { d.Condition, d.Reason = ooo.Unknown, "denied" })
		f.wish(again)
		f.mailboxOf(annID, "the second delivery", func(m *ooo.Mailbox) bool { return m.Addresses[0].Sequence == 2 })
		f.noHints()
		want := []ooo.EventKind{ooo.EventStarted, ooo.EventChanged, ooo.EventStarted, ooo.EventUnknown, ooo.EventOvertaken, ooo.EventChanged}
		var got []ooo.EventKind
		events, err := f.store.History(t.Context(), ann, 100)
		for _, e := range slices.Backward(events) {
			got = append(got, e.Kind)
			if e.Kind == ooo.EventChanged && (e.Away == nil || !*e.Away) {
				t.Errorf("event = %+v, want it to say away", e)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("history = %v, %v, want %v", got, err, want)
		}
		f.Hint(ooo.Hint{ID: annID, Kind: ooo.HintRead})
		f.wish(off)
		f.removed()
		f.acquire(bobPartition) // reads the hints
		f.noHints()
		if wish := f.stored(); wish.Nonce != "" {
			t.Errorf("wish = %+v, want none", wish)
		}
		if n, err := f.raw.Exists(t.Context(), "om:{om}:history:"+folded, fmt.Sprint("om:{om}:rows:", annPartition)).Result(); n != 0 || err != nil {
			t.Errorf("history or row left: %d, %v, want none", n, err)
		}
	})
	t.Run("stop is carried out before work begins", func(t *testing.T) {
		f := monitoring(t)
		f.noHints()
		f.Drop(annPartition)
		f.wish(off)
		hook := func(exists bool) {
			if exists {
				t.Error("the worker is called with the mailbox, which is no longer monitored")
			}
		}
		f.worker.hook.Store(&hook)
		f.acquire(annPartition)
		f.removed()
	})
	t.Run("last of many wishes wins", func(t *testing.T) {
		f := newFixture(t)
		for i := range 20 {
			f.wish(func(n *ooo.Wish) { n.On, n.StartID = true, fmt.Sprint(i) })
			f.wish(off)
		}
		f.wish(again)
		f.mailboxOf(annID, "the last start", startedAgain)
		f.noHints()
	})
	t.Run("address moves to another mailbox with its delivery, and is respelled meanwhile", func(t *testing.T) {
		f := monitoring(t)
		f.update(away)
		f.Drop(bobPartition)
		asked := f.stored().At
		f.update(move)
		if at := f.stored().At; !at.Equal(asked.Add(time.Millisecond)) {
			t.Errorf("time of the wish = %v after the move, want 1 ms after %v: a stop since then is newer", at, asked)
		}
		f.removed()
		f.wish(respell)
		f.acquire(bobPartition)
		m := f.mailboxOf(bobID, "the other record", monitored)
		if a := m.Addresses[0]; a.Sequence != 1 || a.Spelling != respelled || m.State == nil || !m.State.Away {
			t.Errorf("moved = %+v %+v, want sequence 1, the new spelling and the state", a, m.State)
		}
		f.noHints()
	})
	for name, tt := range map[string]struct {
		before     func(d *mailbox.Draft) // in Ann's record
		state      *ooo.State             // of the other mailbox
		moved, bob int64                  // sequences
	}{
		"moving address brings the state to an address that waits for one": {away, nil, 1, 1},
		"moving address gets another state":                                {away, &ooo.State{}, 2, 0},
		"moving address waits for a state like the other":                  {func(*mailbox.Draft) {}, nil, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := monitoring(t)
			f.update(tt.before)
			f.store.ChangeWish(t, "bob@contoso.example", func(n *ooo.Wish) {
				n.On, n.Person, n.StartID = true, ooo.Person{ID: bobID}, "first"
			})
			f.mailboxOf(bobID, "the record without a state", monitored)
			_, err := f.Update(bobID, func(d *mailbox.Draft) error { d.State = tt.state; return nil })
			must.NoError(t, err)
			f.update(move)
			m := f.mailboxOf(bobID, "both addresses", func(m *ooo.Mailbox) bool { return len(m.Addresses) == 2 })
			if a, b := m.Addresses[0], m.Addresses[1]; a.Sequence != tt.moved || b.Sequence != tt.bob {
				t.Errorf("addresses = %+v, want sequences %d and %d", m.Addresses, tt.moved, tt.bob)
			}
			f.noHints()
			f.wish(off)
			f.mailboxOf(bobID, "the other address", monitored)
		})
	}
	t.Run("missing wish ends the monitoring", func(t *testing.T) {
		f := monitoring(t)
		f.raw.HDel(t.Context(), wishes, folded)
		f.hintWish()
		f.removed()
	})
	t.Run("damaged wish and damaged record affect no other", func(t *testing.T) {
		f := newFixture(t, func(f *fixture) {
			f.wish(nil)
			id := ooo.RecordID("damaged")
			f.put(fmt.Sprint("om:{om}:records:", id.Partition()), "damaged", "3:{")
			f.put(wishes, "bob@contoso.example", "x:{")
			h := ooo.Hint{ID: bobID, Kind: ooo.HintWish, Subject: "bob@contoso.example", Nonce: "n"}
			must.NoError(t, f.store.LeaveHints(t.Context(), false, h))
		})
		f.mailboxOf(annID, "the record", monitored)
		await.True(t, "both are reported", func() bool { return f.damaged.Load() == 2 })
		if id, err := f.store.RecordOf(t.Context(), ann); id != annID || err != nil {
			t.Errorf("RecordOf = %q, %v, want %q", id, err, annID)
		}
	})
}

// More saves fail than wishes are carried out at the same time.
func TestFailingSavesDelayNoOtherWish(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.store.BeforeSaves(func(s store.Save) error {
		if s.Record.ID == annID {
			return nil
		}
		return errors.New("refused")
	})
	for i := range 40 {
		f.store.ChangeWish(t, fmt.Sprintf("a%d@contoso.example", i), func(n *ooo.Wish) {
			n.On, n.Person.ID = true, ooo.ObjectID(fmt.Sprint("x", i))
		})
	}
	await.True(t, "the limit is in flight", func() bool { return f.store.wishes.Load() >= 32 })
	f.wish(nil)
	f.mailboxOf(annID, "the record of another wish", monitored)
	f.acquire(ooo.RecordID("x0").Partition())
	f.acquire(annPartition)
	f.mailboxOf(annID, "the record after its partition was loaded again", monitored)
	if hints, err := f.store.Hints(t.Context()); err != nil || len(hints) < 40 {
		t.Errorf("%d hints, %v, want those of the 40 failing wishes", len(hints), err)
	}
}

func TestHints(t *testing.T) {
	f := monitoring(t)
	h := ooo.Hint{ID: annID, Kind: ooo.HintRead}
	must.NoError(t, f.LeaveHints(t.Context(), h, ooo.Hint{ID: "nobody", Kind: ooo.HintRead}))
	await.True(t, "the worker is called", func() bool { return f.worker.hinted.Load() == 1 })
	f.acquire(bobPartition) // reads the hints
	await.True(t, "the unknown mailbox is counted", func() bool { return f.unknown.Load() == 1 })
	first := f.Hints(h.ID, ooo.HintRead)
	if n := f.worker.hinted.Load(); len(first) != 1 || first[0].At.IsZero() || n != 1 {
		t.Fatalf("pending = %v after %d calls, want one with a time, and one call", first, n)
	}
	f.Hint(h) // again, before the first was carried out
	must.NoError(t, f.RemoveHints(t.Context(), first...))
	second := f.Hints(h.ID, ooo.HintRead)
	if len(second) != 1 || second[0].Nonce == first[0].Nonce {
		t.Fatalf("pending = %v, want the second", second)
	}
	f.Hint(ooo.Hint{ID: annID, Kind: ooo.HintCheck})
	f.update(func(d *mailbox.Draft) { d.RemoveHints(second...) })
	must.NoError(t, f.RemoveHints(t.Context(), f.Hints(h.ID, ooo.HintCheck)...))
	if left := append(f.Hints(h.ID, ooo.HintRead), f.Hints(h.ID, ooo.HintCheck)...); len(left) != 0 {
		t.Errorf("pending after the save and the removal = %v, want none", left)
	}
	f.noHints()
}

// hintless is a store without hints, which can't be read at first.
type hintless struct {
	*ownertest.Store
	reads    atomic.Int64 // of the hints
	readable atomic.Bool
}

func (h *hintless) Hints(context.Context) ([]ooo.Hint, error) {
	h.reads.Add(1)
	if h.readable.Load() {
		return nil, nil
	}
	return nil, errors.New("redis unreachable")
}

// Failures must not add up: each request and each regular read that fails is retried by the
// same next read.
func TestUnreadableHintsAreReadOnceASecond(t *testing.T) {
	ownertest.InBubble(t, func(t *testing.T, s *ownertest.Store) {
		redis := &hintless{Store: s}
		owner := ownertest.NewOwner(t, mailbox.Config{Store: redis})
		stop := await.Run(t, func(ctx context.Context) error { return owner.Registry.Run(ctx) })
		for p := range 60 { // each load requests a read
			go owner.Acquire(t.Context(), p, ownertest.Lease)()
			time.Sleep(time.Second)
		}
		time.Sleep(9 * time.Minute)
		if n := redis.reads.Swap(0); n < 590 || n > 670 {
			t.Errorf("hints read %d times in ten minutes, want once a second and for each of 60 requests", n)
		}
		redis.readable.Store(true)
		time.Sleep(10 * time.Minute)
		if n := redis.reads.Load(); n < 119 || n > 121 {
			t.Errorf("hints read %d times in ten minutes, want every 5 s", n)
		}
		stop()
	})
}

func TestUpdate(t *testing.T) {
	rename := func(d *mailbox.Draft) { d.Person.DisplayName += "!" }
	t.Run("lost answers are retried, and the save is carried out once", func(t *testing.T) {
		f := monitoring(t)
		first, attempts := f.field(annRecords, annID), 0
		f.store.BeforeSaves(func(s store.Save) error {
			if attempts++; attempts > 2 {
				return nil
			}
			return errors.Join(f.store.Store.Store.Save(t.Context(), s), context.DeadlineExceeded)
		})
		if m := f.update(rename); m.Person.DisplayName != "Ann!" || m.Version != 2 {
			t.Errorf("Update = %+v, want version 2", m)
		}
		f.put(annRecords, annID, first)
		f.update(rename) // replaces the older record
		saves, _ := f.Saves(annPartition)
		if got := f.field(owners, store.SavesField(annPartition)); got != fmt.Sprint(saves) {
			t.Errorf("Redis counts %s saves, memory %d", got, saves)
		}
	})
	t.Run("refused save is retried until the partition is lost", func(t *testing.T) {
		f := monitoring(t)
		f.own(annPartition, store.Lease{Life: "other", Tenure: 7})
		ended := make(chan error, 1)
		go func() {
			_, err := f.Update(annID, func(d *mailbox.Draft) error { rename(d); return nil })
			ended <- err
		}()
		f.Drop(annPartition)
		if err := <-ended; !errors.Is(err, ooo.ErrNotOwner) {
			t.Errorf("Update = %v, want ErrNotOwner", err)
		}
	})
	t.Run("refused without the record or the partition", func(t *testing.T) {
		f := monitoring(t)
		refused := func(want error) {
			t.Helper()
			if _, err := f.Update(annID, nil); !errors.Is(err, want) {
				t.Errorf("Update = %v, want %v", err, want)
			}
		}
		f.wish(off)
		f.removed()
		refused(ooo.ErrNotMonitored)
		f.acquire(annPartition) // nothing of the record is left in memory
		refused(ooo.ErrNotMonitored)
		f.Drop(annPartition)
		refused(ooo.ErrNotOwner)
	})
}

func TestBegin(t *testing.T) {
	// begins reports whether work begins, and ends it at once.
	begins := func(f *fixture) bool {
		done, ok := f.Begin(annID)
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
		if f.Reader(annID).Begin() || begins(f) {
			t.Error("work begins past the deadline")
		}
	})
	t.Run("late drain of a lost partition does not drain its successor", func(t *testing.T) {
		f := monitoring(t)
		lost, cancel := context.WithCancel(t.Context())
		cancel()
		f.acquire(annPartition)
		if err := f.Drain(lost, annPartition); err == nil {
			t.Error("Drain = nil, want the error of its context")
		}
		if !begins(f) {
			t.Error("no work begins in a partition that does not drain")
		}
	})
	for kind, begin := range map[string]func(f *fixture) (end func()){
		"delivery": func(f *fixture) func() { done, _ := f.Begin(annID); return done },
		"read":     func(f *fixture) func() { r := f.Reader(annID); r.Begin(); return r.End },
	} {
		t.Run("drain waits for a "+kind+" and refuses new work", func(t *testing.T) {
			f := monitoring(t)
			end := begin(f)
			drained := make(chan error, 1)
			go func() { drained <- f.Drain(context.Background(), annPartition) }()
			await.True(t, "draining", func() bool { return !begins(f) })
			refused := time.Now()
			if f.Reader(annID).Begin() {
				t.Error("a read begins while the partition drains")
			}
			f.wish(respell)
			time.Sleep(20 * time.Millisecond) // lets a Drain that does not wait end, or the wish be carried out
			if len(drained) > 0 {
				t.Errorf("drained during a %s", kind)
			}
			end()
			if err := <-drained; err != nil {
				t.Errorf("Drain = %v", err)
			}
			if loaded, err := f.store.Load(t.Context(), annPartition); err != nil || loaded.ReadUntil.After(refused) {
				t.Errorf("the next owner reads mailboxes due since %v, want since %v: no read has begun since (%v)", loaded.ReadUntil, refused, err)
			}
			if m, _ := f.Get(annID); m.Addresses[0].Spelling != ann {
				t.Error("a wish was carried out while the partition drained")
			}
		})
	}
}
