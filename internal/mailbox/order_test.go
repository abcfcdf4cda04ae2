package mailbox_test

import (
	"sync"
	"testing"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// Workers rely on the last call about a mailbox.
func TestWorkerCallOrder(t *testing.T) {
	id := ooo.RecordID(annID)
	// during runs do during the next call of a worker method. wait returns when do has
	// ended.
	during := func(f *fixture, method string, do func()) (wait func()) {
		f.eventually("the worker is called", func() bool { return f.worker.knows(annID) })
		var once sync.Once
		begun := make(chan func(), 1)
		hook := func(call string) {
			if call == method {
				once.Do(func() { begun <- background(do) })
			}
		}
		f.worker.hook.Store(&hook)
		return func() { (<-begun)() }
	}
	t.Run("start right after a stop", func(t *testing.T) {
		f := monitoring(t)
		wait := during(f, "dropped", func() {
			f.wish(func(n *ooo.Wish) { n.On, n.Start = true, "second" })
			f.mailboxOf(annID, "the second start", monitored)
		})
		f.wish(off)
		wait()
		f.eventually("the worker is called for the second start", func() bool {
			m, ok := f.Get(id)
			return ok && m.Addresses[0].Start == "second" && f.worker.knows(annID)
		})
	})
	t.Run("partition lost during a save", func(t *testing.T) {
		f := monitoring(t)
		wait := during(f, "changed", func() { f.Drop(id.Partition()) })
		f.update(func(d *mailbox.Draft) { d.Person.DisplayName = "Anne" })
		wait()
		f.eventually("the mailbox is dropped", func() bool { return !f.worker.knows(annID) })
	})
}
