package mailbox_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/store"
)

func TestRestore(t *testing.T) {
	f := monitoring(t)
	older := f.field(annRecords, annID)
	f.update(away)
	saves, _ := f.Saves(annPartition)
	restored := func(t *testing.T) {
		f.store.hooks.Store("AllWishes", func() { t.Error("read all wishes, which takes too long for each partition") })
		defer f.store.hooks.Delete("AllWishes")
		f.restore(annPartition)
		loaded, err := f.store.Load(t.Context(), annPartition)
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
		removed := ""
		for i := 0; ooo.RecordID(removed).Partition() != annPartition; i++ {
			removed = fmt.Sprint("x", i)
		}
		f.put(annRecords, annID, older)
		f.put(annRecords, removed, `1:{"id":"`+removed+`","addresses":[]}`)
		f.put(owners, store.SavesField(annPartition), 1)
		restored(t)
	})
	t.Run("damaged record", func(t *testing.T) {
		f.put(annRecords, annID, "9:{")
		restored(t)
	})
	t.Run("empty Redis", func(t *testing.T) {
		f.empty()
		restored(t)
	})
	t.Run("newer wish that another owner has carried out in the older record", func(t *testing.T) {
		f.put(annRecords, annID, older)
		_, wish, _ := strings.Cut(f.field(wishes, folded), ":")
		f.put(wishes, folded, "newer:"+strings.Replace(wish, "first", "second", 1))
		f.restore(annPartition)
		f.mailboxOf(annID, "the second start", startedAgain)
	})
	t.Run("record that was removed", func(t *testing.T) {
		record := f.field(annRecords, annID)
		f.wish(off)
		f.removed()
		f.noHints()
		f.put(annRecords, annID, record)
		f.restore(annPartition)
		if got := f.field(annRecords, annID); got != "" {
			t.Errorf("stored record = %s, want none", got)
		}
		f.put(annRecords, annID, record)
		f.wish(again)
		f.mailboxOf(annID, "the second start", startedAgain)
		f.noHints()
		if got := f.store.Record(t, annID); got == nil || got.Addresses[0].StartID != "second" || got.State != nil {
			t.Errorf("stored record = %+v, want the second start without the old state", got)
		}
		f.put(wishes, folded, "x:{")
		f.restore(annPartition) // ends although the wish is damaged
	})
}

func TestRestoreSkipsRecordRemovedMeanwhile(t *testing.T) {
	f := monitoring(t)
	f.update(away)
	f.raw.Del(t.Context(), annRecords)
	var removed func()
	f.store.BeforeSaves(func(store.Save) error {
		f.store.BeforeSaves(nil)
		removed = background(func() { f.update(func(d *mailbox.Draft) { d.Remove() }) })
		return nil
	})
	f.restore(annPartition)
	removed()
	if record := f.field(annRecords, annID); strings.HasPrefix(record, "2:") { // the wish may create version 1
		t.Errorf("stored record = %s, want none", record)
	}
}

func TestRestoreAfterOlderWishKeepsAddressInOneRecord(t *testing.T) {
	f := monitoring(t)
	older := f.field(wishes, folded)
	f.update(move)
	f.mailboxOf(bobID, "the address in the other record", monitored)
	f.put(wishes, folded, older)
	f.hintWish()
	f.mailboxOf(annID, "the address in both records", monitored)
	f.restore(bobPartition)
	f.noHints()
	await.True(f.t, "the address in one record", func() bool { _, ok := f.Get(annID); return !ok })
	f.mailboxOf(bobID, "the address in its new record", monitored)
}

func TestOlderStopIsIgnored(t *testing.T) {
	f := monitoring(t)
	first := f.field(wishes, folded)
	f.wish(again)
	f.mailboxOf(annID, "the second start", startedAgain)
	f.noHints()
	stop := strings.Replace(first, `"on":true`, `"on":false`, 1)
	f.put(wishes, folded, "stop"+stop[strings.Index(stop, ":"):])
	f.hintWish()
	f.noHints()
	f.restore(annPartition)
	f.noHints()
	f.mailboxOf(annID, "the second start unchanged", startedAgain)
	if wish := f.stored(); !wish.On || wish.StartID != "second" {
		t.Errorf("wish = %+v, want the second start", wish)
	}
}

