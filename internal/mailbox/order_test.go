package mailbox_test

import (
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// What workers hear last of a mailbox is what holds.
func TestWorkersHearInOrder(t *testing.T) {
	id := ooo.RecordID(annID)
	ready := func(t *testing.T) *world {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		w.eventually("the worker hears", func() bool { return w.worker.knows(annID) })
		return w
	}
	// during has something happen while the worker hears of the next change of a kind.
	during := func(w *world, what string, happen func()) {
		var once sync.Once
		hook := func(heard string) {
			if heard == what {
				once.Do(func() {
					ended := make(chan struct{})
					go func() { happen(); close(ended) }()
					select {
					case <-ended:
					case <-time.After(100 * time.Millisecond): // it waits for the worker
					}
				})
			}
		}
		w.worker.hook.Store(&hook)
	}
	t.Run("a start right after a stop", func(t *testing.T) {
		w := ready(t)
		during(w, "dropped", func() {
			w.wish(func(n *ooo.Wish) { n.On, n.Start = true, "second" })
			w.mailboxOf(annID, "the second start", monitored)
		})
		w.wish(off)
		w.eventually("the worker hears of the second start", func() bool {
			m, ok := w.Get(id)
			return ok && m.Addresses[0].Start == "second" && w.worker.knows(annID)
		})
	})
	t.Run("a partition that is lost during a save", func(t *testing.T) {
		w := ready(t)
		during(w, "changed", func() { w.Drop(id.Partition()) })
		_, err := w.Update(t.Context(), id, func(d *mailbox.Draft) error { d.Person.DisplayName = "Anne"; return nil })
		if err != nil {
			t.Fatal(err)
		}
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
	w.eventually("the worker hears", func() bool { return w.worker.hinted(ooo.HintRead) })
	w.wish(off)
	w.noHints()
}
