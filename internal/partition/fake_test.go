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

// table is a fake Redis with nothing but the table of owners. Each replica reaches it
// through a link with its own faults.
type table struct {
	mu          sync.Mutex
	fields      map[string]string
	history     []version // earlier fields, oldest first
	down        bool      // it refuses all requests
	subscribers []func()  // called for each message
}

type version struct {
	at     time.Time
	fields map[string]string
}

// change changes the fields and keeps the earlier ones in the history.
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

// subscribe registers a function that is called for each message.
func (r *table) subscribe(f func()) {
	r.mu.Lock()
	r.subscribers = append(r.subscribers, f)
	r.mu.Unlock()
}

// publish sends a message.
func (r *table) publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.subscribers {
		f()
	}
}

// stop makes the table refuse requests until start is called.
func (r *table) stop()  { r.mu.Lock(); r.down = true; r.mu.Unlock() }
func (r *table) start() { r.mu.Lock(); r.down = false; r.mu.Unlock() }

// rollBack restores the fields of some time ago.
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

func (r *table) owners() store.Table {
	r.mu.Lock()
	defer r.mu.Unlock()
	return store.ParseTable(maps.Clone(r.fields))
}

// link is a replica's connection to the table.
type link struct {
	*table
	mu          sync.Mutex
	random      *rand.Rand    // nil: no random faults
	faults      float64       // fraction of the calls that have a random fault
	cut         bool          // all requests are lost
	failing     int           // every so many rounds fail; 0: none
	rounds      int           // so far
	loseSwaps   bool          // requests of swaps are lost
	loseAnswers bool          // answers of swaps are lost
	beforeSwap  func()        // called before a swap; may be nil
	slow        time.Duration // additional latency in each direction
	paused      chan struct{} // closed when the process resumes; nil: it runs
}

var errLost = errors.New("no answer")

func (l *link) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *link) pause() { l.set(func() { l.paused = make(chan struct{}) }) }
func (l *link) resume() {
	l.set(func() {
		if l.paused != nil {
			close(l.paused)
			l.paused = nil
		}
	})
}

// waitWhilePaused returns when the process is not paused.
func (l *link) waitWhilePaused() {
	l.mu.Lock()
	paused := l.paused
	l.mu.Unlock()
	if paused != nil {
		<-paused
	}
}

// call executes f on the fields: once, not at all, late or twice, depending on the faults.
// It returns the result of an execution before ctx ends.
func call[T any](ctx context.Context, l *link, swap bool, f func(fields map[string]string) T) (value T, err error) {
	l.waitWhilePaused()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	fault, latency := 1.0, time.Millisecond
	l.mu.Lock()
	cut, loseAnswers := l.cut || l.loseSwaps && swap, l.loseAnswers && swap
	if swap && l.beforeSwap != nil {
		l.beforeSwap()
	}
	if l.random != nil {
		fault, latency = l.random.Float64()/max(l.faults, 1e-9), time.Duration(l.random.IntN(20))*time.Millisecond
	}
	latency += l.slow
	l.mu.Unlock()
	l.table.mu.Lock()
	down := l.down
	l.table.mu.Unlock()
	lost := func() (T, error) {
		<-ctx.Done()
		l.waitWhilePaused()
		return value, errLost
	}
	execute := func() { l.change(func(fields map[string]string) { value = f(fields) }) }
	later := func() {
		time.AfterFunc(200*latency, func() { l.change(func(fields map[string]string) { f(fields) }) })
	}
	time.Sleep(latency)
	switch {
	case down:
		return value, errLost
	case cut, fault < 0.3: // the request is lost
		return lost()
	case loseAnswers, fault < 0.5: // the answer is lost
		execute()
		return lost()
	case fault < 0.7: // executed after the caller gave up
		later()
		return lost()
	case fault < 0.8: // executed again later
		later()
	case fault < 1: // slow
		time.Sleep(latency * 30)
	}
	if ctx.Err() != nil {
		return lost()
	}
	execute()
	time.Sleep(latency)
	l.waitWhilePaused()
	return value, ctx.Err()
}

func (l *link) Round(ctx context.Context, life string, b store.Beat) (store.Table, error) {
	fails := false
	l.set(func() { l.rounds++; fails = l.failing > 0 && l.rounds%l.failing == 0 })
	if fails {
		return store.Table{}, errLost
	}
	return call(ctx, l, false, func(fields map[string]string) store.Table {
		before := store.ParseTable(maps.Clone(fields))
		if last, ok := before.Beats[life]; !ok || last.Number < b.Number {
			fields[store.BeatField(life)] = b.String()
		}
		return before
	})
}

func (l *link) SwapTable(ctx context.Context, swaps ...store.Swap) (bool, error) {
	return call(ctx, l, true, func(fields map[string]string) bool {
		fits, done := true, true
		for _, s := range swaps {
			fits = fits && fields[s.Field] == s.Old
			done = done && fields[s.Field] == s.New
		}
		for _, s := range swaps {
			if fits {
				fields[s.Field] = s.New
			}
		}
		maps.DeleteFunc(fields, func(_, text string) bool { return text == "" })
		return fits || done
	})
}

// AnnounceTable makes all replicas refresh, unless the message is lost.
func (l *link) AnnounceTable(ctx context.Context) {
	if _, err := call(ctx, l, false, func(map[string]string) bool { return true }); err == nil {
		l.publish()
	}
}

func (l *link) SetWait(ctx context.Context, name string, w store.Wait) error {
	_, err := call(ctx, l, false, func(fields map[string]string) bool {
		fields[store.WaitField(name)] = w.String()
		return true
	})
	if err == nil {
		l.publish()
	}
	return err
}

// Load returns the number of saves of a partition.
func (l *link) Load(ctx context.Context, p int) (store.Loaded, error) {
	return call(ctx, l, false, func(fields map[string]string) store.Loaded {
		return store.Loaded{Saves: store.ParseTable(fields).Saves[p]}
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
