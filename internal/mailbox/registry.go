// Package mailbox keeps the mailboxes of the partitions that this replica owns.
//
// The records live in memory; Redis holds what must outlive the owner. A record is
// changed in one way only, by [Registry.Update]: a copy is changed and saved, and
// replaces the one in memory once Redis has it. The mailbox' mutex is held from copy
// to swap, so memory never runs ahead of Redis, and never over a call of Graph or the
// mediator.
//
// Others ask for work by hints, which stay in Redis until they are carried out. Wishes
// are carried out here; the other kinds of hints are for the workers (poll, deliver,
// subscribe), which schedule their work from the records as they are loaded and saved.
package mailbox

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// Worker does one kind of work on the mailboxes. Its methods must return quickly
// and must not call the registry, except for Get and Hints.
type Worker interface {
	// Changed is called after a mailbox was loaded or saved, or the wall clock jumped:
	// schedule what it needs next. m must not be changed.
	Changed(m *ooo.Mailbox)
	// Hinted is called when a hint waits for an owned mailbox. Each worker picks the
	// kinds that it carries out.
	Hinted(h ooo.Hint)
	// Dropped is called when this replica no longer has the mailbox.
	Dropped(id ooo.RecordID)
}

// Store keeps records, wishes and hints in Redis.
type Store interface {
	Load(ctx context.Context, p int) (store.Loaded, error)
	Save(ctx context.Context, s store.Save) error
	Wish(ctx context.Context, address string) (ooo.Wish, error)
	Hints
	Rollback
}

// Hints are the hints of all mailboxes.
type Hints interface {
	Hints(ctx context.Context) ([]ooo.Hint, error)
	LeaveHints(ctx context.Context, publish bool, hints ...ooo.Hint) error
	RemoveHints(ctx context.Context, hints ...ooo.Hint) error
	// Listen calls receive for each message, and with a zero one after each connect.
	Listen(ctx context.Context, receive func(store.Message)) error
	PutReads(ctx context.Context, reads map[int]store.Reads) error
}

// Rollback is what it takes to restore Redis after it came back with older data.
type Rollback interface {
	SetSaves(ctx context.Context, lease store.Lease, p int, n int64) error
	AllWishes(ctx context.Context) ([]ooo.Wish, error)
	SwapWish(ctx context.Context, old, next ooo.Wish, hint ooo.Hint) (bool, error)
}

// Config says what a [Registry] works with. The callbacks and Log may be nil.
type Config struct {
	Store Store
	// MayStart reports whether this replica may start something in a partition now: it owns
	// it, which was confirmed a short while ago.
	MayStart func(partition int) bool
	Interval time.Duration // between two reads of a mailbox

	OnPartition   func(change string)     // a partition was "acquired" or "lost"
	OnTable       func()                  // a replica changed the table of owners
	OnUnknownHint func(kind ooo.HintKind) // a hint for a mailbox that is not monitored
	Log           *slog.Logger
}

// Registry has the mailboxes of the partitions that this replica owns.
type Registry struct {
	cfg     Config
	workers []Worker      // set once, before running is closed
	running chan struct{} // closed when Run has begun
	parts   [ooo.Partitions]atomic.Pointer[partition]
	wishes  *schedule.Queue[wishKey] // to be carried out
	tasks   sync.WaitGroup           // wishes in flight
	reread  chan struct{}            // capacity 1: read all hints now
}

// New returns a registry that owns nothing yet.
func New(cfg Config) (*Registry, error) {
	if cfg.Store == nil || cfg.MayStart == nil || cfg.Interval <= 0 {
		return nil, errors.New("mailbox: Store, MayStart and Interval are required")
	}
	if cfg.OnPartition == nil {
		cfg.OnPartition = func(string) {}
	}
	if cfg.OnTable == nil {
		cfg.OnTable = func() {}
	}
	if cfg.OnUnknownHint == nil {
		cfg.OnUnknownHint = func(ooo.HintKind) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Registry{cfg: cfg, running: make(chan struct{}), reread: make(chan struct{}, 1), wishes: schedule.New[wishKey]()}, nil
}

// owned yields the partitions that this replica has, loaded or not.
func (r *Registry) owned() iter.Seq[*partition] {
	return func(yield func(*partition) bool) {
		for i := range r.parts {
			if p := r.parts[i].Load(); p != nil && !yield(p) {
				return
			}
		}
	}
}

// locked calls do with a partition and its mutex held, if this replica has it.
func (r *Registry) locked(number int, do func(p *partition)) {
	if p := r.parts[number].Load(); p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		do(p)
	}
}

// Get returns a mailbox as it was saved last; it must not be changed. It is there
// once its partition is loaded.
func (r *Registry) Get(id ooo.RecordID) (m *ooo.Mailbox, ok bool) {
	if e := r.entry(id); e != nil {
		m = e.record.Load()
	}
	return m, m != nil
}

func (r *Registry) entry(id ooo.RecordID) (e *entry) {
	r.locked(id.Partition(), func(p *partition) {
		if p.ready && p.known(id) {
			e = p.entries[id]
		}
	})
	return e
}

// All yields the mailboxes of the loaded partitions, in no order.
func (r *Registry) All() iter.Seq[*ooo.Mailbox] {
	return func(yield func(*ooo.Mailbox) bool) {
		for p := range r.owned() {
			for _, e := range p.snapshot() {
				if m := e.record.Load(); m != nil && !yield(m) {
					return
				}
			}
		}
	}
}

// Mailboxes returns how many mailboxes are in memory.
func (r *Registry) Mailboxes() (n int) {
	for p := range r.owned() {
		p.mu.Lock()
		n += p.records
		p.mu.Unlock()
	}
	return n
}

// LastRead returns when a mailbox was last read with success, as far as is known
// here; zero: never.
func (r *Registry) LastRead(id ooo.RecordID) time.Time {
	if e := r.entry(id); e != nil {
		if m := e.record.Load(); m != nil {
			return e.lastRead(m)
		}
	}
	return time.Time{}
}

// ReadsAt returns until when another owner read the mailboxes of a partition, each in
// its place, before this replica loaded them; zero if that is not known.
func (r *Registry) ReadsAt(number int) (at time.Time) {
	r.locked(number, func(p *partition) { at = p.readsAt })
	return at
}