func TestOlderStartIsIgnored(t *testing.T) {
	f := monitoring(t)
	start, record := f.field(wishes, folded), f.field(annRecords, annID)
	f.wish(off)
	f.removed()
	saves := len(f.store.Saves())
	f.put(wishes, folded, start)
	f.put(owners, store.SavesField(annPartition), 1)
	f.hintWish()
	f.restore(annPartition)
	f.noHints()
	for _, save := range f.store.Saves()[saves:] {
		if monitored(save.Record) {
			t.Errorf("saved %+v, want no start", save.Record)
		}
	}
	if wish := f.stored(); wish.Nonce != "" {
		t.Errorf("wish = %+v, want none", wish)
	}
	f.wish(func(n *ooo.Wish) { again(n); n.At = n.At.Add(-time.Hour) })
	f.mailboxOf(annID, "a start by a replica whose clock is behind", startedAgain)
	f.update(move)
	f.removed()
	f.Drop(bobPartition)
	f.put(wishes, folded, start)
	f.put(annRecords, annID, record)
	f.restore(annPartition)
	f.mailboxOf(annID, "a start, because the stop was before another one", monitored)
}

func TestDamagedRecordIsReplaced(t *testing.T) {
	damage := func(f *fixture) { f.put(annRecords, annID, "9:{") }
	replaced := func(f *fixture) {
		await.True(f.t, "the record in Redis is readable", func() bool {
			loaded, err := f.store.Load(f.t.Context(), annPartition)
			return err == nil && len(loaded.Damaged) == 0 && len(loaded.Records) == 1
		})
	}
	t.Run("by a pending start", func(t *testing.T) {
		f := newFixture(t, damage, func(f *fixture) { f.wish(nil) })
		f.mailboxOf(annID, "the record", monitored)
		f.noHints()
		replaced(f)
	})
	t.Run("by a stop", func(t *testing.T) {
		f := newFixture(t, damage, func(f *fixture) { f.wish(nil); f.wish(off) })
		f.noHints()
		if n, err := f.raw.HLen(t.Context(), annRecords).Result(); n != 0 || err != nil {
			t.Errorf("records = %d, %v, want none", n, err)
		}
	})
	t.Run("by a save", func(t *testing.T) {
		f := monitoring(t)
		damage(f)
		f.update(away)
		replaced(f)
	})
	t.Run("by a start of a mailbox in memory", func(t *testing.T) {
		f := monitoring(t)
		damage(f)
		f.wish(nil)
		replaced(f)
	})
	t.Run("together with its other addresses", func(t *testing.T) {
		f := newFixture(t, func(f *fixture) {
			f.put(annRecords, annID, "x") // has no version either
			f.wish(nil)
			_, wish, _ := strings.Cut(f.field(wishes, folded), ":") // the other one has no hint
			f.put(wishes, "a@contoso.example", "other:"+strings.Replace(wish, ann, "a@contoso.example", 1))
		})
		f.mailboxOf(annID, "both addresses", func(m *ooo.Mailbox) bool { return len(m.Addresses) == 2 })
		replaced(f)
	})
}

func TestMissingWishIsIgnoredAfterRedisCameBackEmpty(t *testing.T) {
	for name, prepare := range map[string]func(f *fixture){
		"hint first": func(*fixture) {},
		"save first": func(f *fixture) { f.update(away) },
	} {
		t.Run(name, func(t *testing.T) {
			f := monitoring(t)
			f.update(away)
			f.noHints()
			f.empty()
			prepare(f)
			f.hintWish()
			f.restore(annPartition)
			f.noHints()
			f.mailboxOf(annID, "the record unchanged", monitored)
			if wish := f.stored(); !wish.On {
				t.Errorf("wish = %+v, want on", wish)
			}
		})
	}
}

