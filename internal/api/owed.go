package api

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// mostOwed bounds the stops that are remembered: about 1 MiB. Beyond it the oldest
// is forgotten.
const mostOwed = 10_000

// debts are the stops that Redis could not take and that were answered 503. The
// mediator names those who are monitored when it is asked for its users, never
// those who are not, so a stop that it does not repeat would be lost. They are
// carried out as soon as Redis answers; a later start for the same user, here or at
// another replica, comes before them. They do not survive this process.
type debts struct {
	mu    sync.Mutex
	stops map[ooo.Key]*list.Element // guarded by mu, as all below
	order *list.List                // of debt, oldest first
	hand  ooo.Key                   // whose stop is being carried out
	done  chan struct{}             // closed when that is over
	newer bool                      // something newer was asked for since that began
	wake  chan struct{}             // capacity 1
}

type debt struct {
	key ooo.Key
	at  time.Time // when it was asked for
}

func newDebts() *debts {
	return &debts{stops: map[ooo.Key]*list.Element{}, order: list.New(), wake: make(chan struct{}, 1)}
}

// owe remembers a stop.
func (d *debts) owe(key ooo.Key, at time.Time) {
	d.mu.Lock()
	d.drop(key)
	if d.order.Len() >= mostOwed {
		d.drop(d.order.Front().Value.(debt).key)
	}
	d.stops[key] = d.order.PushBack(debt{key, at})
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default: // a wake-up is already waiting
	}
}

func (d *debts) drop(key ooo.Key) {
	if e := d.stops[key]; e != nil {
		d.order.Remove(e)
		delete(d.stops, key)
	}
}

// forgive forgets a stop, because something newer was asked for, and waits until
// it is not being carried out either, or until ctx ends.
func (d *debts) forgive(ctx context.Context, key ooo.Key) {
	d.mu.Lock()
	d.drop(key)
	var done chan struct{}
	if d.hand == key {
		d.newer, done = true, d.done
	}
	d.mu.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
}

// next takes the oldest stop in hand; ok is false if there is none.
func (d *debts) next() (stop debt, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.order.Front()
	if e == nil {
		return debt{}, false
	}
	stop = e.Value.(debt)
	d.drop(stop.key)
	d.hand, d.done, d.newer = stop.key, make(chan struct{}), false
	return stop, true
}

// over ends what next began. What did not work is remembered on, unless something
// newer was asked for, even if that could not be stored.
func (d *debts) over(stop debt, worked bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !worked && !d.newer && d.stops[stop.key] == nil && d.order.Len() < mostOwed {
		d.stops[stop.key] = d.order.PushFront(stop)
	}
	d.hand = ""
	close(d.done)
}

// Run carries out the stops that Redis could not take, until ctx ends.
func (a *API) Run(ctx context.Context) error {
	const first, most = 100 * time.Millisecond, 2 * time.Second
	wait := first
	for {
		stop, some := a.debts.next()
		if !some {
			select {
			case <-ctx.Done():
				return nil
			case <-a.debts.wake:
				continue
			}
		}
		err := a.pay(ctx, stop)
		a.debts.over(stop, err == nil)
		if err == nil {
			wait = first
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
			wait = min(2*wait, most)
		}
	}
}

func (a *API) pay(ctx context.Context, stop debt) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := a.cfg.Store.StopBefore(ctx, stop.key, stop.at)
	if errors.Is(err, ooo.ErrNotMonitored) {
		return nil
	}
	if err == nil {
		a.cfg.Log.InfoContext(ctx, "a stop that could not be stored at first has been carried out", "user", stop.key)
	}
	return err
}
