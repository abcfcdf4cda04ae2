package mailbox

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

const (
	// wishConcurrency limits the wishes that are carried out at the same time.
	wishConcurrency = 32
	// wishRetry is the wait before a wish that failed is retried.
	wishRetry = time.Second
)

var errRestoring = errors.New("redis came back with older data and is being restored")

// wishKey names a wish: the record that must carry it out, and its address.
type wishKey struct {
	id      ooo.RecordID
	address string // folded
}

// wishOf returns the wish that a hint is about. ok is false if it is about something else.
func wishOf(h ooo.Hint) (key wishKey, ok bool) {
	return wishKey{h.ID, h.Subject}, h.Kind == ooo.HintWish || h.Kind == ooo.HintMove
}

// carryOutWishes carries out the wishes that are due, until ctx ends.
func (r *Registry) carryOutWishes(ctx context.Context) error {
	return r.wishes.Each(ctx, wishConcurrency, r.tryWish)
}

// tryWish carries out a wish, and schedules a retry if it fails. It returns within
// saveTime: a slow save continues in the background, so that it delays no other wish.
func (r *Registry) tryWish(key wishKey) {
	ended := make(chan struct{})
	r.tasks.Go(func() {
		defer close(ended)
		if err := r.carryOut(key); err != nil && !errors.Is(err, ooo.ErrNotOwner) {
			r.cfg.Log.Debug("wish not carried out, retrying", "mailbox", key.id, "err", err)
			r.wishes.Set(key, time.Now().Add(wishRetry))
		}
	})
	select {
	case <-ended:
	case <-time.After(saveTime):
	}
}

// carryOut applies the current wish of an address to one record. It does nothing if no
// hint asks for it.
func (r *Registry) carryOut(key wishKey) error {
	p := r.parts[key.id.Partition()].Load()
	if p == nil {
		return nil
	}
	p.mu.Lock()
	if !p.loaded || p.draining() {
		p.mu.Unlock()
		return nil
	}
	p.others++
	e := p.ensureEntry(key.id)
	p.mu.Unlock()
	defer p.end(&p.others)
	e.mu.Lock()
	defer e.mu.Unlock()
	p.mu.Lock()
	from := p.hints[key.id][hintKey{ooo.HintMove, key.address}]
	hints := []ooo.Hint{p.hints[key.id][hintKey{ooo.HintWish, key.address}], from}
	p.mu.Unlock()
	hints = slices.DeleteFunc(hints, func(h ooo.Hint) bool { return h.Nonce == "" })
	if len(hints) == 0 {
		return nil
	}
	m := e.record.Load()
	if m == nil {
		m = &ooo.Mailbox{ID: key.id, Condition: ooo.Pending}
	}
	wish, err := r.readWish(p, key, m)
	if errors.Is(err, store.ErrDamaged) {
		return nil
	} else if err != nil {
		return err
	}
	changed := false
	_, err = r.update(p, e, m, func(d *Draft) error {
		if changed = d.fulfil(key.address, wish, from); !changed {
			return ErrUnchanged
		}
		d.RemoveHints(hints...)
		return nil
	})
	if err != nil || changed {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, saveTime)
	defer cancel()
	return r.RemoveHints(ctx, hints...)
}

// readWish reads the wish of an address. If Redis came back with older data, it must not be carried
// out before it is restored: it returns errRestoring. The caller must hold the mutex of the record's
// entry.
func (r *Registry) readWish(p *partition, key wishKey, m *ooo.Mailbox) (ooo.Wish, error) {
	ctx, cancel := context.WithTimeout(p.ctx, saveTime)
	defer cancel()
	wish, err := r.cfg.Store.Wish(ctx, key.address)
	p.mu.Lock()
	stoppedAt, stopped := p.stopped[key.address]
	saves := p.saves
	p.mu.Unlock()
	// The start of before the stop, or one from a replica whose clock is behind.
	stale := wish.On && stopped && !wish.At.After(stoppedAt)
	missing := wish.Nonce == "" && m.Address(key.address) != nil // this ends the monitoring
	if err != nil || !stale && !missing {
		return wish, err
	}
	stored, err := r.cfg.Store.Load(ctx, p.number)
	switch {
	case err != nil:
		return wish, err
	case stored.Saves < saves: // their number is restored last
		return wish, errRestoring
	}
	return r.cfg.Store.Wish(ctx, key.address) // it may have been restored in between
}

