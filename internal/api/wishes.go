package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// Of a start or a stop.
var (
	// errUnresolved means that an address is stored, but not found in the directory yet.
	errUnresolved = errors.New("accepted; looked up as soon as Microsoft Graph answers")
	errNotReady   = errors.New("Redis was not reached yet")
	errBusy       = errors.New("too many requests are in flight")
	errContended  = errors.New("others keep changing the wish")
)

// maxSwaps is how often a wish is read again because somebody else changed it.
const maxSwaps = 5

// directoryWait is the wait that Graph asked for of look-ups.
const directoryWait = "directory"

// change starts or stops the monitoring of an address. The error is nil, or
// errUnresolved for a start that is stored but not looked up, or says why it is not
// carried out. What can't be stored now, whatever the reason, is answered 503 and not
// lost: a stop is retried, because the mediator does not name again whom it no longer
// wants, and for a start it is asked for its users.
func (a *API) change(ctx context.Context, address string, on bool, by ooo.Requester) error {
	asked := time.Now()
	a.stops.forget(address)
	err := a.inTurn(ctx, func() error {
		if on {
			return a.start(ctx, address, by)
		}
		_, err := a.stop(ctx, address, time.Time{})
		return err
	})
	if status, _ := outcome(err); status == http.StatusServiceUnavailable {
		switch {
		case !on:
			a.stops.remember(address, asked)
		case by == ooo.Mediator:
			a.cfg.RequestSync()
		}
	}
	return err
}

// inTurn calls f when few enough others are in flight and Redis has been reached.
func (a *API) inTurn(ctx context.Context, f func() error) error {
	if !a.cfg.Ready() {
		return errNotReady
	}
	waiting, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	if a.turns.Acquire(waiting, 1) != nil {
		return errBusy
	}
	defer a.turns.Release(1)
	return f()
}

// start has an address monitored. A wish that says so already is written again for an
// operator: whoever retries an older stop sees by it that the start came later. For the
// mediator it is not, because each sync names all users; after a stop that was retried,
// the mediator is asked for them.
func (a *API) start(ctx context.Context, address string, by ooo.Requester) error {
	var person *ooo.Person // nil: not looked up
	for range maxSwaps {
		old, err := a.cfg.Wishes.Wish(ctx, address)
		if err != nil && !errors.Is(err, store.ErrDamaged) { // a damaged one is replaced
			return err
		}
		next, needed := old, ooo.Hint{}
		switch {
		case !old.On:
			if person == nil {
				if person, err = a.find(ctx, address); err != nil {
					return err
				}
			}
			next = ooo.Wish{Address: address, On: true, Person: *person, Start: rand.Text()}
			needed = hint(next, ooo.HintWish)
		case by == ooo.Mediator && old.Address != address: // it decides how it is spelled
			next.Address = address
			needed = hint(next, ooo.HintWish)
		case by == ooo.Mediator:
			err := a.nudge(ctx, old)
			if now, failed := a.cfg.Wishes.Wish(ctx, address); failed == nil && now.Nonce != old.Nonce {
				continue // a stop was answered meanwhile, and this start is answered after it
			}
			return err
		}
		switch swapped, err := a.cfg.Wishes.SwapWish(ctx, old, stamp(next), needed); {
		case err != nil:
			return err
		case swapped && old.On:
			return a.nudge(ctx, next)
		case swapped:
			return unresolved(next)
		}
	}
	return errContended
}

// nudge answers a start of an address that was monitored before, and leaves a hint for
// its owner if something is wrong. Graph is not asked: the mediator posts its whole
// table, again and again.
func (a *API) nudge(ctx context.Context, w ooo.Wish) error {
	row, known, err := a.cfg.Wishes.Summary(ctx, w)
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		return err
	}
	var hints []ooo.Hint
	if !known || w.Person.ID == "" || row.Delivery == ooo.DeliveryRefused {
		hints = append(hints, hint(w, ooo.HintWish)) // a refused delivery is retried at once
	}
	if known && row.Condition == ooo.Unknown {
		hints = append(hints, hint(w, ooo.HintCheck))
	}
	if len(hints) > 0 {
		if err := a.cfg.Leave(ctx, hints...); err != nil {
			return err
		}
	}
	if w.Person.ID == "" && known && row.NotFound {
		return ooo.ErrNotInDirectory
	}
	return unresolved(w)
}

