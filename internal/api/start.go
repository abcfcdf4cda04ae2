package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"outlook-monitor/internal/ooo"
)

// errUnresolved means that a user is taken, but not found in the directory yet.
var errUnresolved = errors.New("accepted; looked up as soon as Microsoft Graph answers")

// errNotReady means that Redis was not reached yet.
var errNotReady = errors.New("Redis was not reached yet")

// start monitors an address. The error is nil, or errUnresolved when the user is
// stored but not looked up, or says why nothing was stored.
func (a *API) start(ctx context.Context, address string) (ooo.User, error) {
	a.debts.forgive(ctx, ooo.KeyOf(address))
	known, err := a.monitored(ctx, ooo.KeyOf(address))
	switch {
	case err == nil && known.Person.ID == "" && strings.Contains(known.Reason, ooo.ErrNotInDirectory.Error()):
		// Looked up since it was stored, and not there. It is tried on.
		return known, errors.Join(ooo.ErrNotInDirectory, a.look(ctx, known.Key))
	case err == nil:
		return a.store(ctx, address, ooo.Person{}) // Graph need not be asked
	case !errors.Is(err, ooo.ErrNotMonitored):
		return ooo.User{}, err
	}
	person, err := a.find(ctx, address)
	if errors.Is(err, ooo.ErrNotInDirectory) || errors.Is(err, ooo.ErrAmbiguous) {
		return ooo.User{}, err
	}
	if err != nil {
		a.cfg.Log.WarnContext(ctx, "a user could not be looked up, it will be looked up later", "user", ooo.KeyOf(address), "err", err)
		person = ooo.Person{}
	}
	return a.store(ctx, address, person)
}

func (a *API) find(ctx context.Context, address string) (ooo.Person, error) {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	until, err := a.cfg.Store.Paused(ctx, ooo.DirectoryPause)
	if wait := time.Until(until); err == nil && wait > 0 {
		return ooo.Person{}, &ooo.Throttled{After: wait}
	}
	person, err := a.cfg.Directory.Find(ctx, address)
	if throttled, ok := errors.AsType[*ooo.Throttled](err); ok {
		if err := a.cfg.Store.Pause(ctx, ooo.DirectoryPause, time.Now().Add(throttled.After)); err != nil {
			a.cfg.Log.WarnContext(ctx, "the wait that Graph asked for could not be shared", "err", err)
		}
	}
	return person, err
}

func (a *API) store(ctx context.Context, address string, person ooo.Person) (ooo.User, error) {
	started, err := a.cfg.Store.Start(ctx, address, person)
	if err == nil && !started.Found {
		err = errUnresolved
	}
	return started.User, err
}

// monitored returns a user's record; of one whose monitoring was stopped it is
// [ooo.ErrNotMonitored].
func (a *API) monitored(ctx context.Context, key ooo.Key) (ooo.User, error) {
	user, err := a.cfg.Store.User(ctx, key)
	if err == nil && !user.Active {
		return ooo.User{}, ooo.ErrNotMonitored
	}
	return user, err
}

// look has a user read now.
func (a *API) look(ctx context.Context, key ooo.Key) error {
	_, err := a.cfg.Store.Mark(ctx, ooo.ReadQueue, ooo.Mark{Key: key, Source: ooo.SourceRequest, Urgent: true})
	return err
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
