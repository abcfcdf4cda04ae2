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
		if err := r.restoreRecord(ctx, p, e, stored[id], older.Damaged[id] != nil); err != nil {
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
// carried out. stored is the record in Redis, nil if there is none or it is damaged. If it is newer,
// it is adopted: another owner wrote it while Redis had an older table, and may have acknowledged a
// wish or a delivery that overwriting it would undo.
func (r *Registry) restoreRecord(ctx context.Context, p *partition, e *entry, stored *ooo.Mailbox, damaged bool) error {
	e.mu.Lock() // an update in flight may remove the record, which must not be written back then
	defer e.mu.Unlock()
	m := e.record.Load()
	if m == nil && stored == nil {
		return nil
	}
	if m != nil && stored != nil && stored.Version > m.Version {
		r.adopt(p, e, stored)
		return nil
	}
	if stored != nil {
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
	if damaged {
		if err := r.discard(p, m.ID); err != nil {
			return err
		}
	}
	if err := r.restoreWishes(ctx, m); err != nil {
		return err
	}
	if stored != nil && stored.Version == m.Version {
		return nil
	}
	return r.save(p, store.Save{Lease: p.lease, Record: m, Overwrite: true})
}

// discard removes a record from Redis whatever its version, which may be unreadable. The caller
// must hold the mutex of its entry.
func (r *Registry) discard(p *partition, id ooo.RecordID) error {
	removed := &ooo.Mailbox{ID: id, Version: 1 << 52} // higher than any stored version
	return r.save(p, store.Save{Lease: p.lease, Record: removed, Remove: true, Overwrite: true})
}

// restoreWishes writes back the wishes that a record carried out.
func (r *Registry) restoreWishes(ctx context.Context, m *ooo.Mailbox) error {
	for i := range m.Addresses {
		if err := r.restoreWish(ctx, wishFor(&m.Addresses[i], m.Person)); err != nil {
			return err
		}
	}
	return nil
}

// restoreWish writes back a wish that was carried out. A newer one in Redis stays, and is
// carried out: its hint may be lost.
func (r *Registry) restoreWish(ctx context.Context, carriedOut ooo.Wish) error {
	wish, err := r.cfg.Store.Wish(ctx, carriedOut.Address)
	switch {
	case errors.Is(err, store.ErrDamaged):
		return nil
	case err != nil:
		return err
	case wish.Nonce == carriedOut.Nonce:
		return nil
	case wish.Nonce == "" || wish.At.Before(carriedOut.At):
		return r.replaceWish(ctx, wish, carriedOut)
	}
	return r.LeaveHints(ctx, wish.Hint(ooo.HintWish))
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
		if err := r.restoreStop(ctx, p, w); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) restoreStop(ctx context.Context, p *partition, w ooo.Wish) error {
	p.mu.Lock()
	m := p.record(w.Record())
	stoppedAt, stopped := p.stopped[ooo.FoldAddress(w.Address)]
	p.mu.Unlock()
	switch {
	case w.Address == "" || w.Record().Partition() != p.number: // none, damaged or another owner's
		return nil
	case m != nil && m.Address(w.Address) != nil:
		return nil
	case w.On && stopped && !w.At.After(stoppedAt):
		off := w
		off.On, off.Nonce, off.At = false, rand.Text(), stoppedAt
		return r.replaceWish(ctx, w, off)
	}
	return r.LeaveHints(ctx, w.Hint(ooo.HintWish))
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
