package partition_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// backing is the Redis of a replica.
type backing interface {
	partition.Store
	Load(ctx context.Context, p int) (store.Loaded, error)
	SetSaves(ctx context.Context, lease store.Lease, p int, n int64) error
}

// holder holds no mailboxes, but counts loads, saves and restores.
type holder struct {
	backing
	mu          sync.Mutex
	saves       map[int]int64       // guarded by mu
	leases      map[int]store.Lease // guarded by mu
	dropped     time.Time           // when Drop was last called; guarded by mu
	holds       [64]context.Context // of the last calls of Acquire
	early       bool                // Drop was called before the context of the hold had ended
	loads       atomic.Int64        // calls of Acquire
	restores    atomic.Int64        // calls of Restore
	drains      atomic.Int64        // calls of Drain in progress
	drained     [64]atomic.Bool     // by Drain
	loadTime    time.Duration
	drainTime   time.Duration
	restoreTime time.Duration
	busy        func(p int) bool
	drain       func(ctx context.Context, p int)
}

func (h *holder) Acquire(ctx context.Context, p int, lease store.Lease) (load func()) {
	h.loads.Add(1)
	h.holds[p] = ctx
	return func() {
		schedule.Sleep(ctx, h.loadTime)
		schedule.Retry(ctx, 10*time.Millisecond, 10*time.Millisecond, func(int) error {
			loaded, err := h.Load(ctx, p)
			h.mu.Lock()
			defer h.mu.Unlock()
			if err == nil && ctx.Err() == nil { // not dropped meanwhile
				h.saves[p], h.leases[p] = loaded.Saves, lease
			}
			return err
		})
	}
}

func (h *holder) Drop(p int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.saves, p)
	delete(h.leases, p)
	h.dropped = time.Now()
	h.early = h.early || h.holds[p].Err() == nil
}

// droppedNow reports whether Drop was called at this instant of a bubble's clock.
func (h *holder) droppedNow() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.dropped) == 0
}

func (h *holder) Busy(p int) bool { return h.busy != nil && h.busy(p) }

func (h *holder) Drain(ctx context.Context, p int) error {
	h.drains.Add(1)
	defer h.drains.Add(-1)
	h.drained[p].Store(true)
	if h.drain != nil {
		h.drain(ctx, p)
	}
	time.Sleep(h.drainTime)
	return ctx.Err()
}

func (h *holder) Saves(p int) (n int64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok = h.saves[p]
	return n, ok
}

func (h *holder) Restore(ctx context.Context, p int, lease store.Lease) {
	h.restores.Add(1)
	schedule.Sleep(ctx, h.restoreTime)
	schedule.Retry(ctx, 10*time.Millisecond, 10*time.Millisecond, func(int) error {
		n, known := h.Saves(p)
		if !known {
			return nil
		}
		return h.SetSaves(ctx, lease, p, n)
	})
}

// save counts a save in a partition, without retries.
func (h *holder) save(ctx context.Context, p int) {
	h.mu.Lock()
	n, lease := h.saves[p], h.leases[p]
	h.mu.Unlock()
	if lease == (store.Lease{}) {
		return
	}
	if h.SetSaves(ctx, lease, p, n+1) == nil {
		h.mu.Lock()
		if h.leases[p] == lease && h.saves[p] == n {
			h.saves[p]++
		}
		h.mu.Unlock()
	}
}

// replica is one process.
type replica struct {
	*partition.Owners
	*holder
	link      *link                     // nil if it uses a real Redis
	clock     atomic.Int64              // by how much its wall clock is ahead, in nanoseconds
	answered  atomic.Pointer[time.Time] // when Graph last answered it, in the future: never; nil: it always does
	unable    atomic.Bool               // Graph does not answer its pings
	pings     atomic.Int64
	rollbacks atomic.Int64 // calls of OnRollback
	stopped   atomic.Bool  // crashed or ended
	stop      context.CancelFunc
	done      chan error
}

// sinceAnswer returns how long ago Graph answered, negative if it never did.
func (r *replica) sinceAnswer() time.Duration {
	if at := r.answered.Load(); at != nil {
		return time.Since(*at)
	}
	return 0
}

func (r *replica) ping(context.Context) error {
	if r.pings.Add(1); !r.unable.Load() {
		r.answered.Store(new(time.Now()))
	}
	return nil
}

// acts reports whether the process may start work in a partition.
func (r *replica) acts(p int) bool { return !r.stopped.Load() && r.MayStart(p) }

// owns returns the partitions in which the process may start work.
func (r *replica) owns() (owned []int) {
	for p := range ooo.Partitions {
		if r.acts(p) {
			owned = append(owned, p)
		}
	}
	return owned
}

// crash ends a process at once.
func (r *replica) crash() {
	r.stopped.Store(true)
	r.link.set(func() { r.link.cut = true })
	r.stop()
}

// env is a table and its replicas. The test fails if two of them act in one partition.
type env struct {
	*testing.T
	*table
	random   *rand.Rand // nil: no random faults
	faults   float64
	mu       sync.Mutex
	replicas []*replica // guarded by mu; the goroutine of the test, the only writer, reads without it
}

