package partition

import (
	"sync"
	"time"

	"outlook-monitor/internal/store"
)

// appWaits are the waits that Graph imposed on the whole app by Retry-After, as far as this
// replica knows.
type appWaits struct {
	mu     sync.Mutex
	byName map[string]appWait // guarded by mu
}

type appWait struct {
	last  store.Wait // the last one that was applied
	until time.Time  // by the monotonic clock
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
	if w.byName == nil {
		w.byName = map[string]appWait{}
	}
	if until := time.Now().Add(min(next.Until.Sub(wall), next.Length)); until.After(current.until) {
		current.until = until
	}
	current.last = next
	w.byName[name] = current
}

// left returns how much of a wait is left.
func (w *appWaits) left(name string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(time.Until(w.byName[name].until), 0)
}
