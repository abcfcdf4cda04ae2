package mailbox

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// Restore writes what is in memory of a partition back after Redis came back with
// older data, until that has worked or the partition is lost: records that are newer
// here, wishes that were carried out here, and the number of saves. Records that
// Redis has and this replica does not were removed after the older data was kept.
// Lost history stays lost.
func (r *Registry) Restore(ctx context.Context, number int, lease store.Lease) {
	p := r.parts[number].Load()
	if p == nil || p.lease != lease {
		return
	}
	select {
	case <-p.loaded:
	default:
		return // it is being loaded, from what Redis has now
	}
	for failures := 1; ; failures++ {
		err := r.restore(p)
		if err == nil {
			r.cfg.Log.WarnContext(ctx, "redis came back with older data, partition written back", "partition", number)
			r.lookNow()
			return
		}
		if !schedule.Sleep(p.ctx, schedule.Backoff(failures, 100*time.Millisecond, 2*time.Second)) {
			return
		}
	}
}

func (r *Registry) restore(p *partition) error {
	ctx, cancel := context.WithTimeout(p.ctx, loadTime)
	defer cancel()
	older, err := r.cfg.Store.Load(ctx, p.number)
	if err != nil {
		return err
	}
	versions := map[ooo.RecordID]int64{}
	for _, m := range older.Records {
		versions[m.ID] = m.Version
	}
	p.mu.Lock()
	mine := make(map[ooo.RecordID]*entry, len(p.entries))
	for id, e := range p.entries {
		mine[id] = e
	}
	p.mu.Unlock()
	monitored := map[string]ooo.Wish{} // by folded address
	for id, e := range mine {
		m, err := r.writeBack(ctx, p, e, versions[id])
		if err != nil {
			return err
		}
		delete(versions, id)
		if m == nil {
			continue
		}
		for _, a := range m.Addresses {
			monitored[a.Folded()] = ooo.Wish{
				Address: a.Spelling, On: true, Person: m.Person, Start: a.Start, Nonce: a.Nonce, At: a.WishedAt,
			}
		}
	}
	var gone []ooo.RecordID
	for id := range versions {
		gone = append(gone, id)
	}
	if len(gone) > 0 {
		if err := r.cfg.Store.RemoveRecords(ctx, p.lease, p.number, gone...); err != nil {
			return err
		}
	}
	if err := r.restoreWishes(ctx, p, monitored); err != nil {
		return err
	}
	p.mu.Lock()
	saves := p.saves
	p.mu.Unlock()
	return r.cfg.Store.SetSaves(ctx, p.lease, p.number, saves)
}

// writeBack writes one record if it is newer than that in Redis, and returns it. It
// waits for an update, whose save gets through by itself: if that removes the record, it
// must not be written after it.
func (r *Registry) writeBack(ctx context.Context, p *partition, e *entry, version int64) (*ooo.Mailbox, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.record.Load()
	if m == nil || m.Version <= version {
		return m, nil
	}
	return m, r.cfg.Store.Save(ctx, store.Save{Lease: p.lease, Record: m, Overwrite: true})
}

// restoreWishes puts back the wishes that were carried out here and removes those
// whose end was. A wish that somebody wrote since is carried out.
func (r *Registry) restoreWishes(ctx context.Context, p *partition, monitored map[string]ooo.Wish) error {
	wishes, err := r.cfg.Store.AllWishes(ctx)
	if err != nil {
		return err
	}
	swap := func(old, next ooo.Wish) error {
		h := stamped(ooo.Hint{ID: next.Record(), Kind: ooo.HintWish, Subject: ooo.FoldAddress(next.Address), Source: ooo.SourceRequest})
		swapped, err := r.cfg.Store.SwapWish(ctx, old, next, h)
		if err != nil || !swapped || old.Nonce == "" || old.Record() == next.Record() {
			return err
		}
		h.ID, h.Nonce = old.Record(), "" // it may have carried the older wish out
		return r.Leave(ctx, h)
	}
	for _, w := range wishes {
		folded := ooo.FoldAddress(w.Address)
		carried, known := monitored[folded]
		delete(monitored, folded)
		if !known && w.Record().Partition() != p.number {
			continue
		}
		p.mu.Lock()
		stopped, left := p.stopped[folded]
		p.mu.Unlock()
		switch {
		case known && carried.Nonce != w.Nonce && w.At.Before(carried.At):
			err = swap(w, carried)
		case !known && w.On && left && !w.At.After(stopped):
			off := w
			off.On, off.Nonce, off.At = false, stamped(ooo.Hint{}).Nonce, stopped
			err = swap(w, off)
		case !known, carried.Nonce != w.Nonce: // written since: its hint may be lost
			err = r.Leave(ctx, ooo.Hint{ID: w.Record(), Kind: ooo.HintWish, Subject: folded, Source: ooo.SourceRequest})
		}
		if err != nil {
			return err
		}
	}
	for _, w := range monitored {
		if err := swap(ooo.Wish{}, w); err != nil {
			return err
		}
	}
	return nil
}
