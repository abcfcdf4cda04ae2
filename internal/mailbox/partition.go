package mailbox

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// partition is an owned partition. It is loaded once its records are in memory, and
// ready once its hints have been read too and the wishes among them carried out.
type partition struct {
	number   int
	lease    store.Lease
	mayStart func(number int) bool // [Config.MayStart]
	ctx      context.Context       // ends when the partition is lost
	cancel   context.CancelFunc    // of ctx
	// hintsRead is closed when all hints have been read since the partition was loaded.
	hintsRead chan struct{}
	// saving is held for reading during a save, and for writing while the number of saves
	// is restored in Redis.
	saving sync.RWMutex

	mu       sync.Mutex
	loaded   bool // guarded by mu, like all fields below
	ready    bool
	draining bool
	entries  map[ooo.RecordID]*entry // removed records keep theirs, whose mutex a new record with the same ID needs
	hints    map[ooo.RecordID]map[hintKey]ooo.Hint
	stopped  map[string]time.Time // folded address -> time of the wish that ended its monitoring, for [Registry.Restore]
	saves    int64                // counted by Redis when it was loaded, plus answered saves since
	readsAt  time.Time            // see [Registry.ReadsAt]
	inFlight map[operation]struct{}
	reads    int           // in flight
	idle     chan struct{} // capacity 1: signals that a read or an operation ended
}

// entry is a mailbox in memory.
type entry struct {
	mu     sync.Mutex                  // held from copying the record until the saved copy has replaced it
	record atomic.Pointer[ooo.Mailbox] // nil: not saved yet, or removed
	readAt atomic.Int64                // last successful read, in Unix nanoseconds; 0: unknown
}

type hintKey struct {
	kind    ooo.HintKind
	subject string
}

// Kind is a kind of work on a mailbox other than its reads. At most one operation of a
// kind is in flight for each mailbox; deliveries and wishes are counted for each address.
type Kind string

const (
	Delivery     Kind = "delivery"
	Subscription Kind = "subscription"
	wishKind     Kind = "wish"
)

type operation struct {
	id      ooo.RecordID
	kind    Kind
	subject string
}

func (r *Registry) newPartition(ctx context.Context, number int, lease store.Lease) *partition {
	p := &partition{
		number: number, lease: lease, mayStart: r.cfg.MayStart, hintsRead: make(chan struct{}), idle: make(chan struct{}, 1),
		entries: map[ooo.RecordID]*entry{}, hints: map[ooo.RecordID]map[hintKey]ooo.Hint{}, stopped: map[string]time.Time{},
		inFlight: map[operation]struct{}{},
	}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}

// snapshot returns the entries of a partition, none if it is not ready.
func (p *partition) snapshot() []*entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ready {
		return nil
	}
	return slices.Collect(maps.Values(p.entries))
}

// lastRead returns when a mailbox was last read successfully.
func (e *entry) lastRead(m *ooo.Mailbox) time.Time {
	if at := e.readAt.Load(); at != 0 {
		return time.Unix(0, at).UTC()
	}
	return m.CheckedAt
}

// entry returns the entry of a record, adding an empty one if there is none. The caller
// must hold mu.
func (p *partition) entry(id ooo.RecordID) *entry {
	e := p.entries[id]
	if e == nil {
		e = &entry{}
		p.entries[id] = e
	}
	return e
}

// known reports whether a record exists. The caller must hold mu.
func (p *partition) known(id ooo.RecordID) bool {
	e := p.entries[id]
	return e != nil && e.record.Load() != nil
}

// Begin records that work on a mailbox begins; subject is the folded address of a
// delivery and empty otherwise. ok is false if the work must not begin now: the partition
// is not owned, not ready or draining, the ownership was not confirmed in time, the
// mailbox is unknown (which a subscription step allows), or the same work is in flight.
// The caller must call done when the work has ended and its result is saved.
func (r *Registry) Begin(id ooo.RecordID, kind Kind, subject string) (done func(), ok bool) {
	if !r.cfg.MayStart(id.Partition()) {
		return nil, false
	}
	r.locked(id.Partition(), func(p *partition) {
		if p.open() && (p.known(id) || kind == Subscription) {
			done, ok = p.begin(operation{id, kind, subject})
		}
	})
	return done, ok
}

// open reports whether the state of the partition lets work begin. The caller must hold
// mu.
func (p *partition) open() bool { return p.ready && !p.draining && p.ctx.Err() == nil }

// begin adds an operation to those in flight. ok is false if it already is. The caller
// must hold mu.
func (p *partition) begin(op operation) (done func(), ok bool) {
	if _, busy := p.inFlight[op]; busy {
		return nil, false
	}
	p.inFlight[op] = struct{}{}
	return func() {
		p.mu.Lock()
		delete(p.inFlight, op)
		p.mu.Unlock()
		p.wakeDrain()
	}, true
}

// wakeDrain makes Drain check again what is in flight.
func (p *partition) wakeDrain() {
	select {
	case p.idle <- struct{}{}:
	default: // already signaled
	}
}

// Reader begins the reads of one mailbox. It saves the lookups that each read would need:
// with them, the CPU limit for a read at 10,000 mailboxes is exceeded.
type Reader struct {
	partition *partition // nil: this replica does not own the mailbox
	entry     *entry
}

// Reader returns the reader of a mailbox. It works as long as this replica owns the
// mailbox.
func (r *Registry) Reader(id ooo.RecordID) (reader Reader) {
	r.locked(id.Partition(), func(p *partition) {
		if e := p.entries[id]; e != nil {
			reader = Reader{p, e}
		}
	})
	return reader
}

// Begin records that a read begins. It returns false under the conditions of
// [Registry.Begin], but the caller must ensure that the mailbox has no other read in
// flight. The caller must call End when the result is saved.
func (r Reader) Begin() bool {
	p := r.partition
	if p == nil || !p.mayStart(p.number) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open() {
		return false
	}
	p.reads++
	return true
}

// Succeeded records when Graph answered.
func (r Reader) Succeeded(at time.Time) { r.entry.readAt.Store(at.UnixNano()) }

// End records that a read has ended.
func (r Reader) End() {
	p := r.partition
	p.mu.Lock()
	p.reads--
	p.mu.Unlock()
	p.wakeDrain()
}

// Busy reports whether a delivery or a subscription step is in flight in a partition.
func (r *Registry) Busy(number int) (busy bool) {
	r.locked(number, func(p *partition) {
		for op := range p.inFlight {
			busy = busy || op.kind == Delivery || op.kind == Subscription
		}
	})
	return busy
}

// Saves returns how many saves of a partition Redis must have counted at least. ok is false
// until the partition is loaded.
func (r *Registry) Saves(number int) (n int64, ok bool) {
	r.locked(number, func(p *partition) { n, ok = p.saves, p.loaded })
	return n, ok
}
