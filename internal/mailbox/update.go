package mailbox

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// saveTime bounds one try of a save.
const saveTime = 2 * time.Second

// Update changes a record: change gets a copy, which is saved and takes the place of
// the one in memory. It returns what is in memory then. While it runs nothing else
// changes the record. A save without an answer is repeated until it is answered,
// whatever ctx says. The error is change's own, nil for [ErrUnchanged],
// [ooo.ErrNotMonitored] if there is no such record, or [ooo.ErrNotOwner] if the
// partition is or gets lost.
func (r *Registry) Update(ctx context.Context, id ooo.RecordID, change func(d *Draft) error) (*ooo.Mailbox, error) {
	p := r.parts[id.Partition()].Load()
	if p == nil {
		return nil, ooo.ErrNotOwner
	}
	p.mu.Lock()
	e, ready := p.entries[id], p.ready
	p.mu.Unlock()
	switch {
	case !ready:
		return nil, ooo.ErrNotOwner
	case e == nil:
		return nil, ooo.ErrNotMonitored
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.record.Load()
	if m == nil {
		return nil, ooo.ErrNotMonitored
	}
	return r.update(ctx, p, e, m, change)
}

// update does so with an entry whose mutex the caller holds; m is its record, of
// version 0 if Redis has none.
func (r *Registry) update(ctx context.Context, p *partition, e *entry, m *ooo.Mailbox, change func(d *Draft) error) (*ooo.Mailbox, error) {
	d := newDraft(m)
	if err := change(d); errors.Is(err, ErrUnchanged) {
		return m, nil
	} else if err != nil {
		return m, err
	}
	if at := e.readAt.Load(); at != 0 {
		d.CheckedAt = time.Unix(0, at).UTC()
	}
	d.save.Lease = p.lease
	if err := r.commit(ctx, p, d.save); err != nil {
		return m, err
	}
	r.saved(p, e, d)
	return d.Mailbox, nil
}

// commit saves until Redis has answered, or the partition is lost. That it was lost
// is not for a refused save to say but for the next round: Redis may have come back
// with an older table, and then the name of this replica is put back.
func (r *Registry) commit(ctx context.Context, p *partition, s store.Save) error {
	for failures := 1; ; failures++ {
		trying, cancel := context.WithTimeout(p.ctx, saveTime)
		err := r.cfg.Store.Save(trying, s)
		cancel()
		if err == nil {
			p.mu.Lock()
			p.saves++
			p.mu.Unlock()
			return nil
		}
		if failures == 3 {
			r.cfg.Log.WarnContext(ctx, "record not saved, retrying", "mailbox", shown(s.Record.ID), "err", err)
		}
		if errors.Is(err, store.ErrVersion) {
			if s.Overwrite {
				r.discardDamaged(ctx, p, s.Record)
			}
			s.Overwrite = true
		}
		if !schedule.Sleep(p.ctx, schedule.Backoff(failures, 50*time.Millisecond, time.Second)) {
			return ooo.ErrNotOwner
		}
	}
}

// discardDamaged removes what Redis has in place of a record with a version that this
// owner, who alone writes it, never gave it: it can't be read, or was not written by
// this program, and would refuse every save. The other addresses that it may have had
// begin again. What fails is tried again with the save.
func (r *Registry) discardDamaged(ctx context.Context, p *partition, m *ooo.Mailbox) {
	trying, cancel := context.WithTimeout(p.ctx, loadTime)
	defer cancel()
	wishes, err := r.cfg.Store.AllWishes(trying)
	if err == nil {
		var others []ooo.Hint
		for _, w := range wishes {
			if w.Record() == m.ID && m.Address(w.Address) == nil {
				others = append(others, ooo.Hint{ID: m.ID, Kind: ooo.HintWish, Subject: ooo.FoldAddress(w.Address), Source: ooo.SourceRequest})
			}
		}
		err = r.Leave(trying, others...)
	}
	if err == nil {
		err = r.cfg.Store.RemoveRecords(trying, p.lease, p.number, m.ID)
	}
	if err == nil {
		r.cfg.Log.WarnContext(ctx, "damaged record in redis removed, it is written again", "mailbox", shown(m.ID))
	}
}

// saved puts a draft that Redis has into memory. The caller holds e.mu.
func (r *Registry) saved(p *partition, e *entry, d *Draft) {
	p.mu.Lock()
	if d.save.Remove {
		e.record.Store(nil)
	} else {
		e.record.Store(d.Mailbox)
	}
	for _, h := range d.save.Done {
		p.forget(h)
	}
	for folded, at := range d.left {
		p.stopped[folded] = at
	}
	for i := 0; i < len(d.Addresses) && len(p.stopped) > 0; i++ {
		delete(p.stopped, d.Addresses[i].Folded())
	}
	ready := p.ready
	p.mu.Unlock()
	switch {
	case d.save.Remove:
		r.removed(p, d.ID)
	case ready:
		r.changed(p, d.Mailbox)
	}
	r.apply(d.save.Leave...)
}

// removed lets the workers know that a record is gone. Its entry goes after that: who
// begins the mailbox again waits for the entry, and must not be heard of before. The
// caller holds the entry's mu.
func (r *Registry) removed(p *partition, id ooo.RecordID) {
	for _, w := range r.workers {
		w.Dropped(id)
	}
	p.mu.Lock()
	delete(p.entries, id)
	ready := p.ready
	waiting := slices.Collect(maps.Values(p.hints[id]))
	p.mu.Unlock()
	for _, h := range waiting {
		if ready {
			r.dispatch(h, false)
		}
	}
}

// changed lets the workers know of a mailbox, unless its partition is lost: that
// they have heard of then, or are about to.
func (r *Registry) changed(p *partition, m *ooo.Mailbox) {
	p.calling.RLock()
	defer p.calling.RUnlock()
	if p.ctx.Err() != nil {
		return
	}
	for _, w := range r.workers {
		w.Changed(m)
	}
}

// shown is how a log names a record: addresses are not logged.
func shown(id ooo.RecordID) string {
	if id.Unresolved() {
		return "unresolved"
	}
	return string(id)
}
