package mailbox

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// Restore writes the memory of a partition back after Redis came back with older data:
// newer records, the wishes that were carried out, and the number of saves. It retries
// until it succeeds or the partition is lost. Records that are in Redis but not in memory
// were removed after the older data was written, and are removed again. Lost history
// stays lost.
func (r *Registry) Restore(ctx context.Context, number int, lease store.Lease) {
	p := r.parts[number].Load()
	if _, loaded := r.Saves(number); !loaded || p == nil || p.lease != lease {
		return // it is being loaded from the older data
	}
	if schedule.Retry(p.ctx, 100*time.Millisecond, 2*time.Second, func(int) error { return r.restore(p) }) {
		r.cfg.Log.WarnContext(ctx, "redis came back with older data, partition restored", "partition", number)
		r.requestHints()
	}
}

func (r *Registry) restore(p *partition) error {
	ctx, cancel := context.WithTimeout(p.ctx, loadTime)
	defer cancel()
	older, err := r.cfg.Store.Load(ctx, p.number)
	if err != nil {
		return err
	}
	stored := map[ooo.RecordID]*ooo.Mailbox{}
	p.mu.Lock()
	for _, m := range older.Records {
		stored[m.ID] = m
		p.ensureEntry(m.ID) // if it is empty, the record is removed from Redis
	}
	entries := maps.Clone(p.entries)
	p.mu.Unlock()
	for id, e := range entries {
		e.mu.Lock() // an update in flight may remove the record, which must not be written back then
		var err error
		if older.Damaged[id] != nil && e.record.Load() != nil {
			err = r.discard(p, id)
		}
		if err == nil {
			err = r.restoreRecord(ctx, p, e, stored[id])
		}
		e.mu.Unlock()
		if err != nil {
			return err
		}
	}
	p.mu.Lock()
	stopped := slices.Collect(maps.Keys(p.stopped))
	p.mu.Unlock()
	if err := r.restoreStops(ctx, p, stopped); err != nil {
		return err
	}
	p.saving.Lock()
	defer p.saving.Unlock()
	saves, _ := r.Saves(p.number)
	return r.cfg.Store.SetSaves(ctx, p.lease, p.number, saves)
}

// restoreRecord makes Redis have the record that memory has, and first the wishes that it has
// carried out. stored is the record in Redis, or nil. If it is newer, it is adopted: another owner
// wrote it while Redis had an older table, and may have acknowledged a wish or a delivery that
// overwriting it would undo. The caller must hold e.mu.
func (r *Registry) restoreRecord(ctx context.Context, p *partition, e *entry, stored *ooo.Mailbox) error {
	m := e.record.Load()
	switch {
	case m == nil && stored == nil:
		return nil
	case m != nil && stored != nil && stored.Version > m.Version:
		r.adopt(p, e, stored)
		return nil
	case stored != nil:
		var removed []string
		for _, a := range stored.Addresses {
			if m == nil || m.Address(a.Spelling) == nil {
				removed = append(removed, a.Spelling)
			}
		}
		if err := r.restoreStops(ctx, p, removed); err != nil {
			return err
		}
	}
	if m == nil {
		stored.Version++
		return r.save(p, store.Save{Lease: p.lease, Record: stored, Remove: true})
	}
	if err := r.restoreWishes(ctx, m); err != nil || stored != nil && stored.Version == m.Version {
		return err
	}
	return r.save(p, store.Save{Lease: p.lease, Record: m, Overwrite: true})
}

// discard removes a record from Redis whatever its version, which may be unreadable. The caller
// must hold the mutex of its entry.
func (r *Registry) discard(p *partition, id ooo.RecordID) error {
	removed := &ooo.Mailbox{ID: id, Version: 1 << 52} // higher than any stored version
	return r.save(p, store.Save{Lease: p.lease, Record: removed, Remove: true, Overwrite: true})
}

// restoreWishes writes back the wishes that a record carried out. A newer wish in Redis
// stays, and is carried out.
func (r *Registry) restoreWishes(ctx context.Context, m *ooo.Mailbox) error {
	for i := range m.Addresses {
		a := &m.Addresses[i]
		wish, err := r.cfg.Store.Wish(ctx, a.Spelling)
		switch {
		case errors.Is(err, store.ErrDamaged), err == nil && wish.Nonce == a.Nonce:
			continue
		case err != nil:
		case wish.Nonce == "" || wish.At.Before(a.WishedAt):
			err = r.replaceWish(ctx, wish, wishFor(a, m.Person))
		default: // the hint of the newer wish may be lost
			err = r.LeaveHints(ctx, wish.Hint(ooo.HintWish))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// restoreStops turns off those wishes of a partition whose stop was carried out. Any other one
// without an address in a record is carried out: its hint may be lost. A wish whose hint is lost
// had been carried out, so its address was stopped here or is in a record in Redis.
func (r *Registry) restoreStops(ctx context.Context, p *partition, addresses []string) error {
	wishes, err := r.cfg.Store.Wishes(ctx, addresses...)
	if err != nil {
		return err
	}
	for _, w := range wishes {
		if w.Address == "" || w.Record().Partition() != p.number { // none, damaged or another owner's
			continue
		}
		p.mu.Lock()
		e := p.entries[w.Record()]
		stoppedAt, stopped := p.stopped[ooo.FoldAddress(w.Address)]
		p.mu.Unlock()
		if e != nil {
			if m := e.record.Load(); m != nil && m.Address(w.Address) != nil {
				continue
			}
		}
		if w.On && stopped && !w.At.After(stoppedAt) {
			off := w
			off.On, off.Nonce, off.At = false, rand.Text(), stoppedAt
			err = r.replaceWish(ctx, w, off)
		} else {
			err = r.LeaveHints(ctx, w.Hint(ooo.HintWish))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// replaceWish replaces a wish unless it was rewritten in the meantime. It leaves hints for
// the records of both wishes, since either may have carried out the old one.
func (r *Registry) replaceWish(ctx context.Context, old, next ooo.Wish) error {
	swapped, err := r.cfg.Store.SwapWish(ctx, old, next)
	if err != nil || !swapped || old.Nonce == "" || old.Record() == next.Record() {
		return err
	}
	return r.LeaveHints(ctx, old.Hint(ooo.HintWish))
}
