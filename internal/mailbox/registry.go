// Package mailbox keeps the mailboxes of the partitions that this replica owns.
//
// The records live in memory; Redis holds what must outlive the owner. A record is
// changed in one way only, by [Registry.Update]: a copy is changed and saved, and
// takes the place of the one in memory once Redis has it. The mailbox' mutex is held
// from copy to swap, so memory never runs ahead of Redis, and never over a call of
// Graph or the mediator.
//
// Others ask for work by hints, which are in Redis until they are carried out. Wishes
// are carried out here; the other kinds of hints are for the workers (poll, deliver,
// subscribe), which schedule their work from the records as they are loaded and
// saved.
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
	// Changed says that a mailbox was loaded or saved, or that the wall clock jumped:
	// schedule what it needs next. m must not be changed.
	Changed(m *ooo.Mailbox)
	// Hinted says that a hint waits for an owned mailbox. Each worker picks the kinds
	// that it carries out.
	Hinted(h ooo.Hint)
	// Dropped says that this replica no longer has the mailbox.
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
	Hints(ctx context.Context) (hints []ooo.Hint, damaged []error, err error)
	LeaveHints(ctx context.Context, publish bool, hints ...ooo.Hint) error
	RemoveHints(ctx context.Context, hints ...ooo.Hint) error
	// Listen calls heard for each message, and with a zero one after each connect.
	Listen(ctx context.Context, heard func(store.Message)) error
	PutReads(ctx context.Context, reads map[int]store.Reads) error
}

// Rollback is what it takes to write memory back after Redis came back with older
// data.
type Rollback interface {
	RemoveRecords(ctx context.Context, lease store.Lease, p int, ids ...ooo.RecordID) error
	SetSaves(ctx context.Context, lease store.Lease, p int, n int64) error
	AllWishes(ctx context.Context) ([]ooo.Wish, error)
	SwapWish(ctx context.Context, old, next ooo.Wish, hint ooo.Hint) (bool, error)
}

// Config says what a [Registry] works with.
type Config struct {
	Store Store
	// MayStart says whether this replica may start something in a partition now: it owns
	// it, which was confirmed a short while ago.
	MayStart func(partition int) bool
	Interval time.Duration // between two reads of a mailbox
	// OnPartition hears of each partition that is acquired or lost; it may be nil.
	OnPartition func(change string)
	// OnMessage hears of what a message says beside hints; it may be nil.
	OnMessage func(store.Message)
	// Damaged hears of each record, wish and hint that can't be read, Unknown of hints
	// for mailboxes that are not monitored. Both may be nil.
	Damaged func(kind string)
	Unknown func(kind ooo.HintKind)
	Log     *slog.Logger
}

// Registry has the mailboxes of the partitions that this replica owns.
type Registry struct {
	cfg     Config
	workers []Worker      // set once, before running is closed
	running chan struct{} // closed when Run has begun
	parts   [ooo.Partitions]atomic.Pointer[partition]
	wishes  wishQueue
	look    chan struct{} // capacity 1: look at all hints now
	damaged sync.Map      // what was reported: its id -> struct{}
}

// partition is an owned partition.
type partition struct {
	number int
	lease  store.Lease
	ctx    context.Context // ends when the partition is lost
	lose   context.CancelFunc
	loaded chan struct{} // closed when the records are in memory
	// calling is held for reading while workers hear of changes, so that of a partition
	// that is lost they hear last that it is.
	calling sync.RWMutex

	mu       sync.Mutex
	ready    bool // records and hints are loaded; guarded by mu, as all below
	draining bool
	entries  map[ooo.RecordID]*entry
	hints    map[ooo.RecordID]map[hintKey]ooo.Hint
	stopped  map[string]time.Time // folded address -> time of the wish by which it left, for a rollback
	saves    int64                // in Redis at loading, plus own answered ones
	readsAt  time.Time            // until then the owner before read every mailbox in its place; zero: not known
	inFlight map[operation]struct{}
	calls    int           // deliveries and subscription steps in flight
	idle     chan struct{} // capacity 1: something ended
}

// entry is a mailbox in memory.
type entry struct {
	mu     sync.Mutex                  // held from copy through save to swap
	record atomic.Pointer[ooo.Mailbox] // nil: not saved yet, or removed
	readAt atomic.Int64                // last good read, ns since 1970; 0: unknown
}

type hintKey struct {
	kind    ooo.HintKind
	subject string
}

