package partition

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// rounds is the state of the rounds.
type rounds struct {
	number    int64      // of the last one sent
	sentAt    time.Time  // when it was sent
	beat      store.Beat // of the last one sent
	confirmed store.Beat // of the last one answered
	inFlight  bool
	failed    bool      // the last one failed
	due       bool      // the next one is sent when the one in flight ends
	earlyAt   time.Time // when the next one is sent if that is before its regular time, else zero
}

// sent is a round in flight.
type sent struct {
	beat  store.Beat
	saves [ooo.Partitions]int64 // that Redis must have counted by then
	early bool                  // sent before its regular time
	at    time.Time
	wall  time.Time // at, by the wall clock
}

// startRound sends a round, or if one is in flight, makes the next one follow it.
func (o *Owners) startRound(ctx context.Context) {
	r := &o.round
	if r.due = r.inFlight; r.due || o.stopping && o.Owned() == 0 {
		return
	}
	early := !r.earlyAt.IsZero()
	r.inFlight, r.earlyAt, r.sentAt = true, time.Time{}, time.Now()
	r.number++
	r.beat = store.Beat{Number: r.number, Settings: o.settings, Answered: o.cfg.Answered(), Stopping: o.stopping}
	s := &sent{beat: r.beat, early: early}
	for p, h := range o.held {
		if h != nil && !h.restoring {
			s.saves[p], _ = o.holder.Saves(p)
		}
	}
	o.tasks.Go(func() {
		s.at, s.wall = time.Now(), o.wall()
		asking, cancel := context.WithTimeout(ctx, roundTime)
		defer cancel()
		table, err := o.cfg.Store.Round(asking, o.cfg.Life, s.beat)
		o.post(func() { o.endRound(ctx, s, table, err) })
	})
}

// expedite makes Run send the next round early.
func (o *Owners) expedite() {
	if r := &o.round; r.earlyAt.IsZero() {
		r.earlyAt = r.sentAt.Add(minRoundGap)
	}
}

// Refresh requests a round, because another replica released partitions or set a wait.
func (o *Owners) Refresh() {
	select {
	case o.refresh <- struct{}{}:
	default: // already requested
	}
}

func (o *Owners) endRound(ctx context.Context, s *sent, table store.Owners, err error) {
	r := &o.round
	r.inFlight = false
	if err == nil && table.Fingerprint != "" && table.Fingerprint != o.cfg.Fingerprint {
		err = ErrForeign
	}
	if err == nil {
		o.apply(ctx, s, table)
	} else {
		if !r.failed {
			o.cfg.Log.WarnContext(ctx, "redis did not answer the ownership update, retrying", "err", err)
		}
		o.peers.fail()
	}
	r.failed = err != nil
	if r.due {
		o.startRound(ctx)
	}
}

// apply acts on the table of an answered round.
func (o *Owners) apply(ctx context.Context, s *sent, table store.Owners) {
	confirmed := o.round.confirmed.Number
	own, found := table.Beats[o.cfg.Life]
	older := found && own.Number < confirmed
	for p := range o.held {
		older = o.applyLease(ctx, p, s, &table) || older
	}
	if older {
		if !o.rolledBack {
			o.cfg.Log.WarnContext(ctx, "redis came back with older data, restoring what is newer here")
		}
		o.rolledBack = true
	}
	// If this replica's own beat is missing, it was declared dead or Redis is empty.
	doubtful := older || confirmed > 0 && !found || isOlder(table, o.peers.table)
	o.peers.observe(table, doubtful, time.Now())
	o.round.confirmed, o.refused = s.beat, false
	o.extendDeadline(s, doubtful)

	for name, wait := range table.Waits {
		o.waits.apply(name, wait, o.wall())
	}
	if number, _ := parseSettings(table.Settings); number < o.settings {
		o.swap(ctx, func(bool, error) {}, o.numberSettings(table.Settings))
	}
	if table.Fingerprint == "" {
		o.swap(ctx, func(bool, error) {}, o.fingerprint())
	}
	if !s.early { // releaseRate is per regular round
		o.rebalance(ctx)
	}
	o.finishRollback(ctx)
	o.table.Store(&table)
}

// extendDeadline sets the deadline after an answered round. If the deadline was over and the
// table may be older, another replica may have taken partitions since, and the table may
// predate that. This replica then pauses until such a replica has noticed.
func (o *Owners) extendDeadline(s *sent, doubtful bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if doubtful && len(o.peers.beats) > 0 && !o.inTime() {
		for _, h := range o.held {
			if h != nil {
				h.pausedUntil = time.Now().Add(deadAfter)
			}
		}
	}
	o.deadline, o.wallDeadline = s.at.Add(graceTime), s.wall.Add(graceTime)
}

// applyLease acts on what the table says about one partition. It reports whether Redis came
// back with older data. Two leases of a partition can have the same tenure only after that;
// the replica with the lower life yields.
func (o *Owners) applyLease(ctx context.Context, p int, s *sent, table *store.Owners) (older bool) {
	h, lease := o.held[p], table.Leases[p]
	switch {
	case h == nil && lease.Life != o.cfg.Life:
	case h == nil && lease.Tenure > o.lastTenure[p]: // the answer of the take was lost
		o.acquire(ctx, p, lease, s.beat.Number-1)
	case h == nil: // the answer of the release was lost, or the table is older
		o.toRelease[p] = lease
	case lease == h.lease:
		if h.reclaiming { // the answer of the reclaim was lost
			o.reclaimed(ctx, p)
		}
		if table.Saves[p] < s.saves[p] && h.staleUntil < s.beat.Number {
			o.restore(ctx, p)
			return true
		}
	case lease.Tenure > h.lease.Tenure, lease.Tenure == h.lease.Tenure && lease.Life > o.cfg.Life:
		o.cfg.Log.InfoContext(ctx, "partition lost to another replica", "partition", p)
		o.drop(p)
	case h.staleUntil < s.beat.Number: // an earlier lease or none: the table is older
		o.reclaim(ctx, p, table)
		return true
	}
	return false
}
