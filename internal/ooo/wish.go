package ooo

import "time"

// Wish says whether an address is to be monitored: what was asked for last. It is
// also the index from an address to its mailbox. Whoever is asked writes it, by
// compare and swap; the owner of the mailbox carries out what it says.
type Wish struct {
	Address string    `json:"address"` // as the mediator spells it
	On      bool      `json:"on"`
	Person  Person    `json:"person,omitzero"` // zero: unresolved
	Start   string    `json:"start"`           // random; new whenever monitoring starts anew
	Nonce   string    `json:"nonce"`           // random; new with every write
	At      time.Time `json:"at"`              // when it was written; later than that of the wish before it
}

// Requester is who asked for an address to be monitored or not.
type Requester string

const (
	Mediator Requester = "mediator" // decides how the address is spelled
	Operator Requester = "operator"
)

// Record returns the id of the record that the wish is about.
func (w Wish) Record() RecordID {
	if w.Person.ID != "" {
		return RecordID(w.Person.ID)
	}
	return UnresolvedID(w.Address)
}
