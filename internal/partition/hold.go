package partition

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/store"
)

// hold is a partition that this replica owns, from its acquisition to its drop.
type hold struct {
	lease  store.Lease
	ctx    context.Context // ends with the hold
	cancel context.CancelFunc

	draining   bool         // being released
	drained    atomic.Bool  // its work in flight has ended, or has taken too long
	restoring  atomic.Int32 // calls of restore since its memory was last written back to Redis; 0: it is there
	contested  bool         // the older table named another owner
	reclaiming bool         // the table does not have the lease, so this replica must not act; guarded by Owners.mu
	// pausedUntil is when this replica may act again, because another owner may act before.
	// It is guarded by Owners.mu.
	pausedUntil time.Time
}

// acts reports whether this replica may act if its deadline is not over. The caller must
// hold Owners.mu.
func (h *hold) acts() bool { return h != nil && !h.reclaiming && !time.Now().Before(h.pausedUntil) }

// current reports whether Redis has the memory of the partition, as far as this replica knows.
// Until then another owner would load older data.
func (h *hold) current() bool { return !h.reclaiming && h.restoring.Load() == 0 }

// holds yields the partitions that this replica owns.
func (o *Owners) holds() iter.Seq2[int, *hold] {
	return func(yield func(int, *hold) bool) {
		for p, h := range o.held {
			if h != nil && !yield(p, h) {
				return
			}
		}
	}
}

// acquire begins a hold, whose partition the holder loads.
func (o *Owners) acquire(p int, lease store.Lease) {
	h := &hold{lease: lease}
	h.ctx, h.cancel = context.WithCancel(o.work)
	o.mu.Lock()
	o.held[p] = h
	o.mu.Unlock()
	o.tasks.Go(o.holder.Acquire(h.ctx, p, lease))
}

// drop ends a hold: the lease was lost or is about to be released.
func (o *Owners) drop(p int) {
	h := o.held[p]
	o.mu.Lock()
	o.held[p] = nil
	o.mu.Unlock()
	h.cancel()
	o.holder.Drop(p)
}

// drain begins to release a hold: its work in flight may take until limit to end.
func (o *Owners) drain(p int, limit time.Duration) {
	h := o.held[p]
	h.draining = true
	o.tasks.Go(func() {
		draining, cancel := context.WithTimeout(h.ctx, limit)
		defer cancel()
		if err := o.holder.Drain(draining, p); err != nil && h.ctx.Err() == nil {
			o.cfg.Log.DebugContext(h.ctx, "partition not drained in time", "partition", p, "err", err)
		}
		h.drained.Store(true)
		o.wakeRun()
	})
}

// reclaimed records that the table has the lease again, and restores the partition.
func (o *Owners) reclaimed(p int) {
	h := o.held[p]
	o.mu.Lock()
	if h.contested {
		h.pausedUntil = time.Now().Add(deadAfter)
	}
	h.reclaiming = false
	o.mu.Unlock()
	o.restore(p)
}

// restore makes the holder write the memory of a partition back to Redis. If it is doing that, it
// does it again, because Redis may have lost what it has written.
func (o *Owners) restore(p int) {
	h := o.held[p]
	if h.restoring.Add(1) > 1 {
		return
	}
	o.tasks.Go(func() {
		for n := int32(1); ; n = h.restoring.Load() {
			o.holder.Restore(h.ctx, p, h.lease)
			if h.restoring.CompareAndSwap(n, 0) {
				return
			}
		}
	})
}

// wakeRun makes Run check what is due.
func (o *Owners) wakeRun() {
	select {
	case o.wake <- struct{}{}:
	default: // it will see this one too
	}
}

// finishRollback calls OnRollback once this replica has restored its partitions and the others,
// which notice within a round, had deadAfter to restore theirs. It comes after the restored
// wishes, because the mediator would otherwise start users again that are monitored already. A
// replica without partitions waits for its first one: it takes those of replicas that died before
// they could do it.
func (o *Owners) finishRollback() {
	if o.rolledBackAt.IsZero() || time.Since(o.rolledBackAt) < deadAfter || o.Owned() == 0 {
		return
	}
	for _, h := range o.holds() {
		if !h.current() {
			return
		}
	}
	o.rolledBackAt = time.Time{}
	o.tasks.Go(func() { o.cfg.OnRollback(o.work) })
}
