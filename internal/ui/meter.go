package ui

import (
	"net/http"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// Meter counts what this process does between two beats. Its methods may be
// called by several goroutines at once.
type Meter struct {
	mu    sync.Mutex
	load  ooo.Load  // guarded by mu
	since time.Time // when load began; guarded by mu
}

// NewMeter returns a meter.
func NewMeter() *Meter { return &Meter{since: time.Now()} }

// Read counts a read of a mailbox and how long after it was due it began.
func (m *Meter) Read(late time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load.Reads++
	m.load.Late = max(m.load.Late, late)
}

// Called counts an answer of Graph.
func (m *Meter) Called(status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load.Calls++
	if status == http.StatusTooManyRequests {
		m.load.Throttled++
	}
}

// Delivered counts a state that the mediator acknowledged so long after the change was
// recorded.
func (m *Meter) Delivered(since time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.load.Delivered == nil {
		m.load.Delivered = map[int]int{}
	}
	m.load.Delivered[latencyBucket(since)]++
}

// take returns what was counted since the last time.
func (m *Meter) take(now time.Time) ooo.Load {
	m.mu.Lock()
	defer m.mu.Unlock()
	load := m.load
	load.Span = now.Sub(m.since)
	m.load, m.since = ooo.Load{}, now
	return load
}
