package mailbox

import (
	"time"

	"outlook-monitor/internal/ooo"
)

// Draft is a record that is being changed, with what is to happen in the same
// write.
type Draft struct {
	*ooo.Mailbox
}

// Event adds an entry to the history of an address.
func (d *Draft) Event(a *ooo.Address, e ooo.Event) { panic("") }

// EventAll adds an entry to the history of each address.
func (d *Draft) EventAll(e ooo.Event) { panic("") }

// QueueState has the state of the mailbox delivered under each of its addresses:
// each gets a new sequence number and webhook id, and the events "overtaken" where
// an earlier state was not acknowledged yet, and "changed". Of the hint that
// announced it, zero if none did, time, notification and trace are noted.
func (d *Draft) QueueState(source ooo.Source, hint ooo.Hint, now time.Time) { panic("") }

// Done removes a hint with this save, unless it was left again meanwhile.
func (d *Draft) Done(hints ...ooo.Hint) { panic("") }

// Leave leaves hints with this save.
func (d *Draft) Leave(hints ...ooo.Hint) { panic("") }

// Remove deletes the record.
func (d *Draft) Remove() { panic("") }

// DropAddress takes an address out of the record. With forget its history goes too.
func (d *Draft) DropAddress(a *ooo.Address, forget bool) { panic("") }

// SwapWish replaces a wish with this save, or removes it if next is nil, unless
// it was changed meanwhile. (current is the wish as the registry knows it.)
func (d *Draft) SwapWish(current ooo.Wish, next *ooo.Wish) { panic("") }
