package partition

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// rounds is the state of the rounds.
type rounds struct {
	number       int64      // of the last one sent
	sentAt       time.Time  // when it was sent
	nextAt       time.Time  // when the next one is sent
	confirmed    store.Beat // of the last one answered
	failed       bool       // the last one was not answered
	rebalancedAt time.Time  // when the last one was sent that released partitions to rebalance
	keepUntil    time.Time  // until when none are released to rebalance
}

// end returns when the round and the swaps after it must have ended, because the next one is
// due.
func (r *rounds) end() time.Time { return r.sentAt.Add(roundTime) }

// nextRound sends a round, applies its answer and makes the swaps that are due.
func (o *Owners) nextRound() {
	r := &o.round
	var saves [ooo.Partitions]int64 // that Redis must have counted by now
	for p, h := range o.holds() {
		if h.restoring.Load() == 0 {
			saves[p], _ = o.holder.Saves(p)
		}
	}
	r.number++
	beat := store.Beat{Number: r.number, Settings: o.settings, Answered: o.answered(), Stopping: o.stopping}
	wall := o.wall()
	r.sentAt = time.Now()
	r.nextAt = r.end()
	ctx, cancel := context.WithDeadline(o.work, r.end())
	table, err := o.cfg.Store.Round(ctx, o.cfg.Life, beat)
	cancel()
	if table.Fingerprint != "" && table.Fingerprint != o.cfg.Fingerprint {
		err = store.ErrForeign
	}
	if o.work.Err() != nil { // it may have cut the call short
		return
	}
	if err != nil {
		if !r.failed {
			o.cfg.Log.WarnContext(o.work, "ownership update failed, retrying", "err", err)
		}
		r.failed = true
		o.failure.Store(&err)
		o.peers.unbroken = time.Time{}
		return
	}
	older := o.apply(&table, &saves)
	o.extendDeadline(wall, older)
	r.confirmed, r.failed = beat, false
	o.failure.Store(nil)
	o.table.Store(&table)
	time.AfterFunc(deadAfter, o.wakeRun) // what this round was the first to observe counts from then on
	o.rebalance()
	o.makeSwaps()
}

// expedite makes Run send the next round early.
func (o *Owners) expedite() {
	o.round.nextAt = o.round.sentAt.Add(minRoundGap)
}

// Refresh requests a round, because another replica released partitions, removed a dead owner or
// set a wait.
func (o *Owners) Refresh() {
	o.refresh.Store(true)
	o.wakeRun()
}

// apply acts on the table of an answered round. It reports whether the table may be older
// than the one before.
func (o *Owners) apply(table *store.Table, saves *[ooo.Partitions]int64) (older bool) {
	own, found := table.Beats[o.cfg.Life]
	older = found && own.Number < o.round.confirmed.Number || isOlder(*table, o.peers.table)
	for p, h := range o.holds() {
		if older && h.restoring.Load() > 0 { // applyLease can't know how many saves Redis must have counted
			o.restore(p)
		}
	}
	for p := range o.held {
		older = o.applyLease(p, table, saves[p]) || older
	}
	if older {
		if o.rolledBackAt.IsZero() {
			o.cfg.Log.WarnContext(o.work, "redis came back with older data, restoring what is newer here")
		}
		o.rolledBackAt = time.Now()
	}
	// If this replica's own beat is missing, it was declared dead, or the table is from before it
	// joined and others have updated it since, so that nothing else in it shows that.
	o.peers.observe(*table, older || !found, time.Now())
	for name, wait := range table.Waits {
		o.waits.apply(name, wait, o.wall())
	}
	return older
}

// applyLease acts on what the table says about one partition, whose saves Redis must have
// counted. It reports whether Redis came back with older data. Two leases of a partition can
// have the same tenure only after that; the one in the table is valid, unless this replica has
// saves that Redis lost.
func (o *Owners) applyLease(p int, table *store.Table, saves int64) (older bool) {
	h, lease := o.held[p], table.Leases[p]
	if h == nil {
		switch {
		case lease.Life != o.cfg.Life:
		case lease.Tenure > o.peers.tenures[p] && !o.stopping: // the answer of the take was lost
			o.acquire(p, lease)
		default: // the answer of the release was lost, or the table is older
			o.toRelease[p] = lease
		}
		return false
	}
	savesLost := table.Saves[p] < saves
	switch {
	case lease == h.lease:
		if h.reclaiming { // the answer of the reclaim was lost
			o.reclaimed(p)
		}
		if savesLost {
			o.restore(p)
		}
		return savesLost
	case lease.Tenure > h.lease.Tenure, lease.Tenure == h.lease.Tenure && !savesLost:
		o.cfg.Log.InfoContext(o.work, "partition lost to another replica", "partition", p)
		o.drop(p)
		return false
	}
	// An earlier lease or none: the table is older.
	o.mu.Lock()
	h.reclaiming = true
	h.contested = lease.Life != "" && lease.Life != o.cfg.Life
	o.mu.Unlock()
	return true
}

// extendDeadline sets the deadline after the answer to a round, which was sent at wall by the wall
// clock. If the deadline was over and the table may be older, another replica may have taken
// partitions since, and the table may predate that. This replica then pauses until such a replica
// has noticed.
func (o *Owners) extendDeadline(wall time.Time, older bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if older && len(o.peers.beats) > 0 && !o.inTime() {
		for _, h := range o.holds() {
			h.pausedUntil = time.Now().Add(deadAfter)
		}
	}
	o.deadline = o.round.sentAt.Add(graceTime)
	o.wallDeadline = wall.Add(graceTime)
}

// rebalance begins to release some of the partitions that this replica owns above its share.
// releaseRate is per roundTime, and rounds may be sent earlier.
func (o *Owners) rebalance() {
	now := time.Now()
	if o.peers.silence(now) == 0 || o.round.sentAt.Sub(o.round.rebalancedAt) < roundTime {
		return
	}
	o.round.rebalancedAt = o.round.sentAt
	_, release := plan(o.view(now))
	for _, p := range release {
		o.drain(p, drainTime)
	}
}

func (o *Owners) view(now time.Time) view {
	beats := o.peers.counted(o.round.confirmed, now)
	busy := func(p int) bool { return !o.held[p].current() || o.holder.Busy(p) }
	v := view{me: o.cfg.Life, now: now, beats: beats, leases: o.peers.table.Leases, free: o.peers.free, busy: busy}
	silence := o.peers.silence(now)
	failing := silence > deadAfter // then it takes long until another replica takes a free partition
	v.keep = failing || now.Before(o.round.keepUntil)
	for p, h := range o.holds() {
		v.held[p] = !h.draining
		v.free[p] = time.Time{} // it may have been acquired since the last table
	}
	for p, changed := range o.peers.changed {
		// If Redis went back, its owner may have come back since, or another may have taken it.
		if failing && now.Sub(changed) < silence {
			v.free[p] = time.Time{}
		}
	}
	return v
}
