package partition

import (
	"context"
	"strconv"
	"time"

	"outlook-monitor/internal/store"
)

// makeSwaps makes the swaps that are due by the table of the last round and by what has happened
// since. It stops at the first one that is refused or not answered, and makes no other until
// the next round has been answered. It reports whether all were carried out.
func (o *Owners) makeSwaps(ctx context.Context) bool {
	if o.round.failed || o.refused {
		return false
	}
	return o.reclaim(ctx) && o.release(ctx) && o.take(ctx)
}

// swap changes the table. If it returns false, another replica was faster, or the answer was
// lost and the swaps may have been carried out: the next round, which is then sent early,
// decides.
func (o *Owners) swap(ctx context.Context, swaps ...store.Swap) bool {
	ctx, cancel := context.WithDeadline(ctx, o.round.end())
	defer cancel()
	swapped, err := o.cfg.Store.SwapOwners(ctx, swaps...)
	if err != nil || !swapped {
		o.refused = true
		o.expedite()
		return false
	}
	return true
}

// replace returns a swap of a field that must still be as it was in table.
func replace(table *store.Owners, field, text string) store.Swap {
	return store.Swap{Field: field, Old: table.Field(field), New: text}
}

// reclaim writes this replica's leases again into a table from before their acquisition.
func (o *Owners) reclaim(ctx context.Context) bool {
	var swaps []store.Swap
	for p, h := range o.held {
		if h != nil && h.reclaiming {
			swaps = append(swaps, replace(&o.peers.table, store.LeaseField(p), h.lease.String()))
		}
	}
	if len(swaps) == 0 {
		return true
	}
	if !o.swap(ctx, swaps...) {
		return false
	}
	for p, h := range o.held {
		if h != nil && h.reclaiming {
			o.reclaimed(p)
		}
	}
	return true
}

// release removes this replica from the leases in toRelease. The next round finds those that
// it failed to release.
func (o *Owners) release(ctx context.Context) bool {
	var swaps []store.Swap
	for p, lease := range o.toRelease {
		swaps = append(swaps, store.Swap{Field: store.LeaseField(p), Old: lease.String(), New: lease.Released().String()})
	}
	if len(swaps) == 0 {
		return true
	}
	clear(o.toRelease)
	if !o.swap(ctx, swaps...) {
		return false
	}
	o.announce(ctx)
	return true
}

// announce makes the other replicas take what this one has released.
func (o *Owners) announce(ctx context.Context) {
	ctx, cancel := context.WithDeadline(ctx, o.round.end())
	defer cancel()
	o.cfg.Store.AnnounceTable(ctx)
}

// take takes partitions whose owners are dead, or that have none. It compares and removes
// the beats of the dead owners. It also compares this replica's own beat, which has changed
// if Redis came back with older data since the table was read.
func (o *Owners) take(ctx context.Context) bool {
	now := time.Now()
	o.peers.updateFree(false, now)
	if o.stopping || !o.peers.settled(now) || !o.InTime() {
		return true
	}
	partitions, _ := plan(o.view(now))
	if len(partitions) == 0 {
		return true
	}
	table := &o.peers.table
	leases := map[int]store.Lease{}
	own := o.round.confirmed.String()
	swaps := []store.Swap{{Field: store.BeatField(o.cfg.Life), Old: own, New: own}}
	dead := map[string]bool{}
	for _, p := range partitions {
		lease := store.Lease{Life: o.cfg.Life, Tenure: o.lastKnownTenure(p) + 1}
		leases[p] = lease
		// The number of saves is raised too, so that the next tenure is higher even if the lease is
		// missing then.
		swaps = append(swaps, replace(table, store.LeaseField(p), lease.String()),
			replace(table, store.SavesField(p), strconv.FormatInt(lease.Tenure, 10)))
		if life := table.Leases[p].Life; life != "" && !dead[life] {
			dead[life] = true
			swaps = append(swaps, replace(table, store.BeatField(life), ""))
		}
	}
	if !o.swap(ctx, swaps...) {
		return false
	}
	for p, lease := range leases {
		o.acquire(ctx, p, lease)
	}
	o.cfg.Log.InfoContext(ctx, "partitions acquired", "count", len(leases), "from_dead", len(dead))
	return true
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
		swaps = append(swaps, o.fingerprint())
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
	if len(swaps) > 0 {
		o.swap(ctx, swaps...)
	}
}
