package mailbox_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
)

// A load whose answer comes after the partition was lost and acquired again does not delay the
// next load, and changes nothing.
func TestLateLoad(t *testing.T) {
	f := monitoring(t)
	f.noHints()
	partition := ooo.RecordID(annID).Partition()
	answered, late := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(answered); <-late })
	hook := func() {
		select {
		case <-answered:
		default:
			first()
		}
	}
	f.Drop(partition)
	f.store.loaded.Store(&hook)
	wait := background(f.Acquire(t.Context(), partition, ownertest.Lease))
	<-answered
	f.acquire(annID)
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
	id := ooo.RecordID(annID)
	// during runs do during the next call about a mailbox that exists, or was removed. wait
	// returns when do has ended.
	during := func(f *fixture, exists bool, do func()) (wait func()) {
		f.eventually("the worker is called", func() bool { return f.worker.knows(annID) })
		var called atomic.Bool
		begun := make(chan func(), 1)
		hook := func(found bool) {
			if found == exists && !called.Swap(true) {
				begun <- background(do)
			}
		}
		f.worker.hook.Store(&hook)
		return func() { (<-begun)() }
	}
	t.Run("start right after a stop", func(t *testing.T) {
		f := monitoring(t)
		wait := during(f, removed, func() {
			f.wish(func(n *ooo.Wish) { n.On, n.StartID = true, "second" })
			f.mailboxOf(annID, "the second start", monitored)
		})
		f.wish(off)
		wait()
		f.eventually("the worker is called for the second start", func() bool {
			m, ok := f.Get(id)
			return ok && m.Addresses[0].StartID == "second" && f.worker.knows(annID)
		})
	})
	t.Run("partition lost during a save", func(t *testing.T) {
		f := monitoring(t)
		wait := during(f, exists, func() { f.Drop(id.Partition()) })
		f.update(func(d *mailbox.Draft) { d.Person.DisplayName = "Anne" })
		wait()
		f.eventually("the mailbox is dropped", func() bool { return !f.worker.knows(annID) })
	})
	t.Run("stop while the mailbox is being scheduled", func(t *testing.T) {
		f := monitoring(t)
		f.noHints()
		wait := during(f, exists, func() { f.wish(off); f.removed() })
		f.acquire(annID)
		wait()
		if f.worker.knows(annID) {
			t.Error("the worker still knows a mailbox that is no longer monitored")
		}
	})
	t.Run("partition acquired again right after a removal", func(t *testing.T) {
		f := monitoring(t)
		f.noHints()
		wait := during(f, removed, func() {
			f.Drop(id.Partition())
			f.wish(func(n *ooo.Wish) { n.On, n.StartID = true, "second" })
			f.Acquire(t.Context(), id.Partition(), ownertest.Lease)()
		})
		f.wish(off)
		wait()
		f.eventually("the worker is called for the second start", func() bool {
			m, ok := f.Get(id)
			return ok && m.Addresses[0].StartID == "second" && f.worker.knows(annID)
		})
	})
}
