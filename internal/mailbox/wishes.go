package mailbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// wishesAtOnce bounds the wishes that are carried out at the same time.
const wishesAtOnce = 32

// wishQueue has the wishes that are to be carried out, and the hints that are to be
// removed because their mailbox is not monitored.
type wishQueue struct {
	mu      sync.Mutex
	waiting map[wishKey]struct{} // guarded by mu
	unknown []ooo.Hint           // guarded by mu
	wake    chan struct{}        // capacity 1
}

type wishKey struct {
	id      ooo.RecordID
	address string // folded
}

func newWishQueue() wishQueue {
	return wishQueue{waiting: map[wishKey]struct{}{}, wake: make(chan struct{}, 1)}
}

func (q *wishQueue) add(id ooo.RecordID, address string) {
	q.mu.Lock()
	q.waiting[wishKey{id, address}] = struct{}{}
	q.mu.Unlock()
	q.wakeUp()
}

func (q *wishQueue) discard(h ooo.Hint) {
	q.mu.Lock()
	q.unknown = append(q.unknown, h)
	q.mu.Unlock()
	q.wakeUp()
}

func (q *wishQueue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default: // a wake-up is already waiting
	}
}

func (q *wishQueue) take() (wishes []wishKey, unknown []ooo.Hint) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key := range q.waiting {
		wishes = append(wishes, key)
	}
	clear(q.waiting)
	unknown, q.unknown = q.unknown, nil
	return wishes, unknown
}

// carryOutWishes does what the queue asks for until ctx ends. A wish that takes long
// keeps one of the wishesAtOnce places; if all are taken, the others wait.
func (r *Registry) carryOutWishes(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(wishesAtOnce)
	for {
		select {
		case <-ctx.Done():
			return g.Wait()
		case <-r.wishes.wake:
		}
		wishes, unknown := r.wishes.take()
		for _, key := range wishes {
			g.Go(func() error {
				r.carryOutUntilDone(ctx, key)
				return nil
			})
		}
		if len(unknown) > 0 {
			g.Go(func() error {
				r.discard(ctx, unknown)
				return nil
			})
		}
	}
}

// discard removes hints for mailboxes that are not monitored. What can't be removed
// now is found again by the next look.
func (r *Registry) discard(ctx context.Context, hints []ooo.Hint) {
	ctx, cancel := context.WithTimeout(ctx, saveTime)
	defer cancel()
	if err := r.Done(ctx, hints...); err != nil {
		r.cfg.Log.DebugContext(ctx, "hints for unknown mailboxes not removed", "err", err)
		for _, h := range hints { // so that the next look takes them for new
			if p := r.parts[h.ID.Partition()].Load(); p != nil {
				p.mu.Lock()
				p.forget(h)
				p.mu.Unlock()
			}
		}
		return
	}
	for _, h := range hints {
		r.cfg.Unknown(h.Kind)
	}
}

func (r *Registry) carryOutUntilDone(ctx context.Context, key wishKey) {
	p := r.parts[key.id.Partition()].Load()
	for failures := 1; p != nil; failures++ {
		err := r.carryOut(ctx, p, key)
		if err == nil || errors.Is(err, ooo.ErrNotOwner) {
			return
		}
		if failures == 1 {
			r.cfg.Log.WarnContext(ctx, "wish not carried out, retrying", "mailbox", shown(key.id), "err", err)
		}
		if ctx.Err() != nil || !schedule.Sleep(p.ctx, schedule.Backoff(failures, 100*time.Millisecond, 5*time.Second)) {
			return
		}
	}
}

// carryOutAll carries out the wishes that a partition was loaded with. What does not
// work at once is left to the queue.
func (r *Registry) carryOutAll(ctx context.Context, hints []ooo.Hint) {
	var g errgroup.Group
	g.SetLimit(wishesAtOnce)
	for _, h := range hints {
		g.Go(func() error {
			if p := r.parts[h.ID.Partition()].Load(); p != nil {
				if err := r.carryOut(ctx, p, wishKey{h.ID, h.Subject}); err != nil {
					r.wishes.add(h.ID, h.Subject)
				}
			}
			return nil
		})
	}
	_ = g.Wait() // each goes on by itself
}

// carryOut does what the wish of an address says now about one record.
func (r *Registry) carryOut(ctx context.Context, p *partition, key wishKey) error {
	select {
	case <-p.loaded:
	default:
		return nil // what was asked before it was loaded is carried out with the loading
	}
	p.mu.Lock()
	h, waiting := p.hints[key.id][hintKey{ooo.HintWish, key.address}]
	p.mu.Unlock()
	if !waiting {
		return nil
	}
	e := p.lockedEntry(key.id)
	defer e.mu.Unlock()
	asking, cancel := context.WithTimeout(p.ctx, saveTime)
	wish, err := r.cfg.Store.Wish(asking, key.address)
	cancel()
	switch {
	case errors.Is(err, store.ErrDamaged):
		r.report(ctx, "wish", key.address, err)
		p.tidy(key.id, e)
		return nil
	case p.ctx.Err() != nil:
		return ooo.ErrNotOwner
	case err != nil:
		return err
	}
	m := e.record.Load()
	if m == nil {
		m = &ooo.Mailbox{ID: key.id, Condition: ooo.Pending}
	}
	changed := false
	_, err = r.update(ctx, p, e, m, func(d *Draft) error {
		changed = d.fulfil(h, wish)
		if !changed {
			return ErrUnchanged
		}
		d.Done(h)
		return nil
	})
	if err == nil && !changed {
		err = r.Done(ctx, h)
	}
	p.tidy(key.id, e)
	return err
}

