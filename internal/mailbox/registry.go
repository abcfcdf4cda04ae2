// Package mailbox keeps the mailboxes of the partitions that this replica owns.
//
// The records live in memory; Redis holds what must outlive the owner. A record changes
// only through [Registry.Update]: a copy is changed and saved, and replaces the one in
// memory once Redis has it. The mutex of the mailbox is held from the copy to the
// replacement, so memory never runs ahead of Redis. It is never held during a call to
// Graph or the mediator.
//
// Any replica requests work by leaving a hint, which stays in Redis until it is carried
// out. This package carries out wishes. Other kinds of hints are for the workers (poll,
// deliver, subscribe), which schedule their work from the records that are loaded and
// saved.
//
// A mailbox whose last address is dropped is no longer read and has no deliveries. Its
// record stays until the subscribe package has deleted its subscriptions at Graph.
package mailbox

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// Worker does one kind of work on the mailboxes. Its methods must return quickly and may call
// only methods of the registry that read its memory, such as Get and Hints: the mutex of the
// mailbox may be held.
type Worker interface {
	// Refresh is called after a mailbox was loaded, saved, removed or lost with its partition,
	// or the wall clock jumped. The worker schedules the mailbox by the record that Get returns,
	// or forgets it if there is none. Calls may come late and in any order, so the worker must
	// call Get with the mutex held that guards its schedule.
	Refresh(id ooo.RecordID)
	// Hinted is called with each new hint for an owned mailbox. A worker ignores the kinds
	// that do not concern it.
	Hinted(h ooo.Hint)
}

// Store keeps records, wishes, hints and the times of reads in Redis.
type Store interface {
	Load(ctx context.Context, p int) (store.Loaded, error)
	LoadRecord(ctx context.Context, id ooo.RecordID) (*ooo.Mailbox, error)
	Save(ctx context.Context, s store.Save) error
	SetSaves(ctx context.Context, lease store.Lease, p int, n int64) error
	PutReads(ctx context.Context, reads map[int]store.Reads) error

	Wish(ctx context.Context, address string) (ooo.Wish, error)
	Wishes(ctx context.Context, addresses ...string) ([]ooo.Wish, error)
	AllWishes(ctx context.Context) ([]ooo.Wish, error)
	SwapWish(ctx context.Context, old, next ooo.Wish) (bool, error)

	Hints(ctx context.Context) ([]ooo.Hint, error)
	LeaveHints(ctx context.Context, publish bool, hints ...ooo.Hint) error
	RemoveHints(ctx context.Context, hints ...ooo.Hint) error
	// Listen calls receive with each message, and with a zero one after each connect.
	Listen(ctx context.Context, receive func(store.Message)) error
}

// Config configures a [Registry]. All of it is required.
type Config struct {
	Store Store
	// MayStart reports whether this replica may start work in a partition now: it owns the
	// partition, and the ownership was confirmed in time.
	MayStart func(partition int) bool
	Interval time.Duration // POLL_INTERVAL

	OnPartition   func(change string)     // a partition was "acquired" or "lost"
	OnTable       func()                  // a replica changed the table of owners
	OnUnknownHint func(kind ooo.HintKind) // a hint for a mailbox that is not monitored
	Log           *slog.Logger
}

// Registry holds the mailboxes of the partitions that this replica owns.
type Registry struct {
	cfg     Config
	workers []Worker      // set once, before running is closed
	running chan struct{} // closed when Run has begun
	parts   [ooo.Partitions]atomic.Pointer[partition]
	wishes  *schedule.Queue[wishKey] // to be carried out
	tasks   sync.WaitGroup           // wishes in flight
	saves   chan struct{}            // capacity maxSaves: saves in flight
	reread  chan struct{}            // capacity 1: requests a read of all hints
}

// maxSaves limits the saves in flight. It is less than the store has connections, so that other
// calls get one too.
const maxSaves = 48

// New returns a registry that owns nothing yet.
func New(cfg Config) *Registry {
	return &Registry{
		cfg: cfg, running: make(chan struct{}), reread: make(chan struct{}, 1), saves: make(chan struct{}, maxSaves),
		wishes: schedule.New[wishKey](),
	}
}

// owned yields the partitions that this replica owns, loaded or not.
func (r *Registry) owned() iter.Seq[*partition] {
	return func(yield func(*partition) bool) {
		for i := range r.parts {
			if p := r.parts[i].Load(); p != nil && !yield(p) {
				return
			}
		}
	}
}

// locked calls do with the mutex of a partition held, if this replica owns the partition.
func (r *Registry) locked(number int, do func(p *partition)) {
	if p := r.parts[number].Load(); p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		do(p)
	}
}

// Get returns a mailbox as it was last saved; the caller must not change it. ok is false
// if the mailbox is not monitored or its partition not ready.
func (r *Registry) Get(id ooo.RecordID) (m *ooo.Mailbox, ok bool) {
	r.locked(id.Partition(), func(p *partition) {
		if p.ready {
			m = p.record(id)
		}
	})
	return m, m != nil
}

// All yields the mailboxes of the ready partitions in no particular order.
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

// LastRead returns when a mailbox was last read successfully, as far as this replica
// knows, or zero.
func (r *Registry) LastRead(id ooo.RecordID) (at time.Time) {
	r.locked(id.Partition(), func(p *partition) {
		if m := p.record(id); m != nil && p.ready {
			at = p.entries[id].lastRead(m)
		}
	})
	return at
}

// ReadUntil returns until when the previous owner of a partition read every mailbox in every
// interval, or zero if that is unknown.
func (r *Registry) ReadUntil(number int) (at time.Time) {
	r.locked(number, func(p *partition) { at = p.readUntil })
	return at
}
