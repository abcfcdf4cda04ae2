package poll_test

import (
	"errors"
	"testing"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/store"
)

// The registry adopts a newer record that Redis has, see package mailbox. The mailbox must be
// compared with that record even if its answer is the one that the poller knows.
func TestAdoptedRecordIsComparedWithTheMailbox(t *testing.T) {
	run(t, nil, onlyAnn(away), func(f *fixture) {
		time.Sleep(5 * time.Second)
		newer := f.get("ann").Clone()
		newer.Version += 5
		setting := poll.Config{}.Policy.Apply(off)
		newer.Setting, newer.State = &setting, &ooo.State{Message: setting.Message}
		if f.adopt(newer); f.get("ann").State.Away {
			f.Fatalf("state = %+v, want that of the newer record", f.get("ann").State)
		}
		time.Sleep(5 * time.Second)
		if m := f.get("ann"); !m.State.Away {
			f.Errorf("state = %+v, want that of the mailbox", m.State)
		}
	})
}

// Another owner was asked to wait.
func TestAdoptedRetryAfterIsHonoured(t *testing.T) {
	run(t, nil, onlyAnn(away), func(f *fixture) {
		time.Sleep(5 * time.Second)
		newer := f.get("ann").Clone()
		newer.Version += 5
		newer.ReadFailures, newer.ReadRetryAt, newer.ReadThrottled = 1, time.Now().Add(time.Minute), true
		f.adopt(newer)
		time.Sleep(time.Second) // a read may be in flight
		f.graph.takeReads(annID)
		time.Sleep(58 * time.Second)
		if n := len(f.graph.takeReads(annID)); n > 0 {
			f.Errorf("%d reads, want none before the wait is over", n)
		}
		time.Sleep(10 * time.Second)
		if n, m := len(f.graph.takeReads(annID)), f.get("ann"); n < 4 || m.ReadFailures != 0 {
			f.Errorf("%d reads after the wait, record %+v, want the usual cadence and no failure", n, m)
		}
	})
}

func TestAdoptedAddressIsLookedUpAgain(t *testing.T) {
	run(t, nil, onlyAnn(unresolved), func(f *fixture) {
		time.Sleep(time.Second)
		m, _ := f.registry.Get(unresolvedAnn)
		newer := m.Clone()
		newer.Version += 5
		if err := f.store.Store.Save(f.Context(), store.Save{Lease: ownertest.Lease, Record: newer, Overwrite: true}); err != nil {
			f.Fatal(err)
		}
		f.graph.locked(func() { f.graph.people[annAddress], f.graph.settings[annID] = ooo.Person{ID: annID}, on })
		time.Sleep(30 * time.Second)
		if m := f.get("ann"); m.Address(annAddress) == nil {
			f.Errorf("record = %+v, want that of Ann", m)
		}
	})
}

// adopt makes the registry adopt a newer record.
func (f *fixture) adopt(newer *ooo.Mailbox) {
	f.Helper()
	err := f.store.Store.Save(f.Context(), store.Save{Lease: ownertest.Lease, Record: newer, Overwrite: true})
	if err != nil {
		f.Fatal(err)
	}
	_, err = f.registry.Update(newer.ID, func(d *mailbox.Draft) error {
		d.EventAll(ooo.Event{At: time.Now(), Kind: ooo.EventResend})
		return nil
	})
	if !errors.Is(err, ooo.ErrNotOwner) {
		f.Fatalf("Update = %v, want ErrNotOwner", err)
	}
}
