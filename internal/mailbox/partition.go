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

// partition is an owned partition. It is first loaded, when its records are in memory,
// and then ready, when the hints were read too and the wishes among them carried out.
type partition struct {
	number   int
	lease    store.Lease
	mayStart func(number int) bool // of the registry's configuration
	ctx      context.Context       // ends when the partition is lost
	lose     context.CancelFunc
	hinted   chan struct{} // closed when the hints were read after it was loaded
	// calling is held for reading while workers are called, so that the last call about
	// a partition that is lost is Dropped.
	calling sync.RWMutex
	// saving is held for reading during a save, so that the number of saves can be set.
	saving sync.RWMutex

	mu       sync.Mutex
	loaded   bool // guarded by mu, as all below
	ready    bool
	draining bool
	entries  map[ooo.RecordID]*entry // also of removed records, so that a new one with the same id waits
	records  int
	hints    map[ooo.RecordID]map[hintKey]ooo.Hint
	stopped  map[string]time.Time // folded address -> time of the wish by which it left, for a rollback
	saves    int64                // in Redis at loading, plus own answered ones
	readsAt  time.Time            // until then the owner before read every mailbox in its place; zero: not known
	inFlight map[operation]struct{}
	reads    int           // in flight
	idle     chan struct{} // capacity 1: a read or an operation ended
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

// Kind is a kind of work on a mailbox beside its reads. One operation of a kind is in
// flight for a mailbox at a time; deliveries and wishes, for an address.
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
		number: number, lease: lease, mayStart: r.cfg.MayStart, hinted: make(chan struct{}), idle: make(chan struct{}, 1),
		entries: map[ooo.RecordID]*entry{}, hints: map[ooo.RecordID]map[hintKey]ooo.Hint{}, stopped: map[string]time.Time{},
		inFlight: map[operation]struct{}{},
	}
	p.ctx, p.lose = context.WithCancel(ctx)
	return p
}

// snapshot returns the entries of a partition that is ready.
func (p *partition) snapshot() []*entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ready {
		return nil
	}
	return slices.Collect(maps.Values(p.entries))
}

// lastRead returns when a mailbox was last read with success.
func (e *entry) lastRead(m *ooo.Mailbox) time.Time {
	if at := e.readAt.Load(); at != 0 {
		return time.Unix(0, at).UTC()
	}
	return m.CheckedAt
}

// put puts a record, or none, into its entry. The caller holds mu.
func (p *partition) put(e *entry, m *ooo.Mailbox) {
	if e.record.Swap(m) != nil {
		p.records--
	}
	if m != nil {
		p.records++
	}
}

// entry returns the entry of a record, an empty one if there was none. The caller holds
// mu.
func (p *partition) entry(id ooo.RecordID) *entry {
	e := p.entries[id]
	if e == nil {
		e = &entry{}
		p.entries[id] = e
	}
	return e
}

// known reports whether there is a record. The caller holds mu.
func (p *partition) known(id ooo.RecordID) bool {
	e := p.entries[id]
	return e != nil && e.record.Load() != nil
}

// Begin notes that work on a mailbox begins; subject is the folded address of a
// delivery and empty otherwise. It returns false if the work must not begin now:
// the partition is not owned, not ready or drained, the ownership was not confirmed
// in time, or the same is in flight. done must be called when the work has ended,
// its result saved. A subscription step may be about a mailbox that is not known.
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

// open reports whether work may begin, as far as the partition goes. The caller holds mu.
func (p *partition) open() bool { return p.ready && !p.draining && p.ctx.Err() == nil }

// begin notes an operation as in flight, unless it is already. The caller holds mu.
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

// wakeDrain has Drain see what is still in flight.
func (p *partition) wakeDrain() {
	select {
	case p.idle <- struct{}{}:
	default: // a wake-up is already waiting
	}
}

// Reader begins the reads of one mailbox. It has what would have to be looked up for each
// of them: with that, the bar for the CPU of a read at 10,000 mailboxes fails.
type Reader struct {
	partition *partition // nil: this replica does not have the mailbox
	entry     *entry
}

// Reader returns the reader of a mailbox. It is of use as long as this replica has the
// mailbox.
func (r *Registry) Reader(id ooo.RecordID) (reader Reader) {
	r.locked(id.Partition(), func(p *partition) {
		if e := p.entries[id]; e != nil {
			reader = Reader{p, e}
		}
	})
	return reader
}

// Begin notes that a read begins, under the conditions of [Registry.Begin]; that no
// other one is in flight is for the caller to see to. End must be called when its result
// is saved.
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

// Succeeded notes when Graph answered.
func (r Reader) Succeeded(at time.Time) { r.entry.readAt.Store(at.UnixNano()) }

// End notes that a read has ended.
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

// Saves returns how many saves Redis must have seen of a partition, at least.
func (r *Registry) Saves(number int) (n int64, known bool) {
	r.locked(number, func(p *partition) { n, known = p.saves, p.loaded })
	return n, known
}
