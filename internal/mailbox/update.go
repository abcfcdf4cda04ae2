package mailbox

import (
	"context"
	"errors"
	"maps"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// saveTime bounds one attempt of a save.
const saveTime = 2 * time.Second

// ErrUnchanged is returned by a change that turns out to need no save.
var ErrUnchanged = errors.New("nothing to save")

var errAdopted = errors.New("redis has a newer record, which is now in memory")

// Update changes a record: change receives a copy, which is saved and then replaces the
// record in memory. Nothing else changes the record while Update runs. A save without an
// answer is retried until it is answered or the partition is lost.
//
// Update returns the record that is then in memory. The error is that of change (but nil
// for [ErrUnchanged]), [ooo.ErrNotMonitored] if the record does not exist, or
// [ooo.ErrNotOwner] if the partition is not owned or gets lost, or if Redis has a newer
// record: then that record replaces the one in memory, without the change.
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

// update is Update for an entry whose mutex the caller holds. m is the record of the entry,
// with version 0 if Redis has none.
func (r *Registry) update(p *partition, e *entry, m *ooo.Mailbox, change func(d *Draft) error) (*ooo.Mailbox, error) {
	d := newDraft(m)
	saved := false
	defer func() {
		for _, f := range d.onEnd {
			f(saved)
		}
	}()
	if err := change(d); errors.Is(err, ErrUnchanged) {
		return m, nil
	} else if err != nil {
		return nil, err
	}
	d.CheckedAt = e.lastRead(d.Mailbox)
	d.save.Lease = p.lease
	if err := r.commit(p, e, d); err != nil {
		return nil, err
	}
	r.setRecord(p, e, d)
	saved = true
	return d.Mailbox, nil
}

// commit retries a save until it succeeds, the partition is lost, or Redis turns out to have
// a newer record. A save that is refused for its lease is retried too: Redis may have come
// back with an older table, into which this replica's lease is restored. Only a round
// decides that the partition is lost.
func (r *Registry) commit(p *partition, e *entry, d *Draft) error {
	for attempt := 1; ; attempt++ {
		err := r.save(p, d.save, d.onSave...)
		if err == nil {
			return nil
		}
		d.onSave = nil
		if attempt == 3 {
			r.cfg.Log.Warn("record not saved, retrying", "mailbox", d.ID, "err", err)
		}
		if errors.Is(err, store.ErrVersion) {
			err = r.resolveConflict(p, e, d)
		}
		if errors.Is(err, errAdopted) || !schedule.Sleep(p.ctx, schedule.Backoff(attempt, 50*time.Millisecond, time.Second)) {
			return ooo.ErrNotOwner
		}
	}
}

// save makes one attempt of a save. It calls before when it has waited for other saves, right
// before it calls Redis. Its time begins when fewer than maxSaves are in flight: with a slow Redis,
// one of hundreds would have most of it used up when it gets a connection, and would close that
// without an answer.
func (r *Registry) save(p *partition, s store.Save, before ...func()) error {
	select {
	case r.saves <- struct{}{}:
		defer func() { <-r.saves }()
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
	ctx, cancel := context.WithTimeout(p.ctx, saveTime)
	defer cancel()
	p.saving.RLock()
	defer p.saving.RUnlock()
	for _, f := range before {
		f()
	}
	err := r.cfg.Store.Save(ctx, s)
	if err == nil {
		p.mu.Lock()
		p.saves++
		p.mu.Unlock()
	}
	return err
}

// resolveConflict prepares the retry of a save that Redis refused because its record does not
// have the version that this owner, the only writer, expects. It resolves only this record:
// loading the partition again would lose the records that are not restored yet. A stored record
// that can't be read, or that this owner has removed, is removed. A newer one is adopted, which
// ends the retries with errAdopted, an older one overwritten.
func (r *Registry) resolveConflict(p *partition, e *entry, d *Draft) error {
	ctx, cancel := context.WithTimeout(p.ctx, loadTime)
	defer cancel()
	m := e.record.Load()
	stored, err := r.cfg.Store.LoadRecord(ctx, d.ID)
	damaged := errors.Is(err, store.ErrDamaged)
	switch {
	case err != nil && !damaged:
		return err
	case damaged, m == nil:
		return r.removeStored(ctx, p, d.ID)
	case stored != nil && stored.Version > m.Version:
		r.adopt(p, e, stored)
		return errAdopted
	}
	// Redis must have the wishes that the save has carried out, see [Registry.readWish], and those
	// that it moves, but not one that it stops: that would be carried out again.
	wished := d.Clone()
	for _, a := range m.Addresses {
		if _, stopped := d.stopped[a.Folded()]; !stopped && d.Address(a.Spelling) == nil {
			wished.Addresses = append(wished.Addresses, a)
		}
	}
	d.save.Overwrite = true
	return r.restoreWishes(ctx, wished)
}

// removeStored removes a record from Redis whose addresses are unknown here. The wishes of those
// that it may have had are carried out, unless this owner has done that.
func (r *Registry) removeStored(ctx context.Context, p *partition, id ooo.RecordID) error {
	wishes, err := r.cfg.Store.AllWishes(ctx)
	if err != nil {
		return err
	}
	for _, w := range wishes {
		if w.Record() == id {
			if err := r.restoreStop(ctx, p, w); err != nil {
				return err
			}
		}
	}
	r.cfg.Log.Warn("damaged or removed record in redis replaced", "mailbox", id)
	return r.discard(p, id)
}

// adopt replaces a record in memory by a newer one from Redis, and dispatches the hints for
// the mailbox again, because work on the older record is discarded. The caller must hold
// e.mu.
func (r *Registry) adopt(p *partition, e *entry, newer *ooo.Mailbox) {
	r.cfg.Log.Warn("redis has a newer record than memory, using it", "mailbox", newer.ID)
	r.setRecord(p, e, &Draft{Mailbox: newer})
	for _, h := range p.pending() {
		if h.ID == newer.ID {
			r.dispatch(h)
		}
	}
}

// setRecord puts the record of a draft that Redis has into memory. The caller must hold e.mu.
func (r *Registry) setRecord(p *partition, e *entry, d *Draft) {
	m := d.Mailbox
	if d.save.Remove {
		m = nil
	}
	p.mu.Lock()
	e.record.Store(m)
	for _, h := range d.save.DoneHints {
		p.forget(h)
	}
	maps.Copy(p.stopped, d.stopped)
	for i := range d.Addresses {
		delete(p.stopped, d.Addresses[i].Folded())
	}
	p.mu.Unlock()
	r.refresh(d.ID)
	r.apply(d.save.NewHints...)
}

// refresh calls the workers after the record of a mailbox changed, appeared or disappeared.
func (r *Registry) refresh(id ooo.RecordID) {
	for _, w := range r.workers {
		w.Refresh(id)
	}
}

func (r *Registry) refreshAll(p *partition) {
	for _, e := range p.snapshot() {
		if m := e.record.Load(); m != nil {
			r.refresh(m.ID)
		}
	}
}