func TestRedisComesBackEmptyDuringSave(t *testing.T) {
	const second = "second@contoso.example"
	none := func(m *ooo.Mailbox) bool { return len(m.Addresses) == 0 }
	both := func(m *ooo.Mailbox) bool { return len(m.Addresses) == 2 }
	for name, tt := range map[string]struct {
		save func(f *fixture)
		want func(m *ooo.Mailbox) bool // Ann's record; nil: it is removed
	}{
		"of a stop": {func(f *fixture) { f.wish(off) }, none},
		"of a move": {func(f *fixture) {
			f.update(move)
			f.mailboxOf(bobID, "the address in the other record", monitored)
		}, none},
		"of a move that removes the record": {func(f *fixture) {
			f.update(func(d *mailbox.Draft) {
				d.Subscriptions = nil
				move(d)
			})
			f.mailboxOf(bobID, "the address in the other record", monitored)
		}, nil},
		"of a start, whose hint comes again": {func(f *fixture) {
			f.store.ChangeWish(f.t, second, func(n *ooo.Wish) {
				n.On, n.Person, n.StartID = true, ooo.Person{ID: annID}, "first"
			})
			f.mailboxOf(annID, "both addresses", both)
			f.noHints()
			f.Hint(ooo.Hint{ID: annID, Kind: ooo.HintWish, Subject: second})
		}, both},
	} {
		t.Run(name, func(t *testing.T) {
			f := monitoring(t)
			f.update(func(d *mailbox.Draft) { d.Subscriptions = []ooo.Subscription{{Resource: "r"}} })
			f.noHints()
			f.store.BeforeSaves(func(store.Save) error {
				f.store.BeforeSaves(nil)
				f.empty()
				f.own(bobPartition, ownertest.Lease)
				return nil
			})
			tt.save(f)
			for range 2 {
				await.True(t, "the record is as it was saved", func() bool {
					m, ok := f.Get(annID)
					return ok == (tt.want != nil) && (!ok || tt.want(m))
				})
				f.noHints()
				f.restore(annPartition)
			}
			f.noHints()
			if m, ok := f.Get(annID); ok != (tt.want != nil) || ok && !tt.want(m) {
				t.Errorf("record = %+v, want it as it was saved", m)
			}
			if wish := f.stored(); wish.On == (name == "of a stop") {
				t.Errorf("wish = %+v after the save %s", wish, name)
			}
		})
	}
}

// The removal of a record is not recognized as a repetition.
func TestAnswerOfRemovalIsLost(t *testing.T) {
	f := monitoring(t)
	f.noHints()
	f.store.BeforeSaves(func(s store.Save) error {
		f.store.BeforeSaves(nil)
		return errors.Join(errors.New("no answer"), f.store.Store.Store.Save(t.Context(), s))
	})
	f.update(move)
	f.mailboxOf(bobID, "the address in the other record", monitored)
	f.removed()
	f.noHints()
	saves, _ := f.Saves(annPartition)
	if got := f.field(owners, store.SavesField(annPartition)); got != fmt.Sprint(saves) {
		t.Errorf("Redis counts %s saves, memory %d", got, saves)
	}
}

// A save between reading and writing the number of saves would be missing in it.
func TestRestoreCountsConcurrentSave(t *testing.T) {
	f := monitoring(t)
	var saved func()
	f.store.hooks.Store("SetSaves", func() {
		saved = background(func() { f.update(func(d *mailbox.Draft) { d.Reason = "changed" }) })
	})
	f.restore(annPartition)
	saved()
	saves, _ := f.Saves(annPartition)
	if got, err := f.raw.HGet(t.Context(), owners, store.SavesField(annPartition)).Int64(); got < saves || err != nil {
		t.Errorf("Redis counts %d saves (%v), memory %d", got, err, saves)
	}
}

// Another owner wrote the record and stopped monitoring Ann while Redis had an older table.
func TestNewerRecordInRedisReplacesMemory(t *testing.T) {
	for name, detect := range map[string]func(t *testing.T, f *fixture){
		"on a save": func(t *testing.T, f *fixture) {
			f.store.fail.Store(1)
			if _, err := f.Update(annID, func(d *mailbox.Draft) error { away(d); return nil }); !errors.Is(err, ooo.ErrNotOwner) {
				t.Errorf("Update = %v, want ErrNotOwner", err)
			}
		},
		"on a wish":  func(_ *testing.T, f *fixture) { f.wish(respell) },
		"on Restore": func(_ *testing.T, f *fixture) { background(func() { f.restore(annPartition) }) },
	} {
		t.Run(name, func(t *testing.T) {
			f := monitoring(t)
			f.noHints()
			_, record, _ := strings.Cut(f.field(annRecords, annID), ":")
			f.put(annRecords, annID, "9:"+strings.ReplaceAll(record, ann, "second@contoso.example"))
			f.raw.HDel(t.Context(), wishes, folded)
			detect(t, f)
			f.mailboxOf(annID, "the newer record", func(m *ooo.Mailbox) bool { return m.Address("second@contoso.example") != nil })
			f.noHints()
			if wish := f.stored(); name != "on a wish" && wish.Nonce != "" {
				t.Errorf("wish = %+v, want none: its stop was acknowledged", wish)
			}
			f.update(away)
			if got := f.store.Record(t, annID); got == nil || got.Version < 10 || got.Address("second@contoso.example") == nil {
				t.Errorf("stored record = %+v, want one that follows version 9", got)
			}
		})
	}
}
