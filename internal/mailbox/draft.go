package mailbox

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// Draft is a copy of a record that is being changed, with everything else that goes
// into the same write. Any field of the record may be changed except its ID and version.
type Draft struct {
	*ooo.Mailbox
	save store.Save
	// stopped holds the addresses whose monitoring ends, as [partition.stopped] does.
	stopped map[string]time.Time
	onSave  []func()
	onEnd   []func(saved bool)
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

// QueueState queues the state of the mailbox, which must be known, for delivery under each of
// its addresses, each with a new sequence number and webhook id. hint is the notification that
// announced the change, for the history; it is zero if there was none.
func (d *Draft) QueueState(source ooo.Source, hint ooo.Hint, now time.Time) {
	for i := range d.Addresses {
		d.queue(&d.Addresses[i], ooo.EventChanged, source, hint, now)
	}
}

// Resend queues the current state, which must be known, for one address again.
func (d *Draft) Resend(a *ooo.Address, now time.Time) {
	d.queue(a, ooo.EventResend, ooo.SourceRequest, ooo.Hint{}, now)
}

func (d *Draft) queue(a *ooo.Address, kind ooo.EventKind, source ooo.Source, hint ooo.Hint, now time.Time) {
	if a.Undelivered() && a.Delivery.InFlightSince.IsZero() {
		d.Event(a, ooo.Event{At: now, Kind: ooo.EventOvertaken, Sequence: a.Sequence})
	}
	a.Queue(newWebhookID(), source, now)
	e := ooo.Event{At: now, Kind: kind, Source: source, Sequence: a.Sequence, Away: new(d.State.Away)}
	if source == ooo.SourceNotification {
		e.NotifiedAt, e.NotificationID = hint.At, hint.NotificationID
		d.Event(a, ooo.Event{At: hint.At, Kind: ooo.EventNotification, Source: source, NotificationID: hint.NotificationID, NotifiedAt: hint.At})
	}
	a.Trace = hint.Trace
	d.Event(a, e)
}

// newWebhookID returns the webhook-id of a new state, which all its attempts send.
func newWebhookID() string { return rand.Text() }

// RemoveHints removes hints with this save, unless they were left again in the meantime.
func (d *Draft) RemoveHints(hints ...ooo.Hint) { d.save.DoneHints = append(d.save.DoneHints, hints...) }

// LeaveHints leaves hints with this save.
func (d *Draft) LeaveHints(hints ...ooo.Hint) {
	d.save.NewHints = append(d.save.NewHints, stamped(hints)...)
}

// OnSave makes the update call f right before the first attempt of the save, which may have waited
// for other saves since the draft was changed. f may change the record. A retry must repeat the
// same save, so f is not called again. It must return quickly, and not call the registry.
func (d *Draft) OnSave(f func()) { d.onSave = append(d.onSave, f) }

// OnEnd makes the update call f when it ends, with whether the draft was saved. The mutex of
// the mailbox is held then: f must return quickly and call only what a [Worker] may call.
func (d *Draft) OnEnd(f func(saved bool)) { d.onEnd = append(d.onEnd, f) }

// Remove deletes the record.
func (d *Draft) Remove() { d.save.Remove = true }

// AddAddress inserts an address, keeping the addresses sorted, and returns the copy in
// the record.
func (d *Draft) AddAddress(a ooo.Address) *ooo.Address {
	at, _ := slices.BinarySearchFunc(d.Addresses, a, func(x, y ooo.Address) int { return strings.Compare(x.Folded(), y.Folded()) })
	d.Addresses = slices.Insert(d.Addresses, at, a)
	return &d.Addresses[at]
}

// DropAddress removes an address from the record, and with forget its history too. The
// caller must not use a afterwards. A record without addresses and subscriptions is
// removed.
func (d *Draft) DropAddress(a *ooo.Address, forget bool) {
	folded := a.Folded()
	d.save.RemovedAddresses = append(d.save.RemovedAddresses, folded)
	if forget {
		d.save.DeletedHistories = append(d.save.DeletedHistories, folded)
	}
	d.Addresses = slices.DeleteFunc(d.Addresses, func(x ooo.Address) bool { return x.Folded() == folded })
	if !d.Monitored() && len(d.Subscriptions) == 0 {
		d.Remove()
	}
}

// MoveAddresses moves all addresses, with their deliveries, to the record of another
// person, which is zero if the addresses are unresolved. It leaves a wish alone that was
// rewritten in the meantime: the writer has left a hint for it.
func (d *Draft) MoveAddresses(to ooo.Person) {
	for d.Monitored() {
		a := d.Addresses[0]
		next := wishFor(&a, to)
		next.Nonce = rand.Text() // At stays: a move is no request, see [ooo.Wish]
		d.save.Wishes = append(d.save.Wishes, store.WishChange{Old: wishFor(&a, d.Person), New: next})
		d.move(&a, next.Record())
	}
}

// wishFor returns the wish that was carried out for an address, with another person.
func wishFor(a *ooo.Address, p ooo.Person) ooo.Wish {
	return ooo.Wish{Address: a.Spelling, On: true, Person: p, StartID: a.StartID, Nonce: a.Nonce, At: a.WishedAt}
}

// move removes an address from the record and leaves a hint that adds it to another one.
func (d *Draft) move(a *ooo.Address, to ooo.RecordID) {
	h := ooo.Hint{ID: to, Kind: ooo.HintMove, Subject: a.Folded(), Source: ooo.SourceRequest, Moved: new(*a)}
	h.MovedUnknown = d.Condition == ooo.Unknown && !d.Unannounced
	if d.State != nil {
		h.MovedState, h.MovedChangedAt = new(*d.State), d.ChangedAt
	}
	d.LeaveHints(h)
	d.DropAddress(a, false)
}
