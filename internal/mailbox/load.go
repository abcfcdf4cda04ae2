package mailbox

import (
	"context"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

const (
	// loadTime bounds one try to load a partition.
	loadTime = 10 * time.Second
	// How long a partition that is released waits for what is in flight, and how
	// long if the replica stops.
	drainTime = time.Second
	stopTime  = 10 * time.Second
)

// Acquire loads a partition that this replica owns now, until that has worked or the
// partition is lost. Wishes are carried out before other work starts.
func (r *Registry) Acquire(ctx context.Context, number int, lease store.Lease) {
	select {
	case <-r.running:
	case <-ctx.Done():
		return
	}
	p := r.newPartition(ctx, number, lease)
	if before := r.parts[number].Swap(p); before != nil {
		r.dropped(before)
	}
	if !r.load(p) {
		return
	}
	r.cfg.OnPartition("acquired")
	r.readHintsNow()
	select {
	case <-p.hinted:
	case <-p.ctx.Done():
		return
	}
	var g errgroup.Group
	g.SetLimit(wishesAtOnce)
	for _, h := range p.waiting() {
		if key, ok := wishOf(h); ok {
			g.Go(func() error { r.try(key); return nil })
		}
	}
	_ = g.Wait() // each goes on by itself
	p.mu.Lock()
	p.ready = p.ctx.Err() == nil
	p.mu.Unlock()
	r.changedAll(p)
	for _, h := range p.waiting() {
		r.dispatch(h)
	}
}

// load reads the records of a partition into memory. It returns false if the partition
// was lost before that worked.
func (r *Registry) load(p *partition) bool {
	return schedule.Retry(p.ctx, 50*time.Millisecond, time.Second, func(failures int) error {
		ctx, cancel := context.WithTimeout(p.ctx, loadTime)
		defer cancel()
		loaded, err := r.cfg.Store.Load(ctx, p.number)
		if err == nil {
			r.fill(p, loaded)
		} else if failures == 1 && p.ctx.Err() == nil {
			r.cfg.Log.WarnContext(ctx, "partition not loaded, retrying", "partition", p.number, "err", err)
		}
		return err
	})
}

func (r *Registry) fill(p *partition, loaded store.Loaded) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded, p.saves, p.readsAt = true, loaded.Saves, loaded.ReadsAt
	for _, m := range loaded.Records {
		p.put(p.entry(m.ID), m)
	}
}

// Drop forgets a partition at once: another replica owns it, or this one releases it.
func (r *Registry) Drop(number int) {
	if p := r.parts[number].Swap(nil); p != nil {
		r.cfg.OnPartition("lost")
		r.dropped(p)
	}
}

func (r *Registry) dropped(p *partition) {
	p.calling.Lock() // calls that began before have ended then
	p.lose()
	p.calling.Unlock()
	p.mu.Lock()
	ready := p.ready
	p.ready = false
	ids := maps.Clone(p.entries)
	clear(p.entries)
	p.records = 0
	p.mu.Unlock()
	if ready {
		for id := range ids {
			r.callDropped(id)
		}
	}
}

func (r *Registry) callDropped(id ooo.RecordID) {
	for _, w := range r.workers {
		w.Dropped(id)
	}
}

// Drain starts nothing more in a partition and returns once what is in flight has
// ended, or after a second; when the replica stops, after 10 s. Only what is not Busy
// is released while it runs on, but a delivery may have begun since that was asked.
func (r *Registry) Drain(ctx context.Context, number int, stop bool) error {
	p := r.parts[number].Load()
	if p == nil {
		return nil
	}
	limit := drainTime
	if stop {
		limit = stopTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		p.mu.Lock()
		p.draining = true
		over := len(p.inFlight) == 0 && p.reads == 0
		p.mu.Unlock()
		if over {
			writing, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancel()
			return r.writeReads(writing, p)
		}
		select {
		case <-p.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
