package partition_test

import (
	"cmp"
	"context"
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

// backing is Redis, as a replica reaches it.
type backing interface {
	partition.Store
	Load(ctx context.Context, p int) (store.Loaded, error)
	SetSaves(ctx context.Context, lease store.Lease, p int, n int64) error
}

// holder has no mailboxes, but loads, saves, drains and restores.
type holder struct {
	backing
	mu       sync.Mutex
	saves    map[int]int64
	leases   map[int]store.Lease
	acquired int // calls
	restored int
	loadTime time.Duration
	busy     func(p int) bool
	drain    func(ctx context.Context, p int, stop bool)
}

func (h *holder) Acquire(ctx context.Context, p int, lease store.Lease) {
	h.mu.Lock()
	h.acquired++
	wait := h.loadTime
	h.mu.Unlock()
	for schedule.Sleep(ctx, wait) {
		trying, cancel := context.WithTimeout(ctx, time.Second)
		loaded, err := h.Load(trying, p)
		cancel()
		if err == nil {
			h.mu.Lock()
			h.saves[p], h.leases[p] = loaded.Saves, lease
			h.mu.Unlock()
			return
		}
		wait = 10 * time.Millisecond
	}
}

// loads returns how often a partition was acquired.
func (h *holder) loads() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acquired
}

// restores returns how often a partition was written back.
func (h *holder) restores() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.restored
}

func (h *holder) Drop(p int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.saves, p)
	delete(h.leases, p)
}

func (h *holder) Busy(p int) bool { return h.busy != nil && h.busy(p) }

func (h *holder) Drain(ctx context.Context, p int, stop bool) error {
	if h.drain != nil {
		h.drain(ctx, p, stop)
	}
	return ctx.Err()
}

func (h *holder) Counts(p int) (mailboxes int, saves int64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	saves, ok = h.saves[p]
	return 10, saves, ok
}

func (h *holder) Restore(ctx context.Context, p int, lease store.Lease) {
	h.mu.Lock()
	h.restored++
	h.mu.Unlock()
	for {
		_, n, known := h.Counts(p)
		if !known {
			return
		}
		trying, cancel := context.WithTimeout(ctx, time.Second)
		err := h.SetSaves(trying, lease, p, n)
		cancel()
		if err == nil || !schedule.Sleep(ctx, 10*time.Millisecond) {
			return
		}
	}
}

// save saves something in a partition, once.
func (h *holder) save(ctx context.Context, p int) {
	h.mu.Lock()
	n, lease := h.saves[p], h.leases[p]
	h.mu.Unlock()
	if lease == (store.Lease{}) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
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
	link  *link // nil: to a real Redis
	older atomic.Int64
	gone  atomic.Bool // crashed or ended
	stop  context.CancelFunc
	done  chan error
}

// acts reports whether the process may start something in a partition.
func (r *replica) acts(p int) bool { return !r.gone.Load() && r.MayStart(p) }

// owns returns the partitions in which it may.
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
	r.gone.Store(true)
	r.link.set(func() { r.link.cut = true })
	r.stop()
}

// world is a table and its replicas. It fails if two act in one partition.
type world struct {
	*testing.T
	*table
	random   *rand.Rand // nil: no faults at random
	faults   float64
	mu       sync.Mutex
	replicas []*replica
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, table: newTable()}
	w.check(9 * time.Millisecond)
	return w
}

// check looks for two that act, until the test ends. What both may do is reported once.
func (w *world) check(every time.Duration) {
	go func() {
		for schedule.Sleep(w.Context(), every) {
			w.mu.Lock()
			replicas := w.replicas
			w.mu.Unlock()
			acted := uint64(0)
			for _, r := range replicas {
				if r.gone.Load() {
					continue
				}
				acts := partition.Acts(r.Owners)
				if acted&acts != 0 && !r.gone.Load() {
					w.Errorf("%s acts in partitions %x in which another owner does, at %v", partition.Life(r.Owners), acted&acts, time.Now())
					return
				}
				acted |= acts
			}
		}
	}()
}

func (w *world) owners(p int) (owners []*replica) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.replicas {
		if r.acts(p) {
			owners = append(owners, r)
		}
	}
	return owners
}

// add starts a replica. What cfg does not say is as for all.
func (w *world) add(life string, change ...func(*partition.Config, *replica)) *replica {
	l := &link{table: w.table, random: w.random, faults: w.faults}
	if w.random != nil {
		l.random = rand.New(rand.NewPCG(w.random.Uint64(), 0))
	}
	return w.run(life, l, change...)
}

func (w *world) run(life string, b backing, change ...func(*partition.Config, *replica)) *replica {
	r := &replica{done: make(chan error, 1), holder: &holder{backing: b, saves: map[int]int64{}, leases: map[int]store.Lease{}, loadTime: time.Millisecond}}
	r.link, _ = b.(*link)
	cfg := partition.Config{Store: b, Life: life, Settings: "s", Fingerprint: "f", OnRollback: func(context.Context) { r.older.Add(1) }}
	for _, f := range change {
		f(&cfg, r)
	}
	var err error
	if r.Owners, err = partition.New(cfg); err != nil {
		w.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	w.mu.Lock()
	w.replicas = append(w.replicas, r)
	w.mu.Unlock()
	if r.link != nil {
		w.table.hear(r.Refresh)
	}
	go func() {
		r.done <- r.Run(ctx, r.holder)
		r.gone.Store(true)
	}()
	return r
}

// end stops all replicas and waits for them.
func (w *world) end() {
	for _, r := range w.replicas {
		if r.link != nil {
			r.link.set(func() {
				if r.link.paused != nil {
					close(r.link.paused)
					r.link.paused = nil
				}
			})
		}
		r.stop()
	}
	for _, r := range w.replicas {
		if err := <-r.done; err != nil {
			w.Errorf("Run = %v, want no error", err)
		}
	}
}

// settled reports whether every partition has an owner, and the living ones as many as n
// replicas should have.
func (w *world) settled(n int) bool {
	var counts []int
	for _, r := range w.replicas {
		if owned := len(r.owns()); !r.gone.Load() {
			counts = append(counts, owned)
		}
	}
	slices.SortFunc(counts, func(a, b int) int { return cmp.Compare(b, a) })
	for i := range counts {
		want := 0
		if i < n {
			want = ooo.Partitions / n
			if i < ooo.Partitions%n {
				want++
			}
		}
		if counts[i] != want {
			return false
		}
	}
	return len(counts) >= n
}

// until waits at most so long for something, in steps of a few ms.
func (w *world) until(what string, limit time.Duration, holds func() bool) time.Duration {
	w.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			for _, r := range w.replicas {
				w.Logf("%s: gone %v, owns %d of %d, replicas %d", partition.Life(r.Owners), r.gone.Load(), len(r.owns()), r.Owned(), r.Replicas())
			}
			w.Fatalf("this did not happen within %v: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

func (w *world) even(n int) {
	w.Helper()
	w.until("all partitions are shared out evenly", time.Minute, func() bool { return w.settled(n) })
}

// owned reports whether somebody has a lease.
func owned(o store.Owners) bool {
	return slices.ContainsFunc(o.Leases[:], func(l store.Lease) bool { return l.Life != "" })
}
