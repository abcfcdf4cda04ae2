// Package mailbox keeps the mailboxes of the partitions that this replica owns.
package mailbox

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// Kind is a kind of work on a mailbox. One operation of a kind is in flight for a
// mailbox at a time; deliveries, for an address.
type Kind string

const (
	Read         Kind = "read"
	Delivery     Kind = "delivery"
	Subscription Kind = "subscription"
)

// ErrUnchanged is what a change returns that turned out to need no save.
var ErrUnchanged = errors.New("nothing to save")

// Worker does one kind of work on the mailboxes. Its methods must return quickly
// and must not call the registry back, except for Get and Hints.
type Worker interface {
	// Changed says that a mailbox was loaded or saved: schedule what it needs next. m
	// must not be changed.
	Changed(m *ooo.Mailbox)
	// Hinted says that a hint waits for an owned mailbox. Each worker picks the kinds
	// that it carries out.
	Hinted(h ooo.Hint)
	// Dropped says that this replica no longer has the mailbox.
	Dropped(id ooo.RecordID)
}

// Store keeps the records.
type Store interface {
	Load(ctx context.Context, p int) (store.Loaded, error)
	Save(ctx context.Context, s store.Save) error
	Restore
	Notes
}

// Config says what a [Registry] works with.
type Config struct {
	Store Store
	// InTime says whether this replica may start something now: its ownership was
	// confirmed a short while ago.
	InTime func() bool
	Policy ooo.Policy
	// Damaged hears of each record, wish and hint that can't be read; it may be nil.
	Damaged func(kind string)
	Log     *slog.Logger
}

// Get returns a mailbox as it was saved last; it must not be changed. It is there
// once its partition is loaded.
func (r *Registry) Get(id ooo.RecordID) (*ooo.Mailbox, bool) { panic("") }

// Hints returns the hints of one kind that wait for a mailbox.
func (r *Registry) Hints(id ooo.RecordID, kind ooo.HintKind) []ooo.Hint { panic("") }

// Begin notes that work on a mailbox begins; subject is the folded address of a
// delivery and empty otherwise. It returns false if the work must not begin now:
// the partition is not owned, not loaded or drained, the ownership was not confirmed
// in time, or the same is in flight. done must be called when the work has ended,
// its result saved.
func (r *Registry) Begin(id ooo.RecordID, kind Kind, subject string) (done func(), ok bool) {
	panic("")
}

// Update changes a record: change gets a copy, which is saved and takes the place of
// the one in memory. It returns what is in memory then. While it runs nothing else
// changes the record. A save without an answer is repeated until it is answered,
// whatever ctx says. The error is change's own, nil for [ErrUnchanged],
// [ooo.ErrNotMonitored] if there is no such record, or [ooo.ErrNotOwner] if the
// partition is or gets lost.
func (r *Registry) Update(ctx context.Context, id ooo.RecordID, change func(d *Draft) error) (*ooo.Mailbox, error) {
	panic("")
}

// Leave leaves hints in Redis for the owners of the mailboxes and applies those for
// mailboxes of this replica at once.
func (r *Registry) Leave(ctx context.Context, hints ...ooo.Hint) error { panic("") }

// Done removes hints that were carried out without a save, unless they were left
// again meanwhile.
func (r *Registry) Done(ctx context.Context, hints ...ooo.Hint) error { panic("") }

// All yields the mailboxes of the loaded partitions, in no order.
func (r *Registry) All() iter.Seq[*ooo.Mailbox] { panic("") }

// Len returns how many mailboxes are loaded.
func (r *Registry) Len() int { panic("") }

// WasRead notes that a mailbox was read with success.
func (r *Registry) WasRead(id ooo.RecordID, at time.Time) { panic("") }

// LastRead returns when a mailbox was last read with success, as far as is known
// here; zero: never.
func (r *Registry) LastRead(id ooo.RecordID) time.Time { panic("") }

// Registry has the mailboxes of the partitions that this replica owns.
type Registry struct {
	cfg Config
}

// Run runs the registry with its workers until ctx ends.
func (r *Registry) Run(ctx context.Context, workers ...Worker) error { panic("") }

// New returns a registry that owns nothing yet.
func New(cfg Config) (*Registry, error) { panic("") }

// Restore and Notes are the further methods of the store.
type (
	Restore interface{}
	Notes   interface{}
)