type operation struct {
	id      ooo.RecordID
	kind    Kind
	subject string
}

// New returns a registry that owns nothing yet.
func New(cfg Config) (*Registry, error) {
	if cfg.Store == nil || cfg.MayStart == nil || cfg.Interval <= 0 {
		return nil, errors.New("mailbox: Store, MayStart and Interval are required")
	}
	if cfg.OnPartition == nil {
		cfg.OnPartition = func(string) {}
	}
	if cfg.OnMessage == nil {
		cfg.OnMessage = func(store.Message) {}
	}
	if cfg.Damaged == nil {
		cfg.Damaged = func(string) {}
	}
	if cfg.Unknown == nil {
		cfg.Unknown = func(ooo.HintKind) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Registry{cfg: cfg, running: make(chan struct{}), look: make(chan struct{}, 1), wishes: newWishQueue()}, nil
}

// Get returns a mailbox as it was saved last; it must not be changed. It is there
// once its partition is loaded.
func (r *Registry) Get(id ooo.RecordID) (*ooo.Mailbox, bool) {
	p := r.parts[id.Partition()].Load()
	if p == nil {
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[id]
	if e == nil || !p.ready {
		return nil, false
	}
	m := e.record.Load()
	return m, m != nil
}

// All yields the mailboxes of the loaded partitions, in no order.
func (r *Registry) All() iter.Seq[*ooo.Mailbox] {
	return func(yield func(*ooo.Mailbox) bool) {
		for i := range r.parts {
			for _, e := range r.parts[i].Load().snapshot() {
				if m := e.record.Load(); m != nil && !yield(m) {
					return
				}
			}
		}
	}
}

// snapshot returns the entries of a partition that is loaded.
func (p *partition) snapshot() []*entry {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ready {
		return nil
	}
	entries := make([]*entry, 0, len(p.entries))
	for _, e := range p.entries {
		entries = append(entries, e)
	}
	return entries
}

// Mailboxes returns how many mailboxes are in memory.
func (r *Registry) Mailboxes() (n int) {
	for i := range r.parts {
		if p := r.parts[i].Load(); p != nil {
			p.mu.Lock()
			n += len(p.entries)
			p.mu.Unlock()
		}
	}
	return n
}

// Begin notes that work on a mailbox begins; subject is the folded address of a
// delivery and empty otherwise. It returns false if the work must not begin now:
// the partition is not owned, not loaded or drained, the ownership was not confirmed
// in time, or the same is in flight. done must be called when the work has ended,
// its result saved. A subscription step may be about a mailbox that is not known.
func (r *Registry) Begin(id ooo.RecordID, kind Kind, subject string) (done func(), ok bool) {
	p := r.parts[id.Partition()].Load()
	if p == nil || !r.cfg.MayStart(p.number) {
		return nil, false
	}
	op := operation{id, kind, subject}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, busy := p.inFlight[op]
	if !p.ready || p.draining || busy || p.ctx.Err() != nil || p.entries[id] == nil && kind != Subscription {
		return nil, false
	}
	p.inFlight[op] = struct{}{}
	calls := 1
	if kind == Read {
		calls = 0
	}
	p.calls += calls
	return func() {
		p.mu.Lock()
		delete(p.inFlight, op)
		p.calls -= calls
		p.mu.Unlock()
		select {
		case p.idle <- struct{}{}:
		default: // a wake-up is already waiting
		}
	}, true
}

// WasRead notes that a mailbox was read with success.
func (r *Registry) WasRead(id ooo.RecordID, at time.Time) {
	if e := r.entry(id); e != nil {
		e.readAt.Store(at.UnixNano())
	}
}

// LastRead returns when a mailbox was last read with success, as far as is known
// here; zero: never.
func (r *Registry) LastRead(id ooo.RecordID) time.Time {
	e := r.entry(id)
	if e == nil {
		return time.Time{}
	}
	if at := e.readAt.Load(); at != 0 {
		return time.Unix(0, at)
	}
	if m := e.record.Load(); m != nil {
		return m.CheckedAt
	}
	return time.Time{}
}

// ReadsAt returns until when another owner read the mailboxes of a partition, each in
// its place, before this replica loaded them; zero if that is not known.
func (r *Registry) ReadsAt(partition int) time.Time {
	p := r.parts[partition].Load()
	if p == nil {
		return time.Time{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readsAt
}

func (r *Registry) entry(id ooo.RecordID) *entry {
	p := r.parts[id.Partition()].Load()
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries[id]
}
