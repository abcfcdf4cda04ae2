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

	mu        sync.Mutex
	loaded    bool // guarded by mu, like all fields below
	ready     bool
	drainedAt time.Time               // when Drain began; zero: it has not
	entries   map[ooo.RecordID]*entry // removed records keep theirs, whose mutex a new record with the same ID needs
	hints     map[ooo.RecordID]map[hintKey]ooo.Hint
	stopped   map[string]time.Time // folded address -> time of the wish that ended its monitoring, for [Registry.Restore]
	saves     int64                // counted by Redis when it was loaded, plus answered saves since
	readUntil time.Time            // see [Registry.ReadUntil]
	calls     int                  // in flight: deliveries and subscription steps
	others    int                  // in flight: reads and wishes
	idle      chan struct{}        // capacity 1: signals that something in flight ended
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

func (r *Registry) newPartition(ctx context.Context, number int, lease store.Lease) *partition {
	p := &partition{
		number: number, lease: lease, mayStart: r.cfg.MayStart, hintsRead: make(chan struct{}), idle: make(chan struct{}, 1),
		entries: map[ooo.RecordID]*entry{}, hints: map[ooo.RecordID]map[hintKey]ooo.Hint{}, stopped: map[string]time.Time{},
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

// draining reports whether no work must begin any more. The caller must hold mu.
func (p *partition) draining() bool { return !p.drainedAt.IsZero() }

// lastRead returns when a mailbox was last read successfully.
func (e *entry) lastRead(m *ooo.Mailbox) time.Time {
	if at := e.readAt.Load(); at != 0 {
		return time.Unix(0, at).UTC()
	}
	return m.CheckedAt
}

// ensureEntry returns the entry of a record, adding an empty one if there is none. The caller
// must hold mu.
func (p *partition) ensureEntry(id ooo.RecordID) *entry {
	e := p.entries[id]
	if e == nil {
		e = &entry{}
		p.entries[id] = e
	}
	return e
}

// record returns a record as it was last saved, nil if there is none. The caller must hold mu.
func (p *partition) record(id ooo.RecordID) *ooo.Mailbox {
	if e := p.entries[id]; e != nil {
		return e.record.Load()
	}
	return nil
}

// Begin records that a delivery or a subscription step begins in the partition of a mailbox.
// ok is false if no work must begin there now: this replica does not own the partition or
// has not confirmed that in time, or the partition is not ready or is draining. The caller
// must have nothing of the same kind in flight for the mailbox, and must call done when the
// work has ended and its result is saved.
func (r *Registry) Begin(id ooo.RecordID) (done func(), ok bool) {
	p := r.parts[id.Partition()].Load()
	if p == nil || !p.begin(&p.calls) {
		return nil, false
	}
	return func() { p.end(&p.calls) }, true
}

// begin counts work in counter, which is calls or others, unless no work must begin now.
func (p *partition) begin(counter *int) bool {
	if !p.mayStart(p.number) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ready || p.draining() || p.ctx.Err() != nil {
		return false
	}
	*counter++
	return true
}

// end counts work in counter as ended, and makes Drain check again what is in flight.
func (p *partition) end(counter *int) {
	p.mu.Lock()
	*counter--
	p.mu.Unlock()
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
// [Registry.Begin]. The caller must have no other read of the mailbox in flight, and must call
// End when the result is saved.
func (r Reader) Begin() bool { return r.partition != nil && r.partition.begin(&r.partition.others) }

// Succeeded records when Graph answered.
func (r Reader) Succeeded(at time.Time) { r.entry.readAt.Store(at.UnixNano()) }

// End records that a read has ended.
func (r Reader) End() { r.partition.end(&r.partition.others) }

// Busy reports whether a delivery or a subscription step is in flight in a partition.
func (r *Registry) Busy(number int) (busy bool) {
	r.locked(number, func(p *partition) { busy = p.calls > 0 })
	return busy
}

// Saves returns how many saves of a partition Redis must have counted at least. ok is false
// until the partition is loaded.
func (r *Registry) Saves(number int) (n int64, ok bool) {
	r.locked(number, func(p *partition) { n, ok = p.saves, p.loaded })
	return n, ok
}
