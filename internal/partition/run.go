package partition

import (
	"context"
	"strconv"
	"time"

	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// Run joins the other replicas and owns partitions until ctx ends. Then it takes no more
// partitions, drains and releases its own, and removes its beat, within stopTime. It must
// be called once.
func (o *Owners) Run(ctx context.Context, holder Holder) error {
	if err := o.join(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	o.holder = holder
	o.cfg.Log.InfoContext(ctx, "joined the other replicas", "life", o.cfg.Life, "settings", o.settings)
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	tick, timer, stop := time.NewTicker(roundTime), time.NewTimer(roundTime), ctx.Done()
	defer func() {
		tick.Stop()
		timer.Stop()
		close(o.ended)
		end()
		o.tasks.Wait()
	}()
	o.tasks.Go(func() { o.ping(ctx) })
	o.startRound(work)
	for {
		select {
		case <-stop:
			stop, o.stopping, o.stopAt = nil, true, time.Now().Add(stopTime)
			o.startRound(work)
		case <-tick.C:
			o.round.earlyAt = time.Time{}
			o.startRound(work)
		case <-o.refresh:
			o.expedite()
		case event := <-o.events:
			event()
		case <-timer.C:
		}
		next := o.act(work)
		if at := o.round.earlyAt; !at.IsZero() {
			if wait := time.Until(at); wait <= 0 {
				o.startRound(work)
			} else if next == 0 || wait < next {
				next = wait
			}
		}
		if next > 0 {
			timer.Reset(next)
		}
		switch {
		case !o.stopping || o.Owned() > 0:
		case o.round.failed:
			o.cfg.Log.WarnContext(ctx, "no answer from redis while leaving, other replicas take over in a few seconds")
			return nil
		case o.swapping == 0 && !o.round.inFlight:
			o.leave(work)
			return nil
		}
	}
}

// act takes, drains and releases the partitions that are due now. It returns after what
// time it must be called again if nothing else happens, or 0.
func (o *Owners) act(ctx context.Context) time.Duration {
	now := time.Now()
	defer o.releaseLeases(ctx)
	if o.stopping {
		for p, h := range o.held {
			switch {
			case h == nil:
			case !now.Before(o.stopAt):
				o.drop(p)
				o.toRelease[p] = h.lease
			case !h.draining:
				o.drain(ctx, p, stopTime)
			}
		}
		return o.stopAt.Sub(now)
	}
	ps := &o.peers
	ps.updateFree(false, now)
	if !o.taking && !o.refused && ps.settled(now) && o.InTime() {
		if take, _ := plan(o.view(ps.counted(o.round.beat, now), now)); len(take) > 0 {
			o.take(ctx, take)
		}
	}
	return ps.next(now)
}

func (o *Owners) view(beats map[string]store.Beat, now time.Time) view {
	v := view{me: o.cfg.Life, now: now, beats: beats, leases: o.peers.table.Leases, free: o.peers.free, busy: o.holder.Busy}
	for p, h := range o.held {
		v.held[p] = h != nil && !h.draining
		if h != nil {
			v.free[p] = time.Time{} // acquired since the last table
		}
	}
	return v
}

// take takes partitions whose owners are dead, or that have none. It compares and removes
// the beats of the dead owners. It also compares this replica's own beat, which has changed
// if Redis came back with older data since the table was read.
func (o *Owners) take(ctx context.Context, partitions []int) {
	table := &o.peers.table
	leases := map[int]store.Lease{}
	own := o.round.confirmed.String()
	swaps := []store.Swap{{Field: store.BeatField(o.cfg.Life), Old: own, New: own}}
	dead := map[string]bool{}
	for _, p := range partitions {
		lease := store.Lease{Life: o.cfg.Life, Tenure: max(o.peers.tenures[p], o.lastTenure[p]) + 1}
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
	o.taking = true
	o.swap(ctx, func(swapped bool, err error) {
		o.taking = false
		if !swapped || err != nil {
			o.refused = true // another replica was faster, or the answer was lost
			o.expedite()
			return
		}
		for p, lease := range leases {
			if o.held[p] == nil && lease.Tenure > o.lastTenure[p] {
				o.acquire(ctx, p, lease, o.round.number)
			}
		}
		o.cfg.Log.InfoContext(ctx, "partitions acquired", "count", len(leases), "from_dead", len(dead))
	}, swaps...)
}

// rebalance releases some of the partitions that this replica owns above its share, and
// removes the beats of dead replicas that own none.
func (o *Owners) rebalance(ctx context.Context) {
	now := time.Now()
	ps := &o.peers
	if o.stopping || !ps.settled(now) {
		return
	}
	_, release := plan(o.view(ps.counted(o.round.beat, now), now))
	for _, p := range release {
		o.drain(ctx, p, drainTime)
	}
	named := map[string]bool{}
	for _, lease := range ps.table.Leases {
		named[lease.Life] = true
	}
	for life := range ps.beats {
		if !named[life] && ps.dead(life, now) {
			o.swap(ctx, func(bool, error) {}, replace(&ps.table, store.BeatField(life), ""))
		}
	}
}

// ping calls Graph while there are other replicas, if nothing else did for pingInterval, until
// ctx ends. That way replicas without mailboxes, among them those that released their
// partitions because they could not read, show whether they can read.
func (o *Owners) ping(ctx context.Context) {
	for schedule.Sleep(ctx, time.Second) {
		if since := o.cfg.Answered(); since >= 0 && since < pingInterval || len(o.Table().Beats) < 2 {
			continue
		}
		_ = o.cfg.Ping(ctx) // Answered reports the result
		schedule.Sleep(ctx, pingInterval-time.Second)
	}
}
