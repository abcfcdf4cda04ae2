package mailbox_test

import (
	"sync"
	"testing"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// The last call of a worker about a mailbox is what holds.
func TestWorkersAreCalledInOrder(t *testing.T) {
	id := ooo.RecordID(annID)
	// during has something happen during the next call of a worker of a kind.
	// wait returns once that has ended.
	during := func(w *world, what string, happen func()) (wait func()) {
		w.eventually("the worker is called", func() bool { return w.worker.knows(annID) })
		var once sync.Once
		begun := make(chan func(), 1)
		hook := func(call string) {
			if call == what {
				once.Do(func() { begun <- meanwhile(happen) })
			}
		}
		w.worker.hook.Store(&hook)
		return func() { (<-begun)() }
	}
	t.Run("a start right after a stop", func(t *testing.T) {
		w := monitoring(t)
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
		w := monitoring(t)
		wait := during(w, "changed", func() { w.Drop(id.Partition()) })
		w.update(func(d *mailbox.Draft) { d.Person.DisplayName = "Anne" })
		wait()
		w.eventually("the worker forgets", func() bool { return !w.worker.knows(annID) })
	})
}

func TestHintsOfAStoppedMailboxGo(t *testing.T) {
	w := monitoring(t)
	w.hint(ooo.HintRead)
	w.eventually("the worker is called", func() bool { return w.worker.hinted(ooo.HintRead) })
	w.wish(off)
	w.gone()
	w.acquire(bobID) // hints are read then
	w.noHints()
}
