package partition

import (
	"time"

	"outlook-monitor/internal/store"
)

// SetWall replaces the wall clock.
func SetWall(o *Owners, wall func() time.Time) { o.wall = wall }

// Deadline returns until when work may start if no other round is answered.
func Deadline(o *Owners) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.deadline
}

// Leases returns the leases of the partitions in which work may start now.
func Leases(o *Owners) (leases [64]store.Lease) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, h := range o.held {
		if h.acts() && o.inTime() {
			leases[p] = h.lease
		}
	}
	return leases
}
