package partition

import (
	"context"
	"time"

	"outlook-monitor/internal/store"
)

// makeSwaps makes the swaps that are due by the table of the last answered round and by what has
// happened since.
func (o *Owners) makeSwaps() {
	ctx, cancel := context.WithDeadline(o.work, o.round.end())
	defer cancel()
	o.reclaim(ctx)
	o.release(ctx)
	o.take(ctx)
	o.housekeep(ctx)
}

// swap changes the table. If it returns false, another replica was faster, or the answer was
// lost and the swaps may have been carried out: the next round, which is then sent early,
// decides.
func (o *Owners) swap(ctx context.Context, swaps ...store.Swap) bool {
	if len(swaps) == 0 {
		return true
	}
	swapped, err := o.cfg.Store.SwapTable(ctx, swaps...)
	if err != nil || !swapped {
		o.expedite()
		return false
	}
	return true
}

// replace returns a swap of a field that must still be as it was in table.
func replace(table *store.Table, field, text string) store.Swap {
	return store.Swap{Field: field, Old: table.Field(field), New: text}
}

// reclaim writes this replica's leases again into a table from before their acquisition.
func (o *Owners) reclaim(ctx context.Context) {
	var swaps []store.Swap
	for p, h := range o.holds() {
		if h.reclaiming {
			swaps = append(swaps, replace(&o.peers.table, store.LeaseField(p), h.lease.String()))
		}
	}
	if !o.swap(ctx, swaps...) {
		return
	}
	for p, h := range o.holds() {
		if h.reclaiming {
			o.reclaimed(p)
		}
	}
}

// release removes this replica from the leases in toRelease. The next round finds those that
// it failed to release.
func (o *Owners) release(ctx context.Context) {
	var swaps []store.Swap
	for p, lease := range o.toRelease {
		swaps = append(swaps, store.Swap{Field: store.LeaseField(p), Old: lease.String(), New: lease.Released().String()})
	}
	clear(o.toRelease)
	if o.swap(ctx, swaps...) && len(swaps) > 0 {
		o.cfg.Store.AnnounceTable(ctx)
	}
}

// take takes partitions whose owners are dead, or that have none. It compares and removes
// the beats of the dead owners. It also compares this replica's own beat, which has changed
// if Redis came back with older data since the table was read.
func (o *Owners) take(ctx context.Context) {
	now := time.Now()
	o.peers.updateFree(now)
	if o.stopping || o.peers.silence(now) == 0 {
		return
	}
	v := o.view(now)
	partitions, _ := plan(v)
	if len(partitions) == 0 {
		return
	}
	if len(v.orphans(partitions)) > 0 {
		o.round.keepUntil = now.Add(keepTime)
	}
	table := &o.peers.table
	leases := map[int]store.Lease{}
	own := o.round.confirmed.String()
	swaps := []store.Swap{{Field: store.BeatField(o.cfg.Life), Old: own, New: own}}
	dead := map[string]bool{}
	for _, p := range partitions {
		leases[p] = store.Lease{Life: o.cfg.Life, Tenure: o.peers.tenures[p] + 1}
		swaps = append(swaps, replace(table, store.LeaseField(p), leases[p].String()))
		if life := table.Leases[p].Life; life != "" && !dead[life] {
			dead[life] = true
			swaps = append(swaps, replace(table, store.BeatField(life), ""))
		}
	}
	if !o.swap(ctx, swaps...) {
		return
	}
	for p, lease := range leases {
		o.acquire(p, lease)
	}
	if len(dead) > 0 { // the other replicas may take the rest of their partitions now
		o.cfg.Store.AnnounceTable(ctx)
	}
	o.cfg.Log.InfoContext(ctx, "partitions acquired", "count", len(leases), "from_dead", len(dead))
}

// housekeep writes what the table lacks, and removes the beats of dead replicas that own
// nothing.
func (o *Owners) housekeep(ctx context.Context) {
	table := &o.peers.table
	var swaps []store.Swap
	if number, _ := parseSettings(table.Settings); number < o.settings {
		swaps = append(swaps, o.numberSettings(table.Settings))
	}
	if table.Fingerprint == "" {
		swaps = append(swaps, replace(table, store.FieldFingerprint, o.cfg.Fingerprint))
	}
	now := time.Now()
	named := map[string]bool{}
	for _, lease := range table.Leases {
		named[lease.Life] = true
	}
	for life := range o.peers.beats {
		if !named[life] && o.peers.dead(life, now) {
			swaps = append(swaps, replace(table, store.BeatField(life), ""))
		}
	}
	o.swap(ctx, swaps...)
}
