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
	errContended  = errors.New("the wish was changed by others again and again")
)

// maxSwaps is how often a wish is read again because somebody else changed it.
const maxSwaps = 5

// directoryWait is the wait that Graph asked for of look-ups.
const directoryWait = "directory"

// start has an address monitored. The error is nil, or errUnresolved when it is stored
// but not looked up, or says why it is not monitored.
func (a *API) start(ctx context.Context, address string, by ooo.Requester) error {
	a.stops.forget(ctx, address)
	if !a.cfg.Ready() {
		return errNotReady
	}
	var person *ooo.Person // nil: not looked up
	for range maxSwaps {
		old, err := a.wish(ctx, address)
		if err != nil {
			return err
		}
		var next ooo.Wish
		switch {
		case old.On && (by == ooo.Operator || old.Address == address):
			return a.startAgain(ctx, old)
		case old.On: // the mediator decides how it is spelled
			next = old
		default:
			if person == nil {
				if person, err = a.find(ctx, address); err != nil {
					return err
				}
			}
			next = ooo.Wish{On: true, Person: *person, Start: rand.Text()}
		}
		next.Address = address
		switch swapped, err := a.swap(ctx, old, next); {
		case err != nil:
			return err
		case swapped && old.On:
			return a.startAgain(ctx, next)
		case swapped:
			return unresolved(next)
		}
	}
	return errContended
}

// startAgain answers a start of an address that is monitored. Graph is not asked, and
// nothing is written unless something is wrong with it: the mediator posts its whole
// table, again and again.
func (a *API) startAgain(ctx context.Context, w ooo.Wish) error {
	row, known, err := a.cfg.Store.Summary(ctx, w)
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
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	if a.cfg.Wait(directoryWait) > 0 {
		return &ooo.Person{}, nil
	}
	person, err := a.cfg.Directory.Find(ctx, address)
	if throttled, ok := errors.AsType[*ooo.Throttled](err); ok {
		if err := a.cfg.SetWait(ctx, directoryWait, throttled.After); err != nil {
			a.cfg.Log.WarnContext(ctx, "wait of the directory not shared", "err", err)
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

// stop ends the monitoring of an address, monitored or not. One that Redis does not
// take is remembered.
func (a *API) stop(ctx context.Context, address string) error {
	asked := time.Now()
	a.stops.forget(ctx, address)
	err := errNotReady
	if a.cfg.Ready() {
		_, err = a.switchOff(ctx, address, time.Time{})
	}
	if err != nil {
		a.stops.remember(address, asked)
	}
	return err
}

// switchOff stores that an address is not to be monitored, and says whether anything
// had to change. If asked is not zero, a wish that was written later stays. One that
// can't be read does not say which mailbox has the address: its row does.
func (a *API) switchOff(ctx context.Context, address string, asked time.Time) (changed bool, err error) {
	for range maxSwaps {
		old, err := a.cfg.Store.Wish(ctx, address)
		damaged := errors.Is(err, store.ErrDamaged)
		switch {
		case err != nil && !damaged:
			return false, err
		case !old.On && !damaged, !asked.IsZero() && old.At.After(asked):
			return false, nil
		case damaged:
			id, err := a.cfg.Store.RecordOf(ctx, address)
			if err != nil {
				return false, err
			}
			old.Address, old.Person.ID = address, id.ObjectID()
		}
		next := old
		next.On = false
		if swapped, err := a.swap(ctx, old, next); swapped || err != nil {
			return swapped, err
		}
	}
	return false, errContended
}

// wish reads the wish of an address. One that can't be read has its nonce alone, so
// that it is replaced.
func (a *API) wish(ctx context.Context, address string) (ooo.Wish, error) {
	w, err := a.cfg.Store.Wish(ctx, address)
	if errors.Is(err, store.ErrDamaged) {
		err = nil
	}
	return w, err
}

// swap replaces a wish, and says whether nobody was faster.
func (a *API) swap(ctx context.Context, old, next ooo.Wish) (bool, error) {
	next = stamp(old, next)
	return a.cfg.Store.SwapWish(ctx, old, next, hint(next, ooo.HintWish))
}

// stamp returns next as it is written after old. Its time is the later one whatever
// the clocks of replicas say.
func stamp(old, next ooo.Wish) ooo.Wish {
	next.Nonce, next.At = rand.Text(), time.Now().UTC()
	if !next.At.After(old.At) {
		next.At = old.At.Add(time.Millisecond)
	}
	return next
}

// hint returns a hint for the owner of the record that a wish is about.
func hint(w ooo.Wish, kind ooo.HintKind) ooo.Hint {
	h := ooo.Hint{ID: w.Record(), Kind: kind, Nonce: rand.Text(), At: time.Now().UTC(), Source: ooo.SourceRequest}
	if kind == ooo.HintWish || kind == ooo.HintResend {
		h.Subject = ooo.FoldAddress(w.Address)
	}
	return h
}

// outcomes says how each end of a request is answered. The first match wins;
// what matches none is the store's: 503.
var outcomes = []struct {
	err    error
	status int
}{
	{errNotJSON, http.StatusBadRequest},
	{errInvalidJSON, http.StatusBadRequest},
	{errTooLarge, http.StatusRequestEntityTooLarge},
	{errSlow, http.StatusRequestTimeout},
	{ooo.ErrBadAddress, http.StatusBadRequest},
	{ooo.ErrBadCursor, http.StatusBadRequest},
	{ooo.ErrNotInDirectory, http.StatusNotFound},
	{ooo.ErrNotMonitored, http.StatusNotFound},
	{ooo.ErrAmbiguous, http.StatusConflict},
	{errUnresolved, http.StatusAccepted},
	{store.ErrDamaged, http.StatusInternalServerError},
}

// outcome returns the status of an answer and what to say with it.
func outcome(err error) (status int, text string) {
	if err == nil {
		return http.StatusOK, ""
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.status, o.err.Error()
		}
	}
	return http.StatusServiceUnavailable, "Redis is out of reach: try again"
}
