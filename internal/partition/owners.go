// Package partition distributes the mailboxes among the replicas: each of the 64
// partitions has one owner, which may work on its mailboxes.
//
// All replicas share one table in Redis. Every 0.8 s, and when another replica has released
// partitions or removed a dead owner, each replica writes its beat into the table and reads the
// rest, which decides who owns what. The package promises:
//
//   - Two owners never act at once. An owner starts nothing later than graceTime after
//     it sent its last answered round, by the monotonic and the wall clock. Another replica
//     takes its partitions only after it has seen the same beat for deadAfter, by its own
//     monotonic clock and without a failed round, and the take compares the beat. While rounds
//     keep failing, but are answered often enough to work, it is for deadAfterFailing. Neither
//     a clock of Redis nor an expiry decides anything.
//   - Partitions without an owner are taken, and all partitions are shared out evenly.
//   - A Redis that comes back with older data is detected, because beats, tenures and saves
//     only grow. The owner reclaims its lease and restores its memory; other replicas
//     wait long enough for that.
//
// The first promise has four gaps, in which nothing in the table shows that another owner
// exists:
//
//   - Redis goes back to before a take while the former owner is cut off. If the former
//     owner is the first to get an answer, it finds its own lease and acts.
//   - Redis is emptied. If a new replica joins before the owners get an answer, it sees what
//     it would see at a first start, takes everything and acts.
//   - An owner that was cut off comes back just before it counts as dead, and Redis loses only
//     that, within one round of the replica that takes.
//   - Redis itself is split: replicas write to two masters, see Sentinel in deploy/SIZING.md.
//
// Except in the last, the other owner stops at its next answered round or its deadline, so two
// owners act for at most graceTime. Their writes stay fenced, but a read, a delivery or a
// subscription call may be made by both. Closing these gaps would take a pause of
// deadAfter after every outage, and at every first start.
//
// [Owners.Run] makes one call of Redis at a time, and nothing else changes what this replica
// owns. Each round has three steps, which together end when the next one is due:
//
//	round   writes the beat and reads the table
//	apply   drops what another replica owns, and finds what must be reclaimed and restored
//	swaps   reclaim, release, take, in this order; then what else the table lacks
//
// So no answer arrives after something else has changed: a table is from after all that this
// replica has done before. Swaps that become due later, because a drain has ended or another
// replica is dead, are made at once. After one that is refused or not answered, the next round
// is sent early, and finds out whether it was carried out. If it is carried out even later, it
// does nothing, because it compares what that round has changed, or it is found by a later round.
// Loads, drains and restores run beside. A drain or a restore ends by setting a flag of its hold.
//
// Ownership of a partition is a lease: a life, random per process, and a tenure, which
// grows with each acquisition. A lease that was released or lost never becomes valid
// again, even if an older table names it.
package partition

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// Store is the table in Redis.
type Store interface {
	Round(ctx context.Context, life string, b store.Beat) (store.Table, error)
	SwapTable(ctx context.Context, swaps ...store.Swap) (bool, error)
	// AnnounceTable makes all replicas call [Owners.Refresh].
	AnnounceTable(ctx context.Context)
	// SetWait writes a wait into the table and announces it.
	SetWait(ctx context.Context, name string, w store.Wait) error
}

// Holder holds the mailboxes of the partitions that this replica owns. Restore, Drain and the
// function that Acquire returns may block; everything else must return at once.
type Holder interface {
	// Acquire adds a partition, which [Owners] has dropped if it acquired it before. load loads
	// the partition, and retries until it succeeds or ctx ends.
	Acquire(ctx context.Context, p int, lease store.Lease) (load func())
	// Drop discards a partition.
	Drop(p int)
	// Drain lets no more work begin in a partition and returns when the work in flight has
	// ended, or with the error of ctx.
	Drain(ctx context.Context, p int) error
	// Restore writes the memory of a partition back into a Redis with older data. It
	// retries until it succeeds or ctx ends.
	Restore(ctx context.Context, p int, lease store.Lease)
	// Busy reports whether a call is in flight that another owner would have to wait for.
	Busy(p int) bool
	// Saves returns how many saves of a partition Redis must have counted at least. ok is
	// false until the partition is loaded.
	Saves(p int) (n int64, ok bool)
}

