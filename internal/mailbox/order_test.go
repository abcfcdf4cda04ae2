package mailbox_test

import (
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// The last call of a worker about a mailbox is what holds.
func TestWorkersAreCalledInOrder(t *testing.T) {
	id := ooo.RecordID(annID)
	ready := func(t *testing.T) *world {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		w.eventually("the worker is called", func() bool { return w.worker.knows(annID) })
		return w
	}
	// during has something happen during the next call of a worker of a kind.
	// wait returns once that has ended.
	during := func(w *world, what string, happen func()) (wait func()) {
		var once sync.Once
		ended := make(chan struct{})
		hook := func(call string) {
			if call == what {
				once.Do(func() {
					go func() { happen(); close(ended) }()
					select {
					case <-ended:
					case <-time.After(100 * time.Millisecond): // it waits for the worker
					}
				})
			}
		}
		w.worker.hook.Store(&hook)
		return func() { <-ended }
	}
	t.Run("a start right after a stop", func(t *testing.T) {
		w := ready(t)
		wait := during(w, "dropped", func() {
			w.wish(func(n *ooo.Wish) { n.On, n.Start = true, "second" })
			w.mailboxOf(annID, "the second start", monitored)
		})
		w.wish(off)
		wait()
		w.eventually("the worker is called for the second start", func() bool {
			m, ok := w.Get(id)
			return ok && m.Addresses[0].Start == "second" && w.worker.knows(annID)
		})
	})
	t.Run("a partition that is lost during a save", func(t *testing.T) {
		w := ready(t)
		wait := during(w, "changed", func() { w.Drop(id.Partition()) })
		_, err := w.Update(t.Context(), id, func(d *mailbox.Draft) error { d.Person.DisplayName = "Anne"; return nil })
		if err != nil {
			t.Fatal(err)
		}
		wait()
		w.eventually("the worker forgets", func() bool { return !w.worker.knows(annID) })
	})
}

func TestHintsOfAStoppedMailboxGo(t *testing.T) {
	w := newWorld(t)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
	if err := w.Leave(t.Context(), ooo.Hint{ID: ooo.RecordID(annID), Kind: ooo.HintRead}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the worker is called", func() bool { return w.worker.hinted(ooo.HintRead) })
	w.wish(off)
	w.eventually("the end", func() bool { _, ok := w.Get(ooo.RecordID(annID)); return !ok })
	w.acquire(bobID) // hints are read then
	w.noHints()
}
