package mailbox_test

import (
	"errors"
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

// A load whose answer comes after the partition was lost and acquired again does not delay the
// next load, and changes nothing. Until a partition is loaded, none of its hints is discarded and
// no wish is carried out.
func TestLateLoad(t *testing.T) {
	f := monitoring(t)
	f.update(away)
	f.store.fail.Store(1000)
	f.hintWish() // the wish is read again each second
	answered, late := make(chan struct{}), make(chan struct{})
	var loads atomic.Int32
	f.Drop(annPartition)
	f.store.fail.Store(0)
	f.store.hooks.Store("Load", func() {
		if loads.Add(1) == 1 {
			close(answered)
			<-late
		}
	})
	wait := background(f.Acquire(t.Context(), annPartition, ownertest.Lease))
	<-answered
	must.NoError(t, f.store.LeaveHints(t.Context(), false, ooo.Hint{ID: annID, Kind: ooo.HintRead, Nonce: "n"}, ooo.Hint{ID: "nobody", Kind: ooo.HintRead, Nonce: "n"}))
	f.acquire(bobPartition) // reads the hints
	await.True(t, "the unknown mailbox is counted", func() bool { return f.unknown.Load() > 0 })
	time.Sleep(1100 * time.Millisecond)
	f.restore(annPartition) // would remove the record, which is not in memory
	removed := slices.ContainsFunc(f.store.Saves(), func(s store.Save) bool { return s.Remove })
	_, begins := f.Begin(annID)
	if _, err := f.Update(annID, nil); !errors.Is(err, ooo.ErrNotOwner) {
		t.Errorf("Update = %v, want ErrNotOwner", err)
	}
	if hints, err := f.store.Hints(t.Context()); len(hints) != 2 || removed || begins {
		t.Errorf("hints = %v, %v, a record was removed: %t, work begins: %t, want both of Ann and neither", hints, err, removed, begins)
	}
	f.acquire(annPartition)
	m := f.update(func(d *mailbox.Draft) { d.Person.DisplayName = "Anne" })
	close(late)
	wait()
	if got, ok := f.Get(m.ID); !ok || got != m {
		t.Errorf("Get = %+v after the late answer, want %+v", got, m)
	}
}

// After all calls a worker knows exactly the mailboxes that exist, however late a call comes.
func TestWorkerCallOrder(t *testing.T) {
	const exists, removed = true, false
	for name, tt := range map[string]struct {
		cause     func(f *fixture) // makes the registry call the worker
		call      bool             // about a mailbox that exists, or was removed
		meanwhile func(f *fixture) // happens during that call
		want      bool             // whether the mailbox exists in the end
	}{
		"start right after a stop": {func(f *fixture) { f.wish(off) }, removed, func(f *fixture) {
			f.wish(again)
			f.mailboxOf(annID, "the second start", startedAgain)
		}, exists},
		"partition lost":               {func(f *fixture) { f.Drop(annPartition) }, removed, func(*fixture) {}, removed},
		"partition lost during a save": {func(f *fixture) { f.update(away) }, exists, func(f *fixture) { f.Drop(annPartition) }, removed},
		"stop while the mailbox is being scheduled": {func(f *fixture) { f.acquire(annPartition) }, exists, func(f *fixture) {
			f.wish(off)
			f.removed()
		}, removed},
		"partition acquired again right after a removal": {func(f *fixture) { f.wish(off) }, removed, func(f *fixture) {
			f.Drop(annPartition)
			f.wish(again)
			f.acquire(annPartition)
		}, exists},
	} {
		t.Run(name, func(t *testing.T) {
			f := monitoring(t)
			f.noHints()
			await.True(t, "the worker is called", func() bool { return f.worker.knowsAnn() })
			var called atomic.Bool
			begun := make(chan func(), 1)
			hook := func(found bool) {
				if found == tt.call && !called.Swap(true) {
					begun <- background(func() { tt.meanwhile(f) })
				}
			}
			f.worker.hook.Store(&hook)
			tt.cause(f)
			wait := <-begun
			wait()
			await.True(t, "the worker knows what exists", func() bool {
				m, found := f.Get(annID)
				return found == tt.want && f.worker.knowsAnn() == tt.want && (!found || startedAgain(m))
			})
		})
	}
}

// A stop may have begun to delete the subscriptions of the mailbox.
func TestStartAfterStopRenewsSubscriptions(t *testing.T) {
	f := monitoring(t)
	f.update(func(d *mailbox.Draft) {
		d.Subscriptions = []ooo.Subscription{{ID: "s", RenewAt: time.Now().Add(time.Hour)}}
	})
	f.wish(off)
	f.mailboxOf(annID, "the stop", func(m *ooo.Mailbox) bool { return !m.Monitored() })
	f.wish(again)
	if m := f.mailboxOf(annID, "the second start", startedAgain); m.Subscriptions[0].RenewAt.After(time.Now()) {
		t.Errorf("renewal at %v, want it due, because it finds out whether the subscription exists", m.Subscriptions[0].RenewAt)
	}
}
