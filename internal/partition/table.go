package partition

import (
	"context"
	"time"

	"outlook-monitor/internal/store"
)

// apply does what the table of an answered round says.
func (o *Owners) apply(ctx context.Context, s *sent, table store.Owners) {
	r := &o.round
	if table.Fingerprint != "" && table.Fingerprint != o.cfg.Fingerprint {
		if !r.foreign {
			o.log.ErrorContext(ctx, "nothing starts any more", "err", ErrForeign)
		}
		r.foreign = true
		o.sight.fail()
		return
	}
	r.foreign = false
	own, there := table.Beats[o.cfg.Life]
	older := there && own.Number < r.confirmed.Number
	for p := range o.held {
		older = o.judge(ctx, p, s, &table) || older
	}
	if older {
		if !o.older {
			o.log.WarnContext(ctx, "redis came back with older data, writing back what is newer here")
		}
		o.older = true
	}
	before := o.sight.table
	// Who finds no beat of its own was taken for dead, or Redis is empty: what was seen
	// before does not count.
	doubtful := older || r.confirmed.Number > 0 && !there || isOlder(table, before)
	o.sight.note(table, doubtful, time.Now())
	r.confirmed, o.refused = s.beat, false
	lapsed := !o.InTime()
	o.mu.Lock()
	if lapsed && doubtful && len(o.sight.beats) > 0 {
		// Somebody may have taken a partition after this replica fell silent, and the
		// table be from before that: whoever did finds out in time.
		for _, h := range o.held {
			if h != nil {
				h.quiet = time.Now().Add(sightTime)
			}
		}
	}
	o.deadline, o.wallEnd = s.at.Add(graceTime), s.wall.Add(graceTime)
	o.mu.Unlock()

	for name, wait := range table.Waits {
		o.waits.apply(name, wait, o.wall())
	}
	if number, _ := parseSettings(table.Settings); number < o.settings {
		o.swap(ctx, func(bool, error) {}, o.numbered(table.Settings))
	}
	if table.Fingerprint == "" {
		o.swap(ctx, func(bool, error) {}, o.fingerprint())
	}
	o.shareOut(ctx)
	o.tellOlder(ctx)
	o.cfg.OnTable(table)
}

// judge does what the table says of a partition. It returns whether Redis came back
// with older data.
func (o *Owners) judge(ctx context.Context, p int, s *sent, table *store.Owners) (older bool) {
	h, mine, lease := o.held[p], store.Lease{}, table.Leases[p]
	if h != nil {
		mine = h.lease
	}
	switch judge(o.cfg.Life, lease, mine, o.gone[p]) {
	case own:
		o.acquire(ctx, p, lease, s.moment)
	case disown:
		o.disowned[p] = lease
	case lose:
		o.log.InfoContext(ctx, "partition lost to another replica", "partition", p)
		o.drop(p)
	case putBack:
		if h.moment > s.moment || h.putting {
			return false
		}
		o.putBack(ctx, p, table)
		return true
	case keep:
		if h.unnamed {
			o.named(h) // the answer of putting it back was lost
			o.restore(ctx, p)
		}
		if table.Saves[p] < s.saves[p] && h.restored <= s.moment {
			o.restore(ctx, p)
			return true
		}
	}
	return false
}
