// Package partition shares the mailboxes out among the replicas: each of the 64
// partitions has one owner, which may work on its mailboxes.
//
// There is one table in Redis. Every 0.8 s, and when another replica has released
// something, each replica writes its beat into it and reads the rest, which decides who
// owns what. It promises:
//
//   - Two owners never act at once. An owner starts nothing later than graceTime after
//     it sent its last answered round, by either clock. Another replica takes its
//     partitions only after it saw the same beat for sightTime, by its own monotonic
//     clock and without a failed round, and the take compares the beat itself. No clock
//     of Redis and no expiry decides anything.
//   - What nobody owns is taken, and the partitions are shared out evenly.
//   - Redis that comes back with older data is recognised, since beats, tenures and saves
//     only grow. The owner reclaims it and restores what is in memory; the
//     others wait until it has had the time to.
//
// One gap is left, because closing it would cost a pause of 3 s at every first start and
// after every outage: for up to graceTime two owners may act, with fenced writes, when
// Redis goes back to just before a take while the replica that was taken from is cut
// off, or when a replica joins a Redis that was emptied before the others are back.
//
// Ownership of a partition is a lease: a life, random per process, and a tenure, which
// grows with each acquisition. A lease that was released or lost never comes back,
// even if an older table says so.
package partition

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

const (
	// roundTime is how often a round is sent, and how long its answer may take.
	roundTime = 800 * time.Millisecond
	// graceTime is how long after sending an answered round something may start.
	graceTime = 2500 * time.Millisecond
	// stopTime is how long a replica that stops waits for what is in flight.
	stopTime = 10 * time.Second
)

// ErrForeign means that other data than this service's is in Redis.
var ErrForeign = errors.New("this Redis belongs to another tenant, app or Graph: use another Redis or database number")

// Store is the table in Redis.
type Store interface {
	Round(ctx context.Context, life string, b store.Beat) (store.Owners, error)
	SwapOwners(ctx context.Context, swaps ...store.Swap) (bool, error)
	// AnnounceTable has all replicas call [Owners.Refresh].
	AnnounceTable(ctx context.Context)
	// SetWait writes a wait into the table and announces it.
	SetWait(ctx context.Context, name string, d time.Duration) error
}

// Holder has the mailboxes of the partitions that this replica owns. Acquire, Restore
// and Drain may take their time; the other methods are part of every round and must
// return at once.
type Holder interface {
	// Acquire loads a partition, until that has worked or ctx ends.
	Acquire(ctx context.Context, p int, lease store.Lease)
	// Drop forgets a partition at once.
	Drop(p int)
	// Drain starts nothing more in a partition and returns when what is in flight has
	// ended; calls that take long count only if the replica stops.
	Drain(ctx context.Context, p int, stop bool) error
	// Restore writes the memory of a partition back into a Redis with older data, until
	// that has worked or ctx ends.
	Restore(ctx context.Context, p int, lease store.Lease)
	// Busy reports whether a call is in flight that another owner would have to wait for.
	Busy(p int) bool
	// Saves returns the least number of saves that Redis must have of a partition, if
	// that is known.
	Saves(p int) (n int64, known bool)
	Mailboxes() int
}

// Config says what [Owners] works with.
type Config struct {
	Store Store
	// Life names this process among the replicas; random if empty. It must not be used
	// again.
	Life string
	// Settings is a digest of the settings that replicas should share, Fingerprint one
	// of whose data it is.
	Settings    string
	Fingerprint string
	// Answered returns how long ago Graph last answered an accepted token, negative if
	// it never did. Ask it something every 5 s if nothing else does. Nil: just now.
	Answered func() time.Duration
	// OnOlder is called on the owner of partition 0 after Redis came back with older
	// data, once this replica has restored its partitions. It may be nil.
	OnOlder func(ctx context.Context)
	Log     *slog.Logger
}