// Config configures [Owners]. All of it is required.
type Config struct {
	Store Store
	// Life identifies this process among the replicas and must never be reused.
	Life string
	// Settings is a digest of the settings that all replicas should share. Fingerprint
	// is a digest of the tenant, app and Graph endpoint that the data in Redis belongs to.
	Settings    string
	Fingerprint string
	// Answered returns how long ago Graph last answered an accepted token, negative if it
	// never did. Ping makes a small request to Graph, whose answer changes Answered.
	Answered func() time.Duration
	Ping     func(ctx context.Context) error
	// OnRollback is called after Redis came back with older data, on each replica that noticed,
	// once it has restored its partitions and the others had deadAfter to restore theirs. A short
	// loss of data is noticed only by some.
	OnRollback func(ctx context.Context)
	Log        *slog.Logger
}

// Owners is this replica's part in the ownership of the partitions. Only the goroutine of
// Run changes what it owns.
type Owners struct {
	cfg     Config
	wall    func() time.Time // the wall clock; tests move it
	refresh atomic.Bool      // requests a round
	wake    chan struct{}    // capacity 1: Run must check what is due
	tasks   sync.WaitGroup   // goroutines started by Run
	waits   appWaits
	table   atomic.Pointer[store.Table] // of the last answered round
	failure atomic.Pointer[error]       // of the last round; nil: it was answered

	// Used only by Run.
	work         context.Context // of everything that Run does; ends stopTime after the context of Run
	holder       Holder
	settings     int64 // number of this replica's settings
	peers        peers
	round        rounds
	toRelease    map[int]store.Lease // leases in the table from which this replica must be removed
	rolledBackAt time.Time           // when Redis was last seen to have older data; zero: OnRollback is not due
	stopping     bool

	mu           sync.Mutex
	held         [ooo.Partitions]*hold // guarded by mu, like all fields below; Run, the only writer, reads without it
	deadline     time.Time
	wallDeadline time.Time // the deadline by the wall clock
}

// New returns a replica that owns nothing yet.
func New(cfg Config) *Owners {
	o := &Owners{
		cfg: cfg, wall: func() time.Time { return time.Now().Round(0) }, wake: make(chan struct{}, 1),
		waits: appWaits{byName: map[string]appWait{}}, peers: peers{me: cfg.Life}, toRelease: map[int]store.Lease{},
	}
	o.table.Store(&store.Table{})
	return o
}

// MayStart reports whether work may start in a partition now: this replica owns the
// partition and is in time. It checks both under one lock, because a round that is answered
// in between may take the partition away and extend the deadline.
func (o *Owners) MayStart(p int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held[p].acts() && o.inTime()
}

// InTime reports whether the deadline, which each answered round extends, is not over.
func (o *Owners) InTime() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.inTime()
}

// Failure returns why no work may start although this replica has joined: the error of the last
// round. It is nil while work may start.
func (o *Owners) Failure() error {
	if err := o.failure.Load(); err != nil && !o.InTime() {
		return *err
	}
	return nil
}

func (o *Owners) inTime() bool {
	return time.Now().Before(o.deadline) && o.wall().Before(o.wallDeadline)
}

// OwnsPartition0 reports whether this replica may now start work that only one replica may do: it
// owns partition 0.
func (o *Owners) OwnsPartition0() bool { return o.MayStart(0) }

// Owned returns how many partitions this replica owns.
func (o *Owners) Owned() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range o.holds() {
		n++
	}
	return n
}

// Table returns the table of the last answered round, which the caller must not change. It
// is empty before the first one.
func (o *Owners) Table() store.Table { return *o.table.Load() }

// Share returns this replica's share of what Graph allows the app: the fraction of the
// partitions that it owns. Mailboxes are spread over them by a hash, so this is nearly its
// fraction of the mailboxes, and the shares of all owners never add up to more than 1.
func (o *Owners) Share() float64 { return float64(o.Owned()) / ooo.Partitions }
