package mailbox

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// lookEvery is how often the hints in Redis are looked at: what a lost message costs.
const lookEvery = 5 * time.Second

// Hints returns the hints of one kind that wait for a mailbox.
func (r *Registry) Hints(id ooo.RecordID, kind ooo.HintKind) (hints []ooo.Hint) {
	p := r.parts[id.Partition()].Load()
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, h := range p.hints[id] {
		if key.kind == kind {
			hints = append(hints, h)
		}
	}
	return hints
}

// Leave leaves hints in Redis for the owners of the mailboxes and applies those for
// mailboxes of this replica at once.
func (r *Registry) Leave(ctx context.Context, hints ...ooo.Hint) error {
	if len(hints) == 0 {
		return nil
	}
	publish := false
	all := make([]ooo.Hint, len(hints))
	for i, h := range hints {
		all[i] = stamped(h)
		publish = publish || r.parts[h.ID.Partition()].Load() == nil
	}
	if err := r.cfg.Store.LeaveHints(ctx, publish, all...); err != nil {
		return err
	}
	r.apply(all...)
	return nil
}

// Done removes hints that were carried out without a save, unless they were left
// again meanwhile.
func (r *Registry) Done(ctx context.Context, hints ...ooo.Hint) error {
	if len(hints) == 0 {
		return nil
	}
	if err := r.cfg.Store.RemoveHints(ctx, hints...); err != nil {
		return err
	}
	for _, h := range hints {
		if p := r.parts[h.ID.Partition()].Load(); p != nil {
			p.mu.Lock()
			p.forget(h)
			p.mu.Unlock()
		}
	}
	return nil
}

// forget drops a hint that was carried out, if it is still the one that waits. The
// caller holds mu.
func (p *partition) forget(h ooo.Hint) {
	key := hintKey{h.Kind, h.Subject}
	if waiting, ok := p.hints[h.ID][key]; ok && waiting.Nonce == h.Nonce {
		delete(p.hints[h.ID], key)
		if len(p.hints[h.ID]) == 0 {
			delete(p.hints, h.ID)
		}
	}
}

// apply notes the hints for mailboxes of this replica, and has those that are new
// carried out.
func (r *Registry) apply(hints ...ooo.Hint) {
	for _, h := range hints {
		if p := r.parts[h.ID.Partition()].Load(); p != nil {
			r.applyTo(p, h)
		}
	}
}

func (r *Registry) applyTo(p *partition, h ooo.Hint) {
	key := hintKey{h.Kind, h.Subject}
	p.mu.Lock()
	if waiting, ok := p.hints[h.ID][key]; ok && waiting.Nonce == h.Nonce {
		p.mu.Unlock()
		return
	}
	if p.hints[h.ID] == nil {
		p.hints[h.ID] = map[hintKey]ooo.Hint{}
	}
	p.hints[h.ID][key] = h
	ready, known := p.ready, p.entries[h.ID] != nil
	p.mu.Unlock()
	if ready {
		r.dispatch(h, known)
	}
}

// dispatch has a hint carried out. One for a mailbox that is not monitored asks for
// nothing, except that a wish may begin it and a stray subscription must go.
func (r *Registry) dispatch(h ooo.Hint, known bool) {
	switch {
	case h.Kind == ooo.HintWish:
		r.wishes.add(h.ID, h.Subject)
	case !known && h.Kind != ooo.HintStray:
		r.wishes.discard(h)
	default:
		for _, w := range r.workers {
			w.Hinted(h)
		}
	}
}

// listen applies what messages say. A message that was lost costs no more than
// lookEvery.
func (r *Registry) listen(ctx context.Context) error {
	return r.cfg.Store.Listen(ctx, func(m store.Message) {
		if len(m.Hints) == 0 {
			r.lookNow() // connected: messages may have been missed
		}
		r.apply(m.Hints...)
		r.cfg.OnMessage(m)
	})
}

func (r *Registry) lookNow() {
	select {
	case r.look <- struct{}{}:
	default: // a look is due already
	}
}

// lookAtHints looks at the hints in Redis now and then, and whenever a partition was
// loaded: that finishes its loading.
func (r *Registry) lookAtHints(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.look:
		}
		if err := r.lookOnce(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.WarnContext(ctx, "hints not readable, retrying", "err", err)
			time.AfterFunc(time.Second, r.lookNow)
		}
	}
}

func (r *Registry) lookOnce(ctx context.Context) error {
	owned := make([]*partition, 0, ooo.Partitions)
	for i := range r.parts { // before asking: what is acquired later needs a later look
		if p := r.parts[i].Load(); p != nil {
			owned = append(owned, p)
		}
	}
	if len(owned) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	hints, damaged, err := r.cfg.Store.Hints(ctx)
	if err != nil {
		return err
	}
	for _, err := range damaged {
		r.report(ctx, "hint", err.Error(), err)
	}
	r.apply(hints...)
	for _, p := range owned {
		r.finishLoading(p)
	}
	return nil
}

// report tells once of something in Redis that can't be read.
func (r *Registry) report(ctx context.Context, kind, id string, err error) {
	if _, reported := r.damaged.LoadOrStore(kind+" "+id, struct{}{}); reported {
		return
	}
	r.cfg.Damaged(kind)
	r.cfg.Log.ErrorContext(ctx, "entry in redis is damaged and left alone, all others go on", "kind", kind, "err", err)
}
