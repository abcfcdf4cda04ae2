package partition

import (
	"sync"
	"time"

	"outlook-monitor/internal/store"
)

// waits are those that Graph asked of the whole app, as far as this replica knows.
type waits struct {
	mu     sync.Mutex
	byName map[string]wait // guarded by mu
}

type wait struct {
	last  store.Wait // that was applied
	until time.Time  // by the monotonic clock
}

// apply notes a wait. Clocks differ, so none is longer than its own length from now;
// one that was applied before is not counted again.
func (w *waits) apply(name string, next store.Wait, wall time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.byName[name]
	if one.last == next {
		return
	}
	if w.byName == nil {
		w.byName = map[string]wait{}
	}
	if until := time.Now().Add(min(next.Until.Sub(wall), next.Length)); until.After(one.until) {
		one.until = until
	}
	one.last = next
	w.byName[name] = one
}

// left returns how long a wait still is.
func (w *waits) left(name string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(time.Until(w.byName[name].until), 0)
}