// Owners is this replica's part in the ownership of the partitions. A single goroutine,
// that of Run, changes it.
type Owners struct {
	cfg     Config
	log     *slog.Logger
	wall    func() time.Time // the wall clock; tests move it
	events  chan func()      // carried out by Run; unbuffered
	ended   chan struct{}    // closed when Run takes no more events
	refresh chan struct{}    // capacity 1: a round is to be sent soon
	tasks   sync.WaitGroup   // what Run started
	waits   waits
	table   atomic.Pointer[store.Owners] // as the last round found it; nil: none was answered yet

	// Of Run alone.
	holder    Holder
	settings  int64 // number of the settings
	sight     sight
	round     rounds
	gone      [ooo.Partitions]int64      // tenure of the last lease that was released or lost
	loading   [ooo.Partitions]sync.Mutex // held during an Acquire
	disowned  map[int]store.Lease        // leases that name this replica in the table and should not
	swapping  int                        // swaps in flight
	taking    bool                       // one of them is a take
	releasing bool                       // one of them removes leases
	refused   bool                       // the last take was not carried out by this table
	older     bool                       // Redis came back older, OnOlder is due
	stopping  bool
	stopped   time.Time // draining ends

	mu       sync.Mutex
	held     [ooo.Partitions]*hold // guarded by mu, as all below; written by Run alone
	deadline time.Time
	wallEnd  time.Time // the deadline by the wall clock
	replicas int
	share    float64
}

// New returns a replica that owns nothing yet.
func New(cfg Config) (*Owners, error) {
	if cfg.Store == nil || cfg.Fingerprint == "" || cfg.Settings == "" {
		return nil, errors.New("partition: Store, Fingerprint and Settings are required")
	}
	cfg.Life = cmp.Or(cfg.Life, rand.Text())
	if cfg.Answered == nil {
		cfg.Answered = func() time.Duration { return 0 }
	}
	if cfg.OnOlder == nil {
		cfg.OnOlder = func(context.Context) {}
	}
	return &Owners{
		cfg: cfg, log: cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)), wall: func() time.Time { return time.Now().Round(0) },
		events: make(chan func()), ended: make(chan struct{}), refresh: make(chan struct{}, 1), replicas: 1, share: 1,
		sight: sight{me: cfg.Life}, disowned: map[int]store.Lease{},
	}, nil
}

// MayStart reports whether something may start in a partition now: this replica owns it
// and is in time. Both are read together: a round that is answered in between would
// take the partition away and prolong the time.
func (o *Owners) MayStart(p int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held[p].acts() && o.inTime()
}

// InTime reports whether the last round was answered a short while ago.
func (o *Owners) InTime() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.inTime()
}

func (o *Owners) inTime() bool {
	return time.Now().Before(o.deadline) && o.wall().Before(o.wallEnd)
}

// First reports whether this replica may start now what only one may: it owns partition 0.
func (o *Owners) First() bool { return o.MayStart(0) }

// Owned returns how many partitions this replica owns.
func (o *Owners) Owned() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range o.held {
		if h != nil {
			n++
		}
	}
	return n
}

// Table returns the table as the last answered round found it; it must not be changed.
// Before the first one it is empty.
func (o *Owners) Table() store.Owners {
	if t := o.table.Load(); t != nil {
		return *t
	}
	return store.Owners{}
}

// Replicas returns how many replicas share the partitions, at least 1.
func (o *Owners) Replicas() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.replicas
}

// Share returns this replica's part of the mailboxes, at least half an even one.
func (o *Owners) Share() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.share
}

// Wait returns how long a wait of the whole app still is.
func (o *Owners) Wait(name string) time.Duration { return o.waits.left(name) }

// SetWait has the whole app wait.
func (o *Owners) SetWait(ctx context.Context, name string, d time.Duration) error {
	wall := o.wall()
	o.waits.apply(name, store.Wait{Until: wall.Add(d), Length: d}, wall)
	return o.cfg.Store.SetWait(ctx, name, d)
}
