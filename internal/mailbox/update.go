package mailbox

import (
	"context"
	"errors"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// saveTime bounds one try of a save.
const saveTime = 2 * time.Second

// ErrUnchanged is what a change returns that turned out to need no save.
var ErrUnchanged = errors.New("nothing to save")

// Update changes a record: change gets a copy, which is saved and takes the place of
// the one in memory. It returns what is in memory then. While it runs nothing else
// changes the record. A save without an answer is repeated until it is answered,
// or the partition is lost. The error is change's own, nil for [ErrUnchanged],
// [ooo.ErrNotMonitored] if there is no such record, or [ooo.ErrNotOwner] if the
// partition is or gets lost.
func (r *Registry) Update(id ooo.RecordID, change func(d *Draft) error) (*ooo.Mailbox, error) {
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
	return r.update(p, e, m, change)
}

// update does so with an entry whose mutex the caller holds; m is its record, of
// version 0 if Redis has none.
func (r *Registry) update(p *partition, e *entry, m *ooo.Mailbox, change func(d *Draft) error) (*ooo.Mailbox, error) {
	d := newDraft(m)
	if err := change(d); errors.Is(err, ErrUnchanged) {
		return m, nil
	} else if err != nil {
		return m, err
	}
	d.CheckedAt = e.lastRead(d.Mailbox)
	d.save.Lease = p.lease
	if err := r.commit(p, d.save); err != nil {
		return m, err
	}
	r.saved(p, e, d)
	return d.Mailbox, nil
}

// commit saves until Redis has answered, or the partition is lost. That it was lost
// is not for a refused save to say but for the next round: Redis may have come back
// with an older table, and then this replica's lease is restored.
func (r *Registry) commit(p *partition, s store.Save) error {
	saved := schedule.Retry(p.ctx, 50*time.Millisecond, time.Second, func(failures int) error {
		err := r.save(p, s)
		if failures == 3 && err != nil {
			r.cfg.Log.Warn("record not saved, retrying", "mailbox", s.Record.ID, "err", err)
		}
		if errors.Is(err, store.ErrVersion) && r.makeWay(p, s) == nil {
			s.Overwrite = true
		}
		return err
	})
	if !saved {
		return ooo.ErrNotOwner
	}
	return nil
}

// save tries a save once.
func (r *Registry) save(p *partition, s store.Save) error {
	ctx, cancel := context.WithTimeout(p.ctx, saveTime)
	defer cancel()
	p.saving.RLock()
	defer p.saving.RUnlock()
	err := r.cfg.Store.Save(ctx, s)
	if err == nil {
		p.mu.Lock()
		p.saves++
		p.mu.Unlock()
	}
	return err
}

// makeWay prepares for overwriting a record with a version that this owner, who alone
// writes it, does not expect. An older one came back with older data: the wishes go
// first, see [Registry.wish]. One that refuses to be overwritten can't be read or was
// not written by this program: it is removed, and other addresses that it may have had
// begin again.
func (r *Registry) makeWay(p *partition, s store.Save) error {
	ctx, cancel := context.WithTimeout(p.ctx, loadTime)
	defer cancel()
	if !s.Overwrite {
		return r.restoreWishes(ctx, s.Record)
	}
	if err := r.restoreStops(ctx, p); err != nil {
		return err
	}
	r.cfg.Log.Warn("damaged record in redis is removed and written again", "mailbox", s.Record.ID)
	gone := &ooo.Mailbox{ID: s.Record.ID, Version: 1 << 52} // more than any that can be there
	return r.cfg.Store.Save(ctx, store.Save{Lease: p.lease, Record: gone, Remove: true, Overwrite: true})
}

// saved puts a draft that Redis has into memory. The caller holds e.mu.
func (r *Registry) saved(p *partition, e *entry, d *Draft) {
	m := d.Mailbox
	if d.save.Remove {
		m = nil
	}
	p.mu.Lock()
	p.put(e, m)
	for _, h := range d.save.DoneHints {
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
		r.callDropped(d.ID)
	case ready:
		r.changed(p, d.Mailbox)
	}
	r.apply(d.save.NewHints...)
}

// changed notifies the workers of a mailbox that changed, unless its partition is lost.
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

func (r *Registry) changedAll(p *partition) {
	for _, e := range p.snapshot() {
		if m := e.record.Load(); m != nil {
			r.changed(p, m)
		}
	}
}
