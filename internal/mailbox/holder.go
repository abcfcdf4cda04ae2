package mailbox

import (
	"context"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// loadTime bounds one attempt to load a partition.
const loadTime = 10 * time.Second

// Acquire adds a partition that this replica owns now, until Drop or the end of ctx. If the
// replica owned it before, it has dropped it. The caller must call load, which loads the
// partition, and retries until it succeeds or the partition is lost. Pending wishes are carried
// out before any other work starts.
func (r *Registry) Acquire(ctx context.Context, number int, lease store.Lease) (load func()) {
	p := r.newPartition(ctx, number, lease)
	r.parts[number].Store(p)
	return func() { r.start(p) }
}

// start loads a partition and lets work begin in it. If the partition is lost meanwhile, this
// affects no later one with the same number.
func (r *Registry) start(p *partition) {
	select {
	case <-r.running:
	case <-p.ctx.Done():
		return
	}
	if !r.load(p) {
		return
	}
	r.cfg.OnPartition("acquired")
	r.requestHints()
	select {
	case <-p.hintsRead:
	case <-p.ctx.Done():
		return
	}
	var g errgroup.Group
	g.SetLimit(wishConcurrency)
	for _, h := range p.pending() {
		if key, ok := wishOf(h); ok {
			g.Go(func() error { r.tryWish(key); return nil })
		}
	}
	_ = g.Wait() // a wish that failed is retried on its own
	p.mu.Lock()
	p.ready = p.ctx.Err() == nil
	p.mu.Unlock()
	r.refreshAll(p)
	for _, h := range p.pending() {
		r.dispatch(h)
	}
}

// load reads the records of a partition into memory. It returns false if the partition
// was lost before it succeeded.
func (r *Registry) load(p *partition) bool {
	return schedule.Retry(p.ctx, 50*time.Millisecond, time.Second, func(attempt int) error {
		ctx, cancel := context.WithTimeout(p.ctx, loadTime)
		defer cancel()
		loaded, err := r.cfg.Store.Load(ctx, p.number)
		if err != nil {
			if attempt == 1 && p.ctx.Err() == nil {
				r.cfg.Log.WarnContext(ctx, "partition not loaded, retrying", "partition", p.number, "err", err)
			}
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.loaded, p.saves, p.readUntil = true, loaded.Saves, loaded.ReadUntil
		for _, m := range loaded.Records {
			p.ensureEntry(m.ID).record.Store(m)
		}
		return nil
	})
}

// Drop discards a partition at once: another replica owns it, or this one releases it.
func (r *Registry) Drop(number int) {
	p := r.parts[number].Swap(nil)
	if p == nil {
		return
	}
	r.cfg.OnPartition("lost")
	p.cancel()
	p.mu.Lock()
	p.ready = false
	ids := slices.Collect(maps.Keys(p.entries))
	p.mu.Unlock()
	for _, id := range ids {
		r.refresh(id)
	}
}

// Drain lets no more work begin in a partition and returns when the work in flight has
// ended, or with the error of ctx, which must end before the partition is dropped.
func (r *Registry) Drain(ctx context.Context, number int) error {
	p := r.parts[number].Load()
	if p == nil || ctx.Err() != nil { // p may be a later partition with the same number
		return ctx.Err()
	}
	for {
		p.mu.Lock()
		if !p.draining() {
			p.drainedAt = time.Now()
		}
		ended := p.calls+p.others == 0
		p.mu.Unlock()
		if ended {
			return r.writeReads(ctx, 500*time.Millisecond, p)
		}
		select {
		case <-p.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
