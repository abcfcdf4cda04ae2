package partition

import (
	"sync"
	"time"

	"outlook-monitor/internal/store"
)

// waits are those that Graph asked of the whole app, as this replica heard of them.
type waits struct {
	mu    sync.Mutex
	heard map[string]store.Wait // by name, the last one
	until map[string]time.Time  // by name, by the monotonic clock
}

// apply notes a wait. Clocks differ, so none is longer than its own length from now;
// one that was heard before is not counted again.
func (w *waits) apply(name string, wait store.Wait, wall time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heard[name] == wait {
		return
	}
	if w.heard == nil {
		w.heard, w.until = map[string]store.Wait{}, map[string]time.Time{}
	}
	w.heard[name] = wait
	until := time.Now().Add(min(wait.Until.Sub(wall), wait.Length))
	if until.After(w.until[name]) {
		w.until[name] = until
	}
}

// left returns how long a wait still is.
func (w *waits) left(name string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(time.Until(w.until[name]), 0)
}
