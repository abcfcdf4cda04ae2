package partition_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// table is a Redis with nothing but the table of owners. Every link to it has faults of
// its own.
type table struct {
	mu      sync.Mutex
	fields  map[string]string
	history []version // what the fields were, oldest first
	down    bool      // nothing is answered
	hears   []func()  // called for each message
}

type version struct {
	at     time.Time
	fields map[string]string
}

func newTable() *table { return &table{fields: map[string]string{}} }

// change carries something out and keeps what was before.
func (r *table) change(f func(fields map[string]string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := maps.Clone(r.fields)
	f(r.fields)
	if !maps.Equal(before, r.fields) {
		r.history = append(r.history, version{time.Now(), before})
		if len(r.history) > 2000 {
			r.history = r.history[1000:]
		}
	}
}

// hear has a function called for each message.
func (r *table) hear(f func()) { r.mu.Lock(); r.hears = append(r.hears, f); r.mu.Unlock() }

func (r *table) announced() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.hears {
		f()
	}
}

// stop has nothing answered; start ends that.
func (r *table) stop()  { r.mu.Lock(); r.down = true; r.mu.Unlock() }
func (r *table) start() { r.mu.Lock(); r.down = false; r.mu.Unlock() }

// rollBack brings back what was there a while ago.
func (r *table) rollBack(ago time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := time.Now().Add(-ago)
	for i := len(r.history) - 1; i >= 0 && !r.history[i].at.Before(to); i-- {
		r.fields = maps.Clone(r.history[i].fields)
		r.history = r.history[:i]
	}
}

func (r *table) empty() { r.change(func(fields map[string]string) { clear(fields) }) }

func (r *table) owners() store.Owners {
	r.mu.Lock()
	defer r.mu.Unlock()
	return store.ParseOwners(maps.Clone(r.fields))
}

// link is a replica's connection to the table.
type link struct {
	*table
	mu      sync.Mutex
	random  *rand.Rand    // nil: no faults at random
	faults  float64       // how many of the calls have one
	cut     bool          // requests are lost
	deaf    bool          // answers of swaps are lost
	noSwaps bool          // requests of swaps are
	slow    time.Duration // more latency, each way
	paused  chan struct{} // closed when the process goes on; nil: it runs
}

var errLost = errors.New("no answer")

func (l *link) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *link) pause() { l.set(func() { l.paused = make(chan struct{}) }) }
func (l *link) resume() {
	l.set(func() { close(l.paused); l.paused = nil })
}

// standStill returns when the process is not paused.
func (l *link) standStill() {
	l.mu.Lock()
	paused := l.paused
	l.mu.Unlock()
	if paused != nil {
		<-paused
	}
}

// call carries something out, or not, or late, or twice, as the faults are. The value is
// what the first carrying out found, unless that came after the caller gave up.
func call[T any](ctx context.Context, l *link, swap bool, f func(fields map[string]string) T) (value T, err error) {
	l.standStill()
	fault, latency := 1.0, time.Millisecond
	l.mu.Lock()
	cut, deaf := l.cut || l.noSwaps && swap, l.deaf && swap
	if l.random != nil {
		fault, latency = l.random.Float64()/max(l.faults, 1e-9), time.Duration(l.random.IntN(20))*time.Millisecond
	}
	latency += l.slow
	l.mu.Unlock()
	l.table.mu.Lock()
	cut = cut || l.down
	l.table.mu.Unlock()
	lost := func() (T, error) {
		<-ctx.Done()
		l.standStill()
		return value, errLost
	}
	carryOut := func() { l.change(func(fields map[string]string) { value = f(fields) }) }
	later := func() {
		time.AfterFunc(200*latency, func() { l.change(func(fields map[string]string) { f(fields) }) })
	}
	time.Sleep(latency)
	switch {
	case cut, fault < 0.3: // the request is lost
		return lost()
	case deaf, fault < 0.5: // the answer is lost
		carryOut()
		return lost()
	case fault < 0.7: // carried out after the caller gave up
		later()
		return lost()
	case fault < 0.8: // carried out again later
		later()
	case fault < 1: // slow
		time.Sleep(latency * 30)
	}
	if ctx.Err() != nil {
		return lost()
	}
	carryOut()
	time.Sleep(latency)
	l.standStill()
	return value, ctx.Err()
}

func (l *link) Round(ctx context.Context, life string, b store.Beat) (store.Owners, error) {
	return call(ctx, l, false, func(fields map[string]string) store.Owners {
		before := store.ParseOwners(maps.Clone(fields))
		if was, there := before.Beats[life]; !there || was.Number < b.Number {
			fields[store.BeatField(life)] = b.String()
		}
		return before
	})
}

func (l *link) SwapOwners(ctx context.Context, swaps ...store.Swap) (bool, error) {
	return call(ctx, l, true, func(fields map[string]string) bool {
		fits, done := true, true
		for _, s := range swaps {
			fits = fits && fields[s.Field] == s.Old
			done = done && fields[s.Field] == s.New
		}
		for _, s := range swaps {
			switch {
			case !fits:
			case s.New == "":
				delete(fields, s.Field)
			default:
				fields[s.Field] = s.New
			}
		}
		return fits || done
	})
}

// AnnounceTable has all replicas refresh, unless the message is lost.
func (l *link) AnnounceTable(ctx context.Context) {
	if _, err := call(ctx, l, false, func(map[string]string) bool { return true }); err == nil {
		l.announced()
	}
}

func (l *link) SetWait(ctx context.Context, name string, d time.Duration) error {
	_, err := call(ctx, l, false, func(fields map[string]string) bool {
		fields[store.WaitField(name)] = store.Wait{Until: time.Now().Add(d), Length: d}.String()
		return true
	})
	if err == nil {
		l.announced()
	}
	return err
}

// Load returns how many saves a partition has seen.
func (l *link) Load(ctx context.Context, p int) (store.Loaded, error) {
	return call(ctx, l, false, func(fields map[string]string) store.Loaded {
		return store.Loaded{Saves: store.ParseOwners(fields).Saves[p]}
	})
}

func (l *link) SetSaves(ctx context.Context, lease store.Lease, p int, n int64) error {
	fits, err := call(ctx, l, false, func(fields map[string]string) bool {
		fits := fields[store.LeaseField(p)] == lease.String()
		if fits {
			fields[store.SavesField(p)] = strconv.FormatInt(n, 10)
		}
		return fits
	})
	if err == nil && !fits {
		return ooo.ErrNotOwner
	}
	return err
}
