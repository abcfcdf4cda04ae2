package mailbox

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// Draft is a record that is being changed, with what is to happen in the same
// write. The record itself may be changed in any way but its id and version.
type Draft struct {
	*ooo.Mailbox
	save store.Save
	left map[string]time.Time // folded address -> time of the wish by which it leaves
}

func newDraft(m *ooo.Mailbox) *Draft {
	d := &Draft{Mailbox: m.Clone()}
	d.Version++
	d.save.Record = d.Mailbox
	return d
}

// Event adds an entry to the history of an address.
func (d *Draft) Event(a *ooo.Address, e ooo.Event) {
	d.save.Events = append(d.save.Events, ooo.FeedEntry{Address: a.Spelling, Name: d.Person.DisplayName, Event: e})
}

// EventAll adds an entry to the history of each address.
func (d *Draft) EventAll(e ooo.Event) {
	for i := range d.Addresses {
		d.Event(&d.Addresses[i], e)
	}
}

// QueueState has the state of the mailbox delivered under each of its addresses:
// each gets a new sequence number and webhook id, and its history has what announced
// the change (hint; zero if nothing did).
func (d *Draft) QueueState(source ooo.Source, hint ooo.Hint, now time.Time) {
	for i := range d.Addresses {
		d.queue(&d.Addresses[i], ooo.EventChanged, source, hint, now)
	}
}

// Resend has the present state delivered to one address again.
func (d *Draft) Resend(a *ooo.Address, now time.Time) {
	d.queue(a, ooo.EventResend, ooo.SourceRequest, ooo.Hint{}, now)
}

func (d *Draft) queue(a *ooo.Address, kind ooo.EventKind, source ooo.Source, hint ooo.Hint, now time.Time) {
	if a.Undelivered() && a.Sequence > 0 && a.Delivery.InFlightSince.IsZero() {
		d.Event(a, ooo.Event{At: now, Kind: ooo.EventOvertaken, Sequence: a.Sequence})
	}
	a.Queue(rand.Text(), source, now)
	e := ooo.Event{At: now, Kind: kind, Source: source, Sequence: a.Sequence}
	if d.State != nil {
		e.Away = new(d.State.Away)
	}
	if source == ooo.SourceNotification {
		a.NotifiedAt, e.NotifiedAt, e.NotificationID = hint.At, hint.At, hint.NotificationID
		d.Event(a, ooo.Event{At: hint.At, Kind: ooo.EventNotification, Source: source, NotificationID: hint.NotificationID, NotifiedAt: hint.At})
	}
	a.Trace = hint.Trace
	d.Event(a, e)
}

// Done removes hints with this save, unless they were left again meanwhile.
func (d *Draft) Done(hints ...ooo.Hint) { d.save.DoneHints = append(d.save.DoneHints, hints...) }

// Leave leaves hints with this save.
func (d *Draft) Leave(hints ...ooo.Hint) {
	for _, h := range hints {
		d.save.NewHints = append(d.save.NewHints, stamped(h))
	}
}

// Remove deletes the record.
func (d *Draft) Remove() { d.save.Remove = true }

// AddAddress adds an address, in its order, and returns it.
func (d *Draft) AddAddress(a ooo.Address) *ooo.Address {
	at, _ := slices.BinarySearchFunc(d.Addresses, a, func(x, y ooo.Address) int { return strings.Compare(x.Folded(), y.Folded()) })
	d.Addresses = slices.Insert(d.Addresses, at, a)
	return &d.Addresses[at]
}

// DropAddress takes an address out of the record; with forget its history goes too.
// What a is left pointing at must not be used any more. A record without addresses
// and subscriptions is removed.
func (d *Draft) DropAddress(a *ooo.Address, forget bool) {
	folded := a.Folded()
	d.save.RemovedAddresses = append(d.save.RemovedAddresses, folded)
	if forget {
		d.save.DeletedHistories = append(d.save.DeletedHistories, folded)
	}
	d.Addresses = slices.DeleteFunc(d.Addresses, func(x ooo.Address) bool { return x.Folded() == folded })
	if len(d.Addresses) == 0 && len(d.Subscriptions) == 0 {
		d.Remove()
	}
}

// MoveAddresses moves all addresses, with their deliveries, to the record of another
// person; a zero one is not resolved. A wish that somebody wrote since stays; whoever
// did has left a hint.
func (d *Draft) MoveAddresses(to ooo.Person) {
	for len(d.Addresses) > 0 {
		a := d.Addresses[0]
		next := wishFor(&a, to)
		next.Nonce, next.At = rand.Text(), later(time.Now().UTC(), a.WishedAt.Add(time.Millisecond))
		d.save.Wishes = append(d.save.Wishes, store.WishSwap{Address: a.Spelling, Nonce: a.Nonce, New: &next})
		d.carry(&a, next.Record())
	}
}

// wishFor returns the wish of an address as it was carried out, for a person.
func wishFor(a *ooo.Address, p ooo.Person) ooo.Wish {
	return ooo.Wish{Address: a.Spelling, On: true, Person: p, Start: a.Start, Nonce: a.Nonce, At: a.WishedAt}
}

// carry takes an address out of the record and leaves it to another one.
func (d *Draft) carry(a *ooo.Address, to ooo.RecordID) {
	h := ooo.Hint{ID: to, Kind: ooo.HintCarry, Subject: a.Folded(), Source: ooo.SourceRequest, Carry: new(*a)}
	if d.State != nil {
		h.CarryState = new(*d.State)
	}
	d.Leave(h)
	d.DropAddress(a, false)
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
