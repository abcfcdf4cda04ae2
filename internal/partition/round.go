package partition

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// rounds is how the rounds went.
type rounds struct {
	number    int64      // of the last one sent
	sentAt    time.Time  // that one
	beat      store.Beat // of the last one sent
	confirmed store.Beat // of the last one answered
	inFlight  bool
	failed    bool      // the last one
	due       bool      // the next one follows as soon as this one ends
	earlyAt   time.Time // when the next one is sent before its time; zero: it is not
}

// sent is a round in flight.
type sent struct {
	beat  store.Beat
	saves [ooo.Partitions]int64 // that Redis must have seen by then
	early bool                  // before its time
	at    time.Time
	wall  time.Time
}

// startRound sends a round; if one is in flight, as soon as that ends.
func (o *Owners) startRound(ctx context.Context) {
	r := &o.round
	if r.due = r.inFlight; r.due || o.stopping && o.Owned() == 0 {
		return
	}
	early := !r.earlyAt.IsZero()
	r.inFlight, r.earlyAt, r.sentAt = true, time.Time{}, time.Now()
	r.number++
	r.beat = store.Beat{Number: r.number, Mailboxes: o.holder.Mailboxes(), Settings: o.settings, Answered: o.cfg.Answered(), Stopping: o.stopping}
	s := &sent{beat: r.beat, early: early}
	for p, h := range o.held {
		if h != nil && !h.restoring {
			s.saves[p], _ = o.holder.Saves(p)
		}
	}
	o.tasks.Go(func() {
		s.at, s.wall = time.Now(), o.wall()
		trying, cancel := context.WithTimeout(ctx, roundTime)
		defer cancel()
		table, err := o.cfg.Store.Round(trying, o.cfg.Life, s.beat)
		o.post(func() { o.endRound(ctx, s, table, err) })
	})
}

// earlyGap is the least time from one round to one that is sent before its time.
const earlyGap = 100 * time.Millisecond

// hurry has a round sent before its time.
func (o *Owners) hurry() {
	if r := &o.round; r.earlyAt.IsZero() {
		r.earlyAt = r.sentAt.Add(earlyGap)
	}
}

// Refresh has a round sent soon: another replica released something, or Graph asked it
// to wait.
func (o *Owners) Refresh() {
	select {
	case o.refresh <- struct{}{}:
	default: // it is due already
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
			o.log.WarnContext(ctx, "redis did not answer the ownership update, retrying", "err", err)
		}
		o.sight.fail()
	}
	r.failed = err != nil
	if r.due {
		o.startRound(ctx)
	}
}

// apply does what the table of an answered round says.
func (o *Owners) apply(ctx context.Context, s *sent, table store.Owners) {
	confirmed := o.round.confirmed.Number
	own, there := table.Beats[o.cfg.Life]
	older := there && own.Number < confirmed
	for p := range o.held {
		older = o.judge(ctx, p, s, &table) || older
	}
	if older {
		if !o.older {
			o.log.WarnContext(ctx, "redis came back with older data, restoring what is newer here")
		}
		o.older = true
	}
	// A replica that finds its own beat missing was declared dead, or Redis is empty: what was seen
	// before does not count.
	doubtful := older || confirmed > 0 && !there || isOlder(table, o.sight.table)
	o.sight.note(table, doubtful, time.Now())
	o.round.confirmed, o.refused = s.beat, false
	o.prolong(s, doubtful)

	for name, wait := range table.Waits {
		o.waits.apply(name, wait, o.wall())
	}
	if number, _ := parseSettings(table.Settings); number < o.settings {
		o.swap(ctx, func(bool, error) {}, o.numbered(table.Settings))
	}
	if table.Fingerprint == "" {
		o.swap(ctx, func(bool, error) {}, o.fingerprint())
	}
	if !s.early { // releaseRate counts regular rounds
		o.shareOut(ctx)
	}
	o.endOlder(ctx)
	o.table.Store(&table)
}

// prolong sets the deadline. If it was over and the table may be older, somebody may
// have taken a partition after this replica fell silent, and the table be from before
// that: whoever did finds out in time.
func (o *Owners) prolong(s *sent, doubtful bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if doubtful && len(o.sight.beats) > 0 && !o.inTime() {
		for _, h := range o.held {
			if h != nil {
				h.quiet = time.Now().Add(sightTime)
			}
		}
	}
	o.deadline, o.wallEnd = s.at.Add(graceTime), s.wall.Add(graceTime)
}

// judge does what the table says of a partition. It returns whether Redis came back
// with older data. Tenures of a partition grow with each acquisition; only after Redis
// came back with older data may two have the same, of which one must yield.
func (o *Owners) judge(ctx context.Context, p int, s *sent, table *store.Owners) (older bool) {
	h, lease := o.held[p], table.Leases[p]
	switch {
	case h == nil && lease.Life != o.cfg.Life:
	case h == nil && lease.Tenure > o.gone[p]: // the answer of the take was lost
		o.acquire(ctx, p, lease, s.beat.Number-1)
	case h == nil: // that of the release was, or the table is older
		o.disowned[p] = lease
	case lease == h.lease:
		if h.unnamed { // the answer of reclaiming it was lost
			o.named(ctx, p)
		}
		if table.Saves[p] < s.saves[p] && h.since < s.beat.Number {
			o.restore(ctx, p)
			return true
		}
	case lease.Tenure > h.lease.Tenure, lease.Tenure == h.lease.Tenure && lease.Life > o.cfg.Life:
		o.log.InfoContext(ctx, "partition lost to another replica", "partition", p)
		o.drop(p)
	case h.since < s.beat.Number: // an earlier lease or none: the table is older
		o.reclaim(ctx, p, table)
		return true
	}
	return false
}
