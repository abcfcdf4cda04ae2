package mailbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// hintsEvery is how often all hints are read. It bounds the delay that a lost message
// causes.
const hintsEvery = 5 * time.Second

// stamped returns hints with their nonces and times filled in.
func stamped(hints []ooo.Hint) []ooo.Hint {
	hints = slices.Clone(hints)
	for i := range hints {
		h := &hints[i]
		h.Nonce = cmp.Or(h.Nonce, rand.Text())
		if h.At.IsZero() {
			h.At = time.Now()
		}
	}
	return hints
}

// Hints returns the pending hints of one kind for a mailbox.
func (r *Registry) Hints(id ooo.RecordID, kind ooo.HintKind) (hints []ooo.Hint) {
	r.locked(id.Partition(), func(p *partition) {
		for key, h := range p.hints[id] {
			if key.kind == kind {
				hints = append(hints, h)
			}
		}
	})
	return hints
}

// pending returns the hints for all mailboxes of a partition.
func (p *partition) pending() (hints []ooo.Hint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, byKey := range p.hints {
		hints = slices.AppendSeq(hints, maps.Values(byKey))
	}
	return hints
}

// LeaveHints stores hints in Redis for the owners of the mailboxes. It applies those for
// mailboxes of this replica at once.
func (r *Registry) LeaveHints(ctx context.Context, hints ...ooo.Hint) error {
	hints = stamped(hints)
	publish := slices.ContainsFunc(hints, func(h ooo.Hint) bool { return r.parts[h.ID.Partition()].Load() == nil })
	if err := r.cfg.Store.LeaveHints(ctx, publish, hints...); err != nil {
		return err
	}
	r.apply(hints...)
	return nil
}

// RemoveHints removes hints that were carried out without a save, unless they were left
// again in the meantime.
func (r *Registry) RemoveHints(ctx context.Context, hints ...ooo.Hint) error {
	if err := r.cfg.Store.RemoveHints(ctx, hints...); err != nil {
		return err
	}
	for _, h := range hints {
		r.locked(h.ID.Partition(), func(p *partition) { p.forget(h) })
	}
	return nil
}

// forget drops a hint that was carried out, unless a newer one has replaced it. The
// caller must hold mu.
func (p *partition) forget(h ooo.Hint) {
	if key := (hintKey{h.Kind, h.Subject}); p.hints[h.ID][key].Nonce == h.Nonce {
		delete(p.hints[h.ID], key)
		if len(p.hints[h.ID]) == 0 {
			delete(p.hints, h.ID)
		}
	}
}

// apply adds the hints for mailboxes of this replica to memory, and dispatches the new
// ones.
func (r *Registry) apply(hints ...ooo.Hint) {
	for _, h := range hints {
		dispatch := false
		r.locked(h.ID.Partition(), func(p *partition) {
			key := hintKey{h.Kind, h.Subject}
			if p.hints[h.ID][key].Nonce == h.Nonce {
				return
			}
			if p.hints[h.ID] == nil {
				p.hints[h.ID] = map[hintKey]ooo.Hint{}
			}
			h.SeenAt = time.Now()
			p.hints[h.ID][key] = h
			dispatch = p.ready // otherwise start does it
		})
		if dispatch {
			r.dispatch(h)
		}
	}
}

// needsRecord reports whether a hint is void without a record. A wish may create the record, and
// the subscription of a stray must be deleted without one.
func needsRecord(h ooo.Hint) bool {
	_, wish := wishOf(h)
	return !wish && h.Kind != ooo.HintStray
}

// dispatch schedules a wish, and passes any other hint to the workers unless it is void.
func (r *Registry) dispatch(h ooo.Hint) {
	if key, ok := wishOf(h); ok {
		r.wishes.Set(key, time.Now())
		return
	}
	if _, known := r.Get(h.ID); !known && needsRecord(h) {
		return
	}
	for _, w := range r.workers {
		w.Hinted(h)
	}
}

// listen applies the hints that arrive as messages. A lost message delays its hints by
// hintsEvery at most.
func (r *Registry) listen(ctx context.Context) error {
	return r.cfg.Store.Listen(ctx, func(m store.Message) {
		switch {
		case m.TableChanged:
			r.cfg.OnTable()
		case len(m.Hints) == 0:
			r.requestHints() // connected: messages may have been missed
		}
		r.apply(m.Hints...)
	})
}

// requestHints makes readHints read all hints now.
func (r *Registry) requestHints() {
	select {
	case r.reread <- struct{}{}:
	default: // already requested
	}
}

// readHints reads all hints every hintsEvery and on request, and after a failure every
// second.
func (r *Registry) readHints(ctx context.Context) error {
	next := time.NewTimer(hintsEvery)
	defer next.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		case <-r.reread:
		}
		if err := r.readHintsOnce(ctx); err == nil {
			failures = 0
			next.Reset(hintsEvery)
		} else {
			if failures++; failures == 1 && ctx.Err() == nil {
				r.cfg.Log.WarnContext(ctx, "hints not readable, retrying", "err", err)
			}
			next.Reset(time.Second)
		}
	}
}

func (r *Registry) readHintsOnce(ctx context.Context) error {
	var loaded []*partition // so far: a partition that is loaded later needs a later read
	for p := range r.owned() {
		if _, ok := r.Saves(p.number); ok {
			loaded = append(loaded, p)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	hints, err := r.cfg.Store.Hints(ctx)
	if err != nil {
		return err
	}
	r.apply(hints...)
	for _, p := range loaded {
		select {
		case <-p.hintsRead:
		default:
			close(p.hintsRead)
		}
	}
	return r.discardUnknown(ctx, hints)
}

// discardUnknown removes the hints that need a record and have none.
func (r *Registry) discardUnknown(ctx context.Context, hints []ooo.Hint) error {
	var unknown []ooo.Hint
	for _, h := range hints {
		r.locked(h.ID.Partition(), func(p *partition) {
			if p.ready && needsRecord(h) && p.record(h.ID) == nil {
				unknown = append(unknown, h)
			}
		})
	}
	if err := r.RemoveHints(ctx, unknown...); err != nil {
		return err
	}
	for _, h := range unknown {
		r.cfg.OnUnknownHint(h.Kind)
	}
	return nil
}
