package partition

import (
	"context"
	"time"

	"outlook-monitor/internal/store"
)

// hold is a partition that this replica owns, from its acquisition to its drop.
type hold struct {
	lease      store.Lease
	ctx        context.Context // ends with the hold
	cancel     context.CancelFunc
	staleUntil int64 // the tables of rounds up to this number may not have the last write for the partition

	draining   bool // being released
	restoring  bool // its memory is being written back to Redis
	contested  bool // the older table named another owner
	reclaiming bool // the table does not have the lease, so this replica must not act; guarded by Owners.mu
	// pausedUntil is when this replica may act again, because another owner may act before.
	// It is guarded by Owners.mu.
	pausedUntil time.Time
}

// acts reports whether this replica may act if its deadline is not over. The caller must
// hold Owners.mu.
func (h *hold) acts() bool { return h != nil && !h.reclaiming && !time.Now().Before(h.pausedUntil) }

// set sets the hold of a partition; nil removes it.
func (o *Owners) set(p int, h *hold) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held[p] = h
}

// acquire begins a hold, whose partition the holder loads.
func (o *Owners) acquire(ctx context.Context, p int, lease store.Lease, staleUntil int64) {
	h := &hold{lease: lease, staleUntil: staleUntil}
	h.ctx, h.cancel = context.WithCancel(ctx)
	o.set(p, h)
	o.tasks.Go(o.holder.Acquire(h.ctx, p, lease))
}

// drop ends a hold: the lease was lost or is about to be released.
func (o *Owners) drop(p int) {
	h := o.held[p]
	o.lastTenure[p] = max(o.lastTenure[p], h.lease.Tenure)
	o.set(p, nil)
	h.cancel()
	o.holder.Drop(p)
}

// drain releases a hold once its work in flight has ended, or after limit.
func (o *Owners) drain(ctx context.Context, p int, limit time.Duration) {
	h := o.held[p]
	h.draining = true
	o.tasks.Go(func() {
		draining, cancel := context.WithTimeout(h.ctx, limit)
		defer cancel()
		if err := o.holder.Drain(draining, p); err != nil && h.ctx.Err() == nil {
			o.cfg.Log.DebugContext(ctx, "partition not drained in time", "partition", p, "err", err)
		}
		o.post(func() {
			if o.held[p] == h {
				o.drop(p)
				o.toRelease[p] = h.lease
			}
		})
	})
}

// releaseLeases removes this replica from the leases in toRelease. The next round finds
// those that it failed to release.
func (o *Owners) releaseLeases(ctx context.Context) {
	if len(o.toRelease) == 0 || o.releasing || o.round.failed {
		return
	}
	o.releasing = true
	var swaps []store.Swap
	for p, lease := range o.toRelease {
		swaps = append(swaps, store.Swap{Field: store.LeaseField(p), Old: lease.String(), New: lease.Released().String()})
	}
	clear(o.toRelease)
	o.swap(ctx, func(swapped bool, _ error) {
		if o.releasing = false; swapped {
			o.tasks.Go(func() { o.cfg.Store.AnnounceTable(ctx) })
		}
	}, swaps...)
}

// reclaim writes this replica's lease again into a table from before the acquisition. This
// replica must not act until that succeeds, and if the table names another owner, not
// until that owner must have noticed.
func (o *Owners) reclaim(ctx context.Context, p int, table *store.Owners) {
	found := table.Leases[p]
	h := o.held[p]
	h.contested = found.Life != "" && found.Life != o.cfg.Life
	o.mu.Lock()
	h.reclaiming = true
	o.mu.Unlock()
	o.swap(ctx, func(swapped bool, err error) {
		switch {
		case o.held[p] != h || !h.reclaiming: // the hold has ended, or a round has seen the lease
		case err != nil || !swapped:
			o.expedite()
		default:
			o.reclaimed(ctx, p)
		}
	}, replace(table, store.LeaseField(p), h.lease.String()))
}

// reclaimed records that the table has the lease again, and restores the partition.
func (o *Owners) reclaimed(ctx context.Context, p int) {
	h := o.held[p]
	h.staleUntil = o.round.number
	o.mu.Lock()
	if h.contested {
		h.pausedUntil = time.Now().Add(deadAfter)
	}
	h.reclaiming = false
	o.mu.Unlock()
	o.restore(ctx, p)
}

// restore makes the holder write the memory of a partition back to Redis.
func (o *Owners) restore(ctx context.Context, p int) {
	h := o.held[p]
	if h.restoring {
		return
	}
	h.restoring = true
	o.tasks.Go(func() {
		o.holder.Restore(h.ctx, p, h.lease)
		o.post(func() {
			h.restoring = false
			h.staleUntil = o.round.number
			o.finishRollback(ctx)
		})
	})
}

// finishRollback calls OnRollback once all partitions are restored, on the owner of
// partition 0 only. It comes after the restored wishes, because the mediator would
// otherwise start users again that are monitored already.
func (o *Owners) finishRollback(ctx context.Context) {
	if !o.rolledBack || o.stopping {
		return
	}
	for _, h := range o.held {
		if h != nil && (h.reclaiming || h.restoring) {
			return
		}
	}
	if o.held[0] != nil {
		o.rolledBack = false
		o.tasks.Go(func() { o.cfg.OnRollback(ctx) })
		return
	}
	// A living owner of partition 0 does it. If there is none, this replica may take the
	// partition and do it then.
	life := o.peers.table.Leases[0].Life
	if _, ok := o.peers.beats[life]; ok && !o.peers.dead(life, time.Now()) {
		o.rolledBack = false
	}
}

// replace returns a swap of a field that must still be as it was in table.
func replace(table *store.Owners, field, text string) store.Swap {
	return store.Swap{Field: field, Old: table.Field(field), New: text}
}

// swap changes the table. Run then calls the callback with the result. After an error the
// swaps may have been carried out.
func (o *Owners) swap(ctx context.Context, then func(swapped bool, err error), swaps ...store.Swap) {
	o.swapping++
	o.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, roundTime)
		defer cancel()
		swapped, err := o.cfg.Store.SwapOwners(ctx, swaps...)
		o.post(func() {
			o.swapping--
			then(swapped, err)
		})
	})
}

// post makes Run call event, unless Run has returned.
func (o *Owners) post(event func()) {
	select {
	case o.events <- event:
	case <-o.ended:
	}
}
