package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// Errors of a start or a stop.
var (
	// errUnresolved means that an address is stored, but not found in the directory yet.
	errUnresolved = errors.New("accepted; looked up as soon as Microsoft Graph answers")
	errNotReady   = errors.New("Redis has not been reached since the service started: try again; GET /readyz says why")
	errBusy       = errors.New("too many requests are in flight: try again")
	errContended  = errors.New("other requests keep changing this user: try again")
)

// maxSwaps limits the attempts to change a wish that others change at the same time. One
// of the concurrent attempts always succeeds, so this many requests for a user all do.
const maxSwaps = 50

// change starts or stops monitoring an address. It returns errUnresolved for a start that
// is stored but not looked up yet. A stop that can't be stored now is retried, because a
// sync does not name the users that the mediator no longer wants. If a start by the
// mediator can't be stored, the mediator is asked for its users.
func (a *API) change(ctx context.Context, address string, on bool, by ooo.Requester) error {
	asked := time.Now()
	folded := ooo.FoldAddress(address)
	a.stops.Remove(folded)
	err := a.startOrStop(ctx, address, on, by)
	if outcomeOf(err).status == http.StatusServiceUnavailable { // not stored: the caller should try again
		switch {
		case !on:
			a.stops.Add(folded, asked)
		case by == ooo.Mediator:
			a.cfg.RequestSync()
		}
	}
	return err
}

func (a *API) startOrStop(ctx context.Context, address string, on bool, by ooo.Requester) error {
	if err := a.acquire(ctx, a.changes); err != nil {
		return err
	}
	defer a.changes.Release(1)
	if on {
		return a.start(ctx, address, by)
	}
	_, err := a.stop(ctx, address, time.Time{})
	return err
}

// acquire waits until the limit allows a request, if Redis has been reached. If it returns
// nil, the caller must release the limit.
func (a *API) acquire(ctx context.Context, limit *semaphore.Weighted) error {
	if !a.cfg.Ready() {
		return errNotReady
	}
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	if limit.Acquire(ctx, 1) != nil {
		return errBusy
	}
	return nil
}

// start starts monitoring an address. If it is already monitored, the wish is written
// again for an operator, so that a replica that retries an older stop sees that the start
// came later. For the mediator it is not, because each sync names all users, and the
// mediator is asked for a sync after a retried stop; except if the record or its row is
// damaged, because the owner writes both when it carries out a new wish.
func (a *API) start(ctx context.Context, address string, by ooo.Requester) error {
	var person *ooo.Person // nil: not looked up
	for range maxSwaps {
		old, err := a.cfg.Wishes.Wish(ctx, address)
		if err != nil && !errors.Is(err, store.ErrDamaged) { // a damaged one is replaced
			return err
		}
		next := old
		switch {
		case !old.On:
			if person == nil {
				if person, err = a.find(ctx, address); err != nil {
					return err
				}
			}
			next = ooo.Wish{Address: address, On: true, Person: *person, StartID: rand.Text()}
		case by == ooo.Mediator && old.Address != address: // the mediator decides the spelling
			next.Address = address
		case by == ooo.Mediator:
			err := a.restart(ctx, old)
			if errors.Is(err, store.ErrChanged) {
				continue // a stop was acknowledged in between; this start comes after it
			}
			if !errors.Is(err, store.ErrDamaged) {
				return err
			}
		}
		next = stamp(next)
		switch swapped, err := a.cfg.Wishes.SwapWish(ctx, old, next); {
		case err != nil:
			return err
		case swapped && old.On:
			switch err := a.restart(ctx, next); {
			case errors.Is(err, store.ErrDamaged): // until the owner has carried out the new wish
				return unresolved(next)
			case !errors.Is(err, store.ErrChanged):
				return err
			}
			return nil // what was requested in between comes after this start
		case swapped:
			return unresolved(next)
		}
	}
	return errContended
}

