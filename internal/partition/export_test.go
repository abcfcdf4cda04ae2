package partition

import (
	"time"

	"outlook-monitor/internal/store"
)

// SetWall replaces the wall clock.
func SetWall(o *Owners, wall func() time.Time) { o.wall = wall }

// Life returns the life of the replica.
func Life(o *Owners) string { return o.cfg.Life }

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

// Acts returns the partitions in which work may start now, one bit each.
func Acts(o *Owners) (acts uint64) {
	for p, lease := range Leases(o) {
		if lease.Life != "" {
			acts |= 1 << p
		}
	}
	return acts
}
