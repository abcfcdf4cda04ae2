package mailbox

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

const (
	// wishesAtOnce bounds the wishes that are carried out at the same time.
	wishesAtOnce = 32
	// retryTime is how long a wish waits that was not carried out, busyTime if an older
	// one of the address is in flight.
	retryTime = time.Second
	busyTime  = 50 * time.Millisecond
)

var (
	errInFlight = errors.New("the wish is being carried out")
	errOlder    = errors.New("redis has no wish and an older record: it is being restored")
)

// wishKey is an address in a record, whose wish is to be carried out.
type wishKey struct {
	id      ooo.RecordID
	address string // folded
}

// wishOf returns the wish that a hint is about, if it is about one.
func wishOf(h ooo.Hint) (key wishKey, ok bool) {
	return wishKey{h.ID, h.Subject}, h.Kind == ooo.HintWish || h.Kind == ooo.HintCarry
}

// carryOutWishes carries out the wishes that are due, until ctx ends.
func (r *Registry) carryOutWishes(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(wishesAtOnce)
	for r.wishes.Wait(ctx) == nil {
		for _, key := range r.wishes.Take(time.Now(), wishesAtOnce) {
			g.Go(func() error { r.try(key); return nil })
		}
	}
	return g.Wait()
}

// try carries out a wish, and has it retried later if that fails. It returns after
// saveTime at the latest: a save that does not get through goes on alone, so that it
// delays no other wish.
func (r *Registry) try(key wishKey) {
	ended := make(chan struct{})
	r.tasks.Go(func() {
		defer close(ended)
		switch err := r.carryOut(key); {
		case err == nil, errors.Is(err, ooo.ErrNotOwner):
		case errors.Is(err, errInFlight):
			r.wishes.Set(key, time.Now().Add(busyTime))
		default:
			r.cfg.Log.Debug("wish not carried out, retrying", "mailbox", key.id, "err", err)
			r.wishes.Set(key, time.Now().Add(retryTime))
		}
	})
	select {
	case <-ended:
	case <-time.After(saveTime):
	}
}

// carryOut does what the wish of an address says now about one record. Without a hint
// there is nothing to do.
func (r *Registry) carryOut(key wishKey) error {
	p := r.parts[key.id.Partition()].Load()
	if p == nil {
		return nil
	}
	p.mu.Lock()
	var hints []ooo.Hint
	carry := p.hints[key.id][hintKey{ooo.HintCarry, key.address}]
	for _, h := range []ooo.Hint{p.hints[key.id][hintKey{ooo.HintWish, key.address}], carry} {
		if h.Nonce != "" {
			hints = append(hints, h)
		}
	}
	if len(hints) == 0 || !p.loaded || p.draining {
		p.mu.Unlock()
		return nil
	}
	done, ok := p.begin(operation{key.id, wishKind, key.address})
	e := p.entry(key.id)
	p.mu.Unlock()
	if !ok {
		return errInFlight
	}
	defer done()
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.record.Load()
	if m == nil {
		m = &ooo.Mailbox{ID: key.id, Condition: ooo.Pending}
	}
	wish, err := r.wish(p, key, m)
	if errors.Is(err, store.ErrDamaged) {
		return nil
	} else if err != nil {
		return err
	}
	changed := false
	_, err = r.update(p, e, m, func(d *Draft) error {
		if changed = d.fulfil(key.address, wish, carry); !changed {
			return ErrUnchanged
		}
		d.Done(hints...)
		return nil
	})
	if err != nil || changed {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, saveTime)
	defer cancel()
	return r.Done(ctx, hints...)
}

// wish reads the wish of an address. That there is none ends the monitoring of an
// address only if Redis has the record as it is in memory: if it came back with older
// data, the wish is restored before the record is. The caller holds the mutex of the
// record's entry.
func (r *Registry) wish(p *partition, key wishKey, m *ooo.Mailbox) (ooo.Wish, error) {
	ctx, cancel := context.WithTimeout(p.ctx, saveTime)
	defer cancel()
	wish, err := r.cfg.Store.Wish(ctx, key.address)
	if err != nil || wish.Nonce != "" || m.Address(key.address) == nil {
		return wish, err
	}
	loaded, err := r.cfg.Store.Load(ctx, p.number)
	if err != nil {
		return wish, err
	}
	for _, stored := range loaded.Records {
		if stored.ID == m.ID && stored.Version == m.Version {
			return wish, nil
		}
	}
	return wish, errOlder
}

// fulfil changes the record so that it is as the wish of an address wants it, and says
// whether anything had to change. carry is the address as it left another record; zero:
// it did not. A zero wish wants nothing monitored.
func (d *Draft) fulfil(address string, wish ooo.Wish, carry ooo.Hint) bool {
	now := time.Now()
	a := d.Address(address)
	switch {
	case a != nil && wish.Nonce != "" && wish.At.Before(a.WishedAt):
		return false // Redis came back older; [Registry.Restore] restores what was carried out
	case !wish.On:
		if wish.Nonce != "" {
			d.save.Wishes = append(d.save.Wishes, store.WishSwap{Address: address, Nonce: wish.Nonce})
		}
		if a == nil {
			if d.Version == 1 { // nothing but the wish goes
				d.Remove()
			}
			return wish.Nonce != ""
		}
		d.left = map[string]time.Time{address: later(wish.At, a.WishedAt)}
		d.Event(a, ooo.Event{At: now, Kind: ooo.EventStopped, Source: ooo.SourceRequest})
		d.DropAddress(a, true)
		return true
	case wish.Record() != d.ID:
		if a != nil {
			d.carry(a, wish.Record())
		}
		return a != nil
	case a == nil:
		d.begin(wish, carry, now)
		return true
	}
	refused := a.Delivery.State == ooo.DeliveryRefused
	if a.Nonce == wish.Nonce && !refused {
		return false
	}
	anew := a.Start != wish.Start
	noteWish(a, wish)
	if refused && !a.Delivery.Throttled {
		a.Delivery.NextAttemptAt = time.Time{}
	}
	if anew {
		d.start(a, now)
	}
	return true
}

// noteWish notes that a wish is carried out.
func noteWish(a *ooo.Address, w ooo.Wish) {
	a.Spelling, a.Start, a.Nonce, a.WishedAt = w.Address, w.Start, w.Nonce, w.At
}

// begin adds an address that is to be monitored.
func (d *Draft) begin(wish ooo.Wish, carry ooo.Hint, now time.Time) {
	if len(d.Addresses) == 0 { // nobody has read it meanwhile: what is known may be old
		d.Person, d.Condition, d.Reason, d.ErrorKind, d.Setting, d.State = wish.Person, ooo.Pending, "", "", nil, nil
		d.ReadFailures, d.ReadRetryAt, d.ReadThrottled = 0, time.Time{}, false
	}
	address := ooo.Address{Delivery: ooo.Delivery{State: ooo.DeliveryNone}}
	if carry.Carry != nil {
		address = *carry.Carry
		if d.State == nil && address.Start == wish.Start {
			d.State = carry.CarryState
		}
	}
	anew := address.Start != wish.Start
	// What the mediator knows of an address that came here may be another state.
	differs := carry.Carry != nil && !anew && d.State != nil && (carry.CarryState == nil || !carry.CarryState.Same(*d.State))
	noteWish(&address, wish)
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