// restart handles a start of an address that is already monitored: it leaves hints for
// the owner if something is wrong. It does not ask Graph, because the mediator posts all
// its users at each sync. It returns [store.ErrChanged] if w was replaced, and
// [store.ErrDamaged] if the record or its row is damaged.
func (a *API) restart(ctx context.Context, w ooo.Wish) error {
	row, known, err := a.cfg.Wishes.Summary(ctx, w)
	if err != nil {
		return err
	}
	var hints []ooo.Hint
	if !known || w.Person.ID == "" || row.Delivery == ooo.DeliveryRefused {
		hints = append(hints, w.Hint(ooo.HintWish)) // a refused delivery is retried at once
	}
	if row.Condition == ooo.Unknown {
		hints = append(hints, w.Hint(ooo.HintCheck))
	}
	if len(hints) > 0 {
		if err := a.cfg.LeaveHints(ctx, hints...); err != nil {
			return err
		}
	}
	if w.Person.ID == "" && row.NotFound {
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

// find looks up an address. It returns a zero person if Graph can't answer now, or so late that
// the start could not be stored.
func (a *API) find(ctx context.Context, address string) (*ooo.Person, error) {
	limit := findTimeout
	if end, ok := ctx.Deadline(); ok { // part of the time has passed if the caller is slow
		limit = min(limit, time.Until(end)-storeTime)
	}
	if a.cfg.Wait(ooo.DirectoryWait) > 0 || limit <= 0 {
		return &ooo.Person{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	person, err := a.cfg.Directory.Find(ctx, address)
	if throttled, ok := errors.AsType[*ooo.Throttled](err); ok {
		a.cfg.SetWait(ctx, ooo.DirectoryWait, throttled.After)
	}
	switch {
	case err == nil:
		return &person, nil
	case errors.Is(err, ooo.ErrNotInDirectory), errors.Is(err, ooo.ErrAmbiguous):
		return nil, err
	}
	a.cfg.Log.WarnContext(ctx, "directory unreachable, looking the address up later", "err", err)
	return &ooo.Person{}, nil
}

// stop stops monitoring an address and reports whether the stop is stored. If asked is not
// zero, this is a retry, and a start written after that time stays. A damaged wish does not
// say which mailbox has the address; the summary does.
func (a *API) stop(ctx context.Context, address string, asked time.Time) (stored bool, err error) {
	for range maxSwaps {
		old, err := a.cfg.Wishes.Wish(ctx, address)
		damaged := errors.Is(err, store.ErrDamaged)
		switch {
		case err != nil && !damaged:
			return false, err
		case !old.On && !damaged: // perhaps stored by an attempt whose answer was lost
			return true, nil
		case !asked.IsZero() && old.At.After(asked):
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
		if swapped, err := a.cfg.Wishes.SwapWish(ctx, old, stamp(next)); swapped || err != nil {
			return swapped, err
		}
	}
	return false, errContended
}

// startAll starts monitoring addresses for an operator. Addresses that are already
// monitored keep their spelling.
func (a *API) startAll(ctx context.Context, addresses []string) error {
	for _, address := range addresses {
		a.stops.Remove(ooo.FoldAddress(address))
	}
	for range maxSwaps {
		wishes, err := a.cfg.Wishes.Wishes(ctx, addresses...)
		if err != nil {
			return err
		}
		var changes []store.WishChange
		seen := map[string]bool{} // by folded address; the list may repeat one
		for i, old := range wishes {
			folded := ooo.FoldAddress(addresses[i])
			if seen[folded] {
				continue
			}
			seen[folded] = true
			next := old
			if !old.On {
				next = ooo.Wish{Address: addresses[i], On: true, StartID: rand.Text()}
			}
			changes = append(changes, store.WishChange{Old: old, New: stamp(next)})
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

// stamp returns w, a start or a stop, with a new nonce and the current time. The store makes
// times grow.
func stamp(w ooo.Wish) ooo.Wish {
	w.Nonce, w.At = rand.Text(), time.Now().UTC()
	return w
}