// fulfil applies the wish of an address to the record, and reports whether that changed
// anything. from is the hint with which the address left another record, or zero. A zero
// wish ends the monitoring.
func (d *Draft) fulfil(address string, wish ooo.Wish, from ooo.Hint) bool {
	now := time.Now()
	a := d.Address(address)
	switch {
	case a != nil && wish.Nonce != "" && wish.At.Before(a.WishedAt):
		return false // Redis came back with older data: [Registry.Restore] replaces the wish
	case !wish.On:
		return d.stop(a, wish, now)
	case wish.Record() != d.ID:
		if a != nil {
			d.move(a, wish.Record())
		}
		return a != nil
	case a == nil:
		d.add(wish, from, now)
		return true
	}
	refused := a.Delivery.State == ooo.DeliveryRefused
	if a.Nonce == wish.Nonce && !refused {
		return false
	}
	restarted := a.StartID != wish.StartID
	setWish(a, wish)
	if refused {
		a.Delivery.NextAttemptAt = now.UTC()
	}
	if restarted {
		d.start(a, now)
	}
	return true
}

// stop ends the monitoring of an address, which is nil if the record does not have it, and removes
// the wish, which may be zero. It reports whether that changed anything.
func (d *Draft) stop(a *ooo.Address, wish ooo.Wish, now time.Time) bool {
	if wish.Nonce != "" {
		d.save.Wishes = append(d.save.Wishes, store.WishChange{Old: wish})
	}
	if a == nil {
		if d.Version == 1 { // there is no record, only the wish is removed
			d.Remove()
		}
		return wish.Nonce != ""
	}
	d.stopped = map[string]time.Time{a.Folded(): cmp.Or(wish.At, a.WishedAt)}
	d.Event(a, ooo.Event{At: now, Kind: ooo.EventStopped, Source: ooo.SourceRequest})
	d.DropAddress(a, true)
	return true
}

// setWish records in an address which wish it carried out.
func setWish(a *ooo.Address, w ooo.Wish) {
	a.Spelling, a.StartID, a.Nonce, a.WishedAt = w.Address, w.StartID, w.Nonce, w.At
}

// add adds the address of a wish. If it comes from another record, by the hint from, it keeps its
// delivery.
func (d *Draft) add(wish ooo.Wish, from ooo.Hint, now time.Time) {
	if !d.Monitored() { // the mailbox was not being read, so its state may be outdated
		d.Person, d.Condition, d.Reason, d.ErrorKind, d.Setting, d.State = wish.Person, ooo.Pending, "", "", nil, nil
		d.ReadFailures, d.ReadRetryAt, d.ReadThrottled, d.Unannounced = 0, time.Time{}, false, false
		for i := range d.Subscriptions { // their deletion may have begun: a renewal finds out
			d.Subscriptions[i].RenewAt = now
		}
	}
	address := ooo.Address{Delivery: ooo.Delivery{State: ooo.DeliveryNone}}
	if from.Moved != nil {
		address = *from.Moved
	}
	started := address.StartID != wish.StartID
	continued := from.Moved != nil && !started
	if continued && d.State == nil && from.MovedState != nil {
		d.State, d.ChangedAt = from.MovedState, from.MovedChangedAt
		// The first read may now find no change, so it would queue nothing for the others.
		d.QueueState(ooo.SourceRequest, ooo.Hint{}, now)
	}
	setWish(&address, wish)
	a := d.AddAddress(address)
	if continued && from.MovedUnknown && !d.ID.Unresolved() && d.Condition != ooo.Unknown { // found in the directory again
		d.Event(a, ooo.Event{At: now, Kind: ooo.EventKnown})
	}
	switch {
	case started:
		d.start(a, now)
	case continued && d.State != nil && (from.MovedState == nil || !from.MovedState.Same(*d.State)):
		// The mediator may have received another state of the address from its former record.
		d.queue(a, ooo.EventChanged, ooo.SourceRequest, ooo.Hint{}, now)
	}
}

// start records that the monitoring of an address begins. It queues the state for the
// mediator if it is known; otherwise the first read does.
func (d *Draft) start(a *ooo.Address, now time.Time) {
	d.Event(a, ooo.Event{At: now, Kind: ooo.EventStarted, Source: ooo.SourceRequest})
	if d.Condition == ooo.Unknown && !d.Unannounced {
		d.Event(a, ooo.Event{At: now, Kind: ooo.EventUnknown, Detail: d.Reason})
	}
	if d.State != nil {
		d.queue(a, ooo.EventChanged, ooo.SourceRequest, ooo.Hint{}, now)
	}
}
