package ui

import (
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// Meter counts the work of this process between two reports. Its methods may be called
// concurrently.
type Meter struct {
	mu    sync.Mutex
	load  ooo.Load  // guarded by mu
	since time.Time // start of load; guarded by mu
}

// NewMeter returns an empty Meter.
func NewMeter() *Meter { return &Meter{since: time.Now()} }

// Read counts a read of a mailbox that began this late after it was due.
func (m *Meter) Read(late time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load.Reads++
	m.load.Late = max(m.load.Late, late)
}

// Throttled counts a call that Graph answered with 429.
func (m *Meter) Throttled() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load.Throttled++
}

// Delivered counts a state that the mediator acknowledged, since being the time from the
// recorded change.
func (m *Meter) Delivered(since time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.load.Delivered == nil {
		m.load.Delivered = map[int]int{}
	}
	m.load.Delivered[latencyBucket(since)]++
}

// take returns the counts since the last take and resets them.
func (m *Meter) take(now time.Time) ooo.Load {
	m.mu.Lock()
	defer m.mu.Unlock()
	load := m.load
	load.Span = now.Sub(m.since)
	m.load, m.since = ooo.Load{}, now
	return load
}
