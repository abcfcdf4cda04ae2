package partition

import (
	"context"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

const (
	// waitTimeout bounds the write of a wait. Its callers include requests to the API, which
	// are answered within 8 s, 7 of which may have passed.
	waitTimeout = time.Second
	// sameWait is by how much waits differ that Graph asks of calls made at the same time.
	sameWait = 500 * time.Millisecond
)

// Wait returns how much of a wait of the whole app is left. [ooo.GraphWait] applies to all calls.
func (o *Owners) Wait(name string) time.Duration {
	return max(time.Until(o.waits.until(name)), time.Until(o.waits.until(ooo.GraphWait)), 0)
}

// SetWait makes all replicas wait, this one at once. Calls that are throttled at the same
// time share one wait. The end of ctx does not matter: the others must learn of the wait.
func (o *Owners) SetWait(ctx context.Context, name string, d time.Duration) {
	if !o.waits.extend(name, d) {
		return
	}
	wait := store.Wait{Until: o.wall().Add(d), Length: d}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), waitTimeout)
	defer cancel()
	if err := o.cfg.Store.SetWait(ctx, name, wait); err != nil {
		o.cfg.Log.WarnContext(ctx, "graph's wait not shared with the other replicas", "name", name, "wait", d, "err", err)
	}
}

// appWaits are the waits that Graph imposed on the whole app by Retry-After, as far as this
// replica knows.
type appWaits struct {
	mu     sync.Mutex
	byName map[string]appWait // guarded by mu
}

type appWait struct {
	last   store.Wait // the last one that was applied
	shared time.Time  // until when all replicas wait, by the monotonic clock
	until  time.Time  // the same for this replica: up to sameWait later
}

// extend makes this replica wait for d. It reports whether the others must learn of that, which
// is true for one of the calls that are throttled at the same time.
func (w *appWaits) extend(name string, d time.Duration) (share bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	current, until := w.byName[name], time.Now().Add(d)
	share = until.Sub(current.shared) >= sameWait
	if share {
		current.shared = until
	}
	current.until = latest(current.until, until)
	w.byName[name] = current
	return share
}

// apply extends a wait. Because clocks differ, it never ends later than its own length from
// now. A wait that was applied before has no effect.
func (w *appWaits) apply(name string, next store.Wait, wall time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	current := w.byName[name]
	if current.last == next {
		return
	}
	until := time.Now().Add(min(next.Until.Sub(wall), next.Length))
	current.last = next
	current.shared = latest(current.shared, until)
	current.until = latest(current.until, until)
	w.byName[name] = current
}

// until returns until when this replica waits, or has waited; zero if it never did.
func (w *appWaits) until(name string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byName[name].until
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