// lockedEntry returns the entry of a record with its mutex held, a new one if there is
// none.
func (p *partition) lockedEntry(id ooo.RecordID) *entry {
	for {
		p.mu.Lock()
		e := p.entries[id]
		if e == nil {
			e = &entry{}
			p.entries[id] = e
		}
		p.mu.Unlock()
		e.mu.Lock()
		p.mu.Lock()
		current := p.entries[id] == e // the record may have been removed meanwhile
		p.mu.Unlock()
		if current {
			return e
		}
		e.mu.Unlock()
	}
}

// tidy takes an entry out of memory for which no record came about.
func (p *partition) tidy(id ooo.RecordID, e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.entries[id] == e && e.record.Load() == nil {
		delete(p.entries, id)
	}
}

// fulfil changes the record so that it is as the wish wants it, and says whether
// anything had to change.
func (d *Draft) fulfil(h ooo.Hint, wish ooo.Wish) bool {
	now := time.Now()
	a := d.Address(h.Subject)
	switch {
	case a != nil && wish.Nonce != "" && wish.At.Before(a.WishedAt):
		return false // Redis came back older; [Registry.Restore] puts back what was carried out
	case !wish.On || wish.Nonce == "":
		if wish.Nonce != "" {
			d.save.Wishes = append(d.save.Wishes, store.WishSwap{Address: h.Subject, Nonce: wish.Nonce})
		}
		if a == nil {
			if d.Version == 1 { // nothing but the wish goes
				d.Remove()
			}
			return wish.Nonce != ""
		}
		d.left = map[string]time.Time{h.Subject: later(wish.At, a.WishedAt)}
		d.Event(a, ooo.Event{At: now, Kind: ooo.EventStopped, Source: ooo.SourceRequest})
		d.DropAddress(a, true)
		return true
	case wish.Record() != d.ID:
		if a == nil {
			return false
		}
		d.carry(a, wish.Record())
		return true
	case a == nil:
		d.begin(h, wish, now)
		return true
	}
	refused := a.Delivery.State == ooo.DeliveryRefused
	if a.Nonce == wish.Nonce && !refused {
		return false
	}
	anew := a.Start != wish.Start
	a.Spelling, a.Start, a.Nonce, a.WishedAt = wish.Address, wish.Start, wish.Nonce, wish.At
	if refused && !a.Delivery.Throttled {
		a.Delivery.NextAttemptAt = time.Time{}
	}
	if anew {
		d.start(a, now)
	}
	return true
}

// begin adds an address that is to be monitored.
func (d *Draft) begin(h ooo.Hint, wish ooo.Wish, now time.Time) {
	if len(d.Addresses) == 0 { // nobody has read it meanwhile: what is known may be old
		d.Person, d.Condition, d.Reason, d.Trouble, d.Setting, d.State = wish.Person, ooo.Pending, "", "", nil, nil
		d.ReadFailures, d.ReadRetryAt, d.ReadThrottled = 0, time.Time{}, false
	}
	address := ooo.Address{Delivery: ooo.Delivery{State: ooo.DeliveryNone}}
	if h.Carry != nil {
		address = *h.Carry
		if d.State == nil && address.Start == wish.Start {
			d.State = h.CarryState
		}
	}
	anew := address.Start != wish.Start
	// What the mediator knows of an address that came here may be another state.
	differs := h.Carry != nil && !anew && d.State != nil && (h.CarryState == nil || !h.CarryState.Same(*d.State))
	address.Spelling, address.Start, address.Nonce, address.WishedAt = wish.Address, wish.Start, wish.Nonce, wish.At
	switch a := d.AddAddress(address); {
	case anew:
		d.start(a, now)
	case differs:
		d.queue(a, ooo.EventChanged, ooo.SourceRequest, ooo.Hint{}, now)
	}
}

// start notes that the monitoring of an address begins: the mediator receives its
// state, at once if it is known.
func (d *Draft) start(a *ooo.Address, now time.Time) {
	d.Event(a, ooo.Event{At: now, Kind: ooo.EventStarted, Source: ooo.SourceRequest})
	if d.State != nil {
		d.queue(a, ooo.EventChanged, ooo.SourceRequest, ooo.Hint{}, now)
	}
}