func newEnv(t *testing.T) *env {
	e := &env{T: t, table: &table{fields: map[string]string{}}}
	e.check(9 * time.Millisecond)
	return e
}

// check fails the test once two replicas act in one partition, until the test ends.
func (e *env) check(every time.Duration) {
	go func() {
		for schedule.Sleep(e.Context(), every) {
			e.mu.Lock()
			replicas := e.replicas
			e.mu.Unlock()
			var acting [ooo.Partitions]string // by partition
			for _, r := range replicas {
				leases := partition.Leases(r.Owners)
				if r.stopped.Load() {
					continue
				}
				for p, lease := range leases {
					if acting[p] != "" && lease.Life != "" {
						e.Errorf("%s and %s act in partition %d at the same time, at %v", acting[p], lease.Life, p, time.Now())
						return
					}
					acting[p] += lease.Life
				}
			}
		}
	}()
}

// acts reports whether a replica may start work in a partition.
func (e *env) acts(p int) bool {
	return slices.ContainsFunc(e.replicas, func(r *replica) bool { return r.acts(p) })
}

// add starts a replica on the table.
func (e *env) add(life string, change ...func(*partition.Config, *replica)) *replica {
	l := &link{table: e.table, random: e.random, faults: e.faults}
	if e.random != nil {
		l.random = rand.New(rand.NewPCG(e.random.Uint64(), 0))
	}
	return e.run(life, l, change...)
}

// join starts a replica, and waits until all that have not stopped share the partitions evenly.
func (e *env) join(life string, change ...func(*partition.Config, *replica)) *replica {
	e.Helper()
	r := e.add(life, change...)
	e.waitBalanced(len(e.alive()))
	return r
}

// alive returns the replicas that have not stopped.
func (e *env) alive() (alive []*replica) {
	for _, r := range e.replicas {
		if !r.stopped.Load() {
			alive = append(alive, r)
		}
	}
	return alive
}

// run starts a replica, after change has changed its configuration.
func (e *env) run(life string, b backing, change ...func(*partition.Config, *replica)) *replica {
	h := &holder{backing: b, saves: map[int]int64{}, leases: map[int]store.Lease{}}
	h.loadTime, h.drainTime, h.restoreTime = time.Millisecond, time.Millisecond, time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	r := &replica{done: make(chan error, 1), holder: h, stop: stop}
	r.link, _ = b.(*link)
	cfg := partition.Config{
		Store: b, Life: life, Settings: "s", Fingerprint: "f", Answered: r.sinceAnswer, Ping: r.ping,
		OnRollback: func(context.Context) {
			if r.rollbacks.Add(1); r.Owned() == 0 && !r.droppedNow() && ctx.Err() == nil {
				e.Errorf("OnRollback was called on %s, which has no partition", life)
			}
		},
		Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&cfg, r)
	}
	r.Owners = partition.New(cfg)
	partition.SetWall(r.Owners, func() time.Time { return time.Now().Round(0).Add(time.Duration(r.clock.Load())) })
	e.mu.Lock()
	e.replicas = append(e.replicas, r)
	e.mu.Unlock()
	if r.link != nil {
		e.subscribe(r.Refresh)
	}
	go func() {
		err := r.Run(ctx, r.holder)
		if r.stopped.Store(true); r.Owned() != 0 || r.drains.Load() != 0 || r.early {
			e.Errorf("%s owns %d partitions and drains %d after Run, or dropped one early", life, r.Owned(), r.drains.Load())
		}
		r.done <- err
	}()
	return r
}

// end stops all replicas and waits for them.
func (e *env) end() {
	for _, r := range e.replicas {
		if r.link != nil {
			r.link.resume()
		}
		r.stop()
	}
	for _, r := range e.replicas {
		if err := <-r.done; err != nil {
			e.Errorf("Run = %v, want no error", err)
		}
	}
}

// balanced reports whether all partitions are shared out evenly among n living replicas.
func (e *env) balanced(n int) bool {
	sum := 0
	var counts []int
	for _, r := range e.replicas {
		if owned := len(r.owns()); owned > 0 {
			sum, counts = sum+owned, append(counts, owned)
		}
	}
	return sum == ooo.Partitions && len(counts) == n && slices.Max(counts)-slices.Min(counts) <= 1
}

// waitFor waits up to limit until holds returns true, and returns how long that took.
func (e *env) waitFor(what string, limit time.Duration, holds func() bool) time.Duration {
	e.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			for i, r := range e.replicas {
				e.Logf("replica %d: stopped %v, owns %d of %d", i, r.stopped.Load(), len(r.owns()), r.Owned())
			}
			e.Fatalf("this did not happen within %v: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

// waitBalanced waits until n replicas share the partitions evenly.
func (e *env) waitBalanced(n int) {
	e.Helper()
	e.waitFor("the partitions are balanced", time.Minute, func() bool { return e.balanced(n) })
}

// anyOwned reports whether any partition has an owner.
func anyOwned(o store.Table) bool {
	return slices.ContainsFunc(o.Leases[:], func(l store.Lease) bool { return l.Life != "" })
}
