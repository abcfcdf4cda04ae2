package partition

import (
	"context"
	"time"

	"outlook-monitor/internal/store"
)

// hold is a partition that this replica owns.
type hold struct {
	lease   store.Lease
	since   int64              // number of the last round whose table may not have what was written of it
	lost    context.Context    // ends with the hold
	release context.CancelFunc // of lost

	draining  bool      // it is being released
	contested bool      // the table named somebody else
	restoring bool      // memory is being written back
	unnamed   bool      // the table does not have the lease: this replica must not act; guarded by mu
	quiet     time.Time // it must not act before: another owner may; guarded by mu
}

// acts reports whether this replica may act while it is in time. The caller holds mu.
func (h *hold) acts() bool { return h != nil && !h.unnamed && !time.Now().Before(h.quiet) }

// set puts a hold, or none, in its place.
func (o *Owners) set(p int, h *hold) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held[p] = h
}

// acquire begins a hold and has it loaded, after an earlier hold that still is.
func (o *Owners) acquire(ctx context.Context, p int, lease store.Lease, since int64) {
	h := &hold{lease: lease, since: since}
	h.lost, h.release = context.WithCancel(ctx)
	o.set(p, h)
	o.tasks.Go(func() {
		o.loading[p].Lock()
		defer o.loading[p].Unlock()
		if h.lost.Err() != nil {
			return
		}
		if o.holder.Acquire(h.lost, p, lease); h.lost.Err() != nil {
			o.holder.Drop(p)
		}
	})
}

// drop ends a hold: the lease was lost or is about to be released.
func (o *Owners) drop(p int) {
	h := o.held[p]
	o.gone[p] = max(o.gone[p], h.lease.Tenure)
	o.set(p, nil)
	h.release()
	o.holder.Drop(p)
}

// drain has a hold released once nothing is in flight that must end before.
func (o *Owners) drain(ctx context.Context, p int, stop bool) {
	h := o.held[p]
	h.draining = true
	o.tasks.Go(func() {
		if err := o.holder.Drain(h.lost, p, stop); err != nil && h.lost.Err() == nil {
			o.log.DebugContext(ctx, "partition not drained in time", "partition", p, "err", err)
		}
		o.post(func() {
			if o.held[p] == h {
				o.drop(p)
				o.disowned[p] = h.lease
			}
		})
	})
}

// releaseLeases takes this replica out of the leases that name it and should not.
// What fails is found by the next round.
func (o *Owners) releaseLeases(ctx context.Context) {
	if len(o.disowned) == 0 || o.releasing || o.round.failed {
		return
	}
	o.releasing = true
	var swaps []store.Swap
	for p, lease := range o.disowned {
		swaps = append(swaps, store.Swap{Field: store.LeaseField(p), Old: lease.String(), New: lease.Released().String()})
	}
	clear(o.disowned)
	o.swap(ctx, func(swapped bool, _ error) {
		if o.releasing = false; swapped {
			o.tasks.Go(func() { o.cfg.Store.AnnounceTable(ctx) })
		}
	}, swaps...)
}

// reclaim writes this replica's lease again into a table from before the acquisition.
// Until that has worked it must not act, and if the table names somebody else not
// before that one must have noticed.
func (o *Owners) reclaim(ctx context.Context, p int, table *store.Owners) {
	found := table.Leases[p]
	h := o.held[p]
	h.contested = found.Life != "" && found.Life != o.cfg.Life
	o.mu.Lock()
	h.unnamed = true
	o.mu.Unlock()
	o.swap(ctx, func(swapped bool, err error) {
		switch {
		case o.held[p] != h || !h.unnamed: // lost, or a round was faster
		case err != nil || !swapped:
			o.hurry()
		default:
			o.named(ctx, p)
		}
	}, replace(table, store.LeaseField(p), h.lease.String()))
}

// named notes that the table has the lease again, and has the memory restored.
func (o *Owners) named(ctx context.Context, p int) {
	h := o.held[p]
	h.since = o.round.number
	o.mu.Lock()
	if h.contested {
		h.quiet = time.Now().Add(sightTime)
	}
	h.unnamed = false
	o.mu.Unlock()
	o.restore(ctx, p)
}

// restore has the memory of a partition written back.
func (o *Owners) restore(ctx context.Context, p int) {
	h := o.held[p]
	if h.restoring {
		return
	}
	h.restoring = true
	o.tasks.Go(func() {
		o.holder.Restore(h.lost, p, h.lease)
		o.post(func() {
			h.restoring = false
			h.since = o.round.number
			o.endOlder(ctx)
		})
	})
}

// endOlder calls OnOlder after Redis came back with older data, on the owner of
// partition 0 alone and after the wishes are back: what the mediator names would look
// new otherwise.
func (o *Owners) endOlder(ctx context.Context) {
	if !o.older || o.stopping {
		return
	}
	for _, h := range o.held {
		if h != nil && (h.unnamed || h.restoring) {
			return
		}
	}
	if o.held[0] != nil {
		o.older = false
		o.tasks.Go(func() { o.cfg.OnOlder(ctx) })
		return
	}
	// Another living owner does it; this one only if it has to take over.
	life := o.sight.table.Leases[0].Life
	if _, there := o.sight.beats[life]; there && !o.sight.dead(life, time.Now()) {
		o.older = false
	}
}

// replace changes a field that is still as it was seen.
func replace(table *store.Owners, field, text string) store.Swap {
	return store.Swap{Field: field, Old: table.Field(field), New: text}
}

// swap changes the table and has the outcome handled by Run. It may be carried out
// though there is an error.
func (o *Owners) swap(ctx context.Context, then func(swapped bool, err error), swaps ...store.Swap) {
	o.swapping++
	o.tasks.Go(func() {
		trying, cancel := context.WithTimeout(ctx, roundTime)
		defer cancel()
		swapped, err := o.cfg.Store.SwapOwners(trying, swaps...)
		o.post(func() {
			o.swapping--
			then(swapped, err)
		})
	})
}

// post has Run carry something out, unless it has ended.
func (o *Owners) post(event func()) {
	select {
	case o.events <- event:
	case <-o.ended:
	}
}