func unresolved(w ooo.Wish) error {
	if w.Person.ID == "" {
		return errUnresolved
	}
	return nil
}

// find looks an address up. The person is a zero one if Graph can't tell now.
func (a *API) find(ctx context.Context, address string) (*ooo.Person, error) {
	if a.cfg.Wait(directoryWait) > 0 {
		return &ooo.Person{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	person, err := a.cfg.Directory.Find(ctx, address)
	if throttled, ok := errors.AsType[*ooo.Throttled](err); ok {
		if err := a.cfg.SetWait(ctx, directoryWait, throttled.After); err != nil {
			a.cfg.Log.WarnContext(ctx, "graph's wait not shared with the other replicas", "err", err)
		}
	}
	switch {
	case err == nil:
		return &person, nil
	case errors.Is(err, ooo.ErrNotInDirectory), errors.Is(err, ooo.ErrAmbiguous):
		return nil, err
	}
	a.cfg.Log.WarnContext(ctx, "directory unreachable, address is looked up later", "err", err)
	return &ooo.Person{}, nil
}

// stop ends the monitoring of an address, monitored or not, and reports whether anything
// had to change. If asked is not zero it is a retry: what was written after that time
// stays. A wish that can't be read does not say which mailbox has the address: its row
// does.
func (a *API) stop(ctx context.Context, address string, asked time.Time) (changed bool, err error) {
	for range maxSwaps {
		old, err := a.cfg.Wishes.Wish(ctx, address)
		damaged := errors.Is(err, store.ErrDamaged)
		switch {
		case err != nil && !damaged:
			return false, err
		case !old.On && !damaged, !asked.IsZero() && old.At.After(asked):
			return false, nil
		}
		next := old
		next.On = false
		if damaged {
			id, err := a.cfg.Wishes.RecordOf(ctx, address)
			if err != nil {
				return false, err
			}
			next.Address, next.Person.ID = address, id.ObjectID()
		}
		if swapped, err := a.cfg.Wishes.SwapWish(ctx, old, stamp(next), hint(next, ooo.HintWish)); swapped || err != nil {
			return swapped, err
		}
	}
	return false, errContended
}

// startAll has addresses monitored. Those that are keep how they are spelled.
func (a *API) startAll(ctx context.Context, addresses []string) error {
	if !a.cfg.Ready() {
		return errNotReady
	}
	for _, address := range addresses {
		a.stops.forget(address)
	}
	for range maxSwaps {
		wishes, err := a.cfg.Wishes.Wishes(ctx, addresses...)
		if err != nil {
			return err
		}
		var changes []store.WishChange
		seen := map[string]bool{} // by folded address: one may be named twice
		for i, old := range wishes {
			folded := ooo.FoldAddress(addresses[i])
			if seen[folded] {
				continue
			}
			seen[folded] = true
			next, needed := old, ooo.Hint{}
			if !old.On {
				next = ooo.Wish{Address: addresses[i], On: true, Start: rand.Text()}
				needed = hint(next, ooo.HintWish)
			}
			changes = append(changes, store.WishChange{Old: old, New: stamp(next), Hint: needed})
		}
		swapped, err := a.cfg.Wishes.SwapWishes(ctx, changes)
		if err != nil {
			return err
		}
		addresses = addresses[:0:0]
		for i, ok := range swapped {
			if !ok {
				addresses = append(addresses, changes[i].New.Address)
			}
		}
		if len(addresses) == 0 {
			return nil
		}
	}
	return errContended
}

// stamp returns a wish as it is written now. The store sees that times grow.
func stamp(w ooo.Wish) ooo.Wish {
	w.Nonce, w.At = rand.Text(), time.Now().UTC()
	return w
}

// hint returns a hint for the owner of the record that a wish is about.
func hint(w ooo.Wish, kind ooo.HintKind) ooo.Hint {
	h := ooo.Hint{ID: w.Record(), Kind: kind, Nonce: rand.Text(), At: time.Now().UTC(), Source: ooo.SourceRequest}
	if kind == ooo.HintWish || kind == ooo.HintResend {
		h.Subject = ooo.FoldAddress(w.Address)
	}
	return h
}
