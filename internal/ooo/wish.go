package ooo

import "time"

// Wish is the last request for an address, to monitor it or not. It is also the index from
// an address to its mailbox. Any replica may write it, by compare-and-swap; the owner of the
// mailbox carries it out. An [Address] keeps all of it but the person, whom its mailbox has,
// because the owner writes the wish again when the address moves to another mailbox or Redis
// came back with older data: setWish in package mailbox copies a wish into its address, and
// wishFor copies it back.
type Wish struct {
	Address string `json:"address"`         // as the mediator spells it
	On      bool   `json:"on"`              // monitor it
	Person  Person `json:"person,omitzero"` // zero: unresolved
	StartID string `json:"start"`           // random; changes whenever monitoring starts again
	Nonce   string `json:"nonce"`           // random; changes with every write
	// At is when monitoring was last started or stopped. It grows with each start and stop, and nothing
	// else may change it: the retry of an older stop leaves a wish alone that is newer.
	At time.Time `json:"at"`
}

// Requester is who asked to start or stop monitoring an address. It is not stored.
type Requester string

const (
	Mediator Requester = "mediator" // decides how the address is spelled
	Operator Requester = "operator"
)

// Record returns the id of the wish's record.
func (w Wish) Record() RecordID {
	if w.Person.ID != "" {
		return RecordID(w.Person.ID)
	}
	return UnresolvedID(w.Address)
}

// Hint returns a hint about the wish for the owner of its record, without nonce and time.
func (w Wish) Hint(kind HintKind) Hint {
	h := Hint{ID: w.Record(), Kind: kind, Source: SourceRequest}
	if kind == HintWish || kind == HintResend {
		h.Subject = FoldAddress(w.Address)
	}
	return h
}
