package mailbox

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

const (
	// loadTime bounds one try to load a partition.
	loadTime = 10 * time.Second
	// How long a partition that is given away waits for what is in flight, and how
	// long if the replica stops.
	drainTime = time.Second
	stopTime  = 10 * time.Second
)

// Acquire loads a partition that this replica owns now, until that has worked or the
// partition is dropped. Wishes and hints are applied before work starts.
func (r *Registry) Acquire(ctx context.Context, number int, lease store.Lease) {
	select {
	case <-r.running:
	case <-ctx.Done():
		return
	}
	p := &partition{
		number: number, lease: lease, loaded: make(chan struct{}), entries: map[ooo.RecordID]*entry{},
		hints: map[ooo.RecordID]map[hintKey]ooo.Hint{}, stopped: map[string]time.Time{},
		inFlight: map[operation]struct{}{}, idle: make(chan struct{}, 1),
	}
	p.ctx, p.lose = context.WithCancel(context.WithoutCancel(ctx))
	if before := r.parts[number].Swap(p); before != nil {
		r.dropped(before)
	}
	for failures := 1; ; failures++ {
		trying, cancel := context.WithTimeout(p.ctx, loadTime)
		loaded, err := r.cfg.Store.Load(trying, number)
		cancel()
		if err == nil {
			r.fill(p, loaded)
			r.cfg.OnPartition("acquired")
			r.lookNow()
			return
		}
		if failures == 1 && p.ctx.Err() == nil {
			r.cfg.Log.WarnContext(ctx, "partition not loaded, retrying", "partition", number, "err", err)
		}
		if ctx.Err() != nil || !schedule.Sleep(p.ctx, schedule.Backoff(failures, 50*time.Millisecond, time.Second)) {
			return
		}
	}
}

// fill puts what was loaded into memory.
func (r *Registry) fill(p *partition, loaded store.Loaded) {
	for id, err := range loaded.Damaged {
		r.report(p.ctx, "record", string(id), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saves, p.readsAt = loaded.Saves, loaded.ReadsAt
	for _, m := range loaded.Records {
		e := &entry{}
		e.record.Store(m)
		p.entries[m.ID] = e
	}
	close(p.loaded)
}

// finishLoading lets work start in a partition whose records are in memory, once a
// look at the hints that began after that has ended.
func (r *Registry) finishLoading(p *partition) {
	select {
	case <-p.loaded:
	default:
		return
	}
	p.mu.Lock()
	if p.ready {
		p.mu.Unlock()
		return
	}
	var wishes []ooo.Hint
	for _, hints := range p.hints {
		for _, h := range hints {
			if h.Kind == ooo.HintWish {
				wishes = append(wishes, h)
			}
		}
	}
	p.mu.Unlock()
	r.carryOutAll(p.ctx, wishes)
	p.mu.Lock()
	if p.ctx.Err() != nil {
		p.mu.Unlock()
		return
	}
	p.ready = true
	p.mu.Unlock()
	for _, e := range p.snapshot() {
		if m := e.record.Load(); m != nil {
			r.changed(p, m)
		}
	}
	r.dispatchAll(p)
}

// dispatchAll dispatches the hints of a partition that were noted before it was ready.
func (r *Registry) dispatchAll(p *partition) {
	p.mu.Lock()
	var waiting []ooo.Hint
	for _, hints := range p.hints {
		for _, h := range hints {
			waiting = append(waiting, h)
		}
	}
	p.mu.Unlock()
	for _, h := range waiting {
		r.dispatch(h, r.entry(h.ID) != nil)
	}
}

// Drop forgets a partition at once: another replica owns it, or this one gave it up.
func (r *Registry) Drop(number int) {
	if p := r.parts[number].Swap(nil); p != nil {
		r.cfg.OnPartition("lost")
		r.dropped(p)
	}
}

func (r *Registry) dropped(p *partition) {
	p.calling.Lock() // whoever began before it has ended then
	p.lose()
	p.calling.Unlock()
	p.mu.Lock()
	ready := p.ready
	p.ready = false
	entries := p.entries
	p.entries = map[ooo.RecordID]*entry{}
	p.mu.Unlock()
	if !ready {
		return
	}
	for id := range entries {
		for _, w := range r.workers {
			w.Dropped(id)
		}
	}
}

// Busy says whether a delivery or a subscription step is in flight in a partition.
func (r *Registry) Busy(number int) bool {
	p := r.parts[number].Load()
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls > 0
}

// Drain starts nothing more in a partition and returns once what is in flight has
// ended, or after a second; when the replica stops, after 10 s. Only what is not Busy
// is given away while it runs on, but a delivery may have begun since that was asked.
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
		over := len(p.inFlight) == 0
		p.mu.Unlock()
		if over {
			break
		}
		select {
		case <-p.idle:
			continue
		case <-ctx.Done():
		}
		break
	}
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
	defer cancel()
	return r.writeReads(flushing, p)
}

// Saves returns how many saves Redis must have seen of a partition, at least.
func (r *Registry) Saves(number int) (n int64, known bool) {
	p := r.parts[number].Load()
	if p == nil {
		return 0, false
	}
	select {
	case <-p.loaded:
	default:
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.saves, true
}
