// Package deliver brings recorded states to the mediator.
//
// # The story
//
// A user with a state that the mediator hasn't acknowledged is due in the
// deliver queue. The queue lets one worker at a time have a user, and a worker
// always takes the newest state: so states arrive in order, and those that were
// overtaken while the mediator was away are left out. That an attempt is made is
// recorded before the call goes out, mostly in one step with the state itself,
// and how it ended right after: a process that dies in between delivers the same
// state again, under the same webhook-id.
//
// What the mediator refuses and what fails are tried again for ever with growing
// waits. A newer state cuts a wait short, except one the mediator asked for.
//
// The same mediator is asked for its users at start, on request and when Redis
// turns out to have been emptied; see [Syncer].
package deliver

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// Store keeps what is to be delivered and how that went. Both methods prove with
// the claim that the user is still ours; otherwise they return [ooo.ErrStale].
type Store interface {
	// Begin returns the newest state and notes the attempt; send is false when
	// the mediator knows it already. An attempt at the claim's own parcel is noted
	// already.
	Begin(ctx context.Context, claim ooo.Claim) (parcel ooo.Parcel, send bool, err error)
	// Finish notes how the attempt ended and gives the claim back.
	Finish(ctx context.Context, claim ooo.Claim, receipt ooo.Receipt) error
}

// Config says what a [Deliverer] works with.
type Config struct {
	Queue    due.Queue
	Store    Store
	Mediator *Mediator
	Workers  int // calls in flight at most; default 8

	// Told hears of each attempt; took is the call's time, since is the time
	// from the recorded change to now. It may be nil.
	Told   func(receipt ooo.Receipt, took, since time.Duration)
	Tracer ooo.Tracer // of attempts; nil: none
	Log    *slog.Logger
}

// Deliverer runs the deliver queue.
type Deliverer struct {
	cfg   Config
	loop  *due.Loop
	calls chan struct{} // capacity Workers: those in flight
	after atomic.Int64  // users in hand whose call has ended
}

const (
	// lease is how long a dead worker's user waits. It is extended while the
	// mediator takes its time.
	lease = 6 * time.Second
	// ahead is how many users are in hand besides those whose calls are in flight
	// or have ended: no more, for other replicas may be free.
	ahead = 2
	// most bounds those in hand for each call in flight: what Redis has to be told
	// of the last call holds up no other.
	most = 3
	// freshTime is how long a parcel that was handed over is taken for the newest.
	freshTime = 200 * time.Millisecond
	pace      = 5 * time.Millisecond // between two looks while there is much to tell
)

// New returns a deliverer that is ready to Run.
func New(cfg Config) (*Deliverer, error) {
	if cfg.Queue == nil || cfg.Store == nil || cfg.Mediator == nil {
		return nil, errors.New("deliver: Queue, Store and Mediator are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Told == nil {
		cfg.Told = func(ooo.Receipt, time.Duration, time.Duration) {}
	}
	if cfg.Workers <= 0 {
		cfg.Workers = 8
	}
	d := &Deliverer{cfg: cfg, calls: make(chan struct{}, cfg.Workers)}
	var err error
	d.loop, err = due.New(due.Config{
		Queue: cfg.Queue, Name: ooo.DeliverQueue, Lease: lease,
		Workers: most * cfg.Workers, Room: d.room, Work: d.deliver, Pace: pace, Log: cfg.Log,
	})
	return d, err
}

// room returns how many users may be in hand.
func (d *Deliverer) room() int { return d.cfg.Workers + ahead + int(d.after.Load()) }

// Run delivers until ctx ends and returns when the calls in flight are done or
// given up.
func (d *Deliverer) Run(ctx context.Context) error { return d.loop.Run(ctx) }

// deliver makes one attempt for one user.
func (d *Deliverer) deliver(ctx context.Context, clock due.Clock, claims []ooo.Claim) []ooo.Finished {
	c := claims[0]
	tried, finished := d.try(ctx, clock, c)
	if tried == nil {
		return finished
	}
	d.after.Add(1)
	defer d.after.Add(-1)
	receipt := tried.receipt

	// How it ended is recorded even while stopping, or it would be sent again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := d.cfg.Store.Finish(ctx, c, receipt); err != nil {
		d.cfg.Log.WarnContext(ctx, "the outcome of a delivery could not be recorded, it will be delivered again",
			"user", c.Key, "sequence", receipt.Parcel.Sequence, "err", err)
		return nil
	}
	d.log(ctx, receipt)
	d.cfg.Told(receipt, tried.took, tried.since)
	return nil
}

// attempt is one call of the mediator.
type attempt struct {
	receipt     ooo.Receipt
	took, since time.Duration // the call; from the recorded change to its end
}

// try calls the mediator once it is this user's turn, with the state that is the
// newest then. If no call was made it returns what becomes of the claim.
func (d *Deliverer) try(ctx context.Context, clock due.Clock, c ooo.Claim) (*attempt, []ooo.Finished) {
	waited, ok := d.turn(ctx)
	if !ok {
		return nil, []ooo.Finished{{Claim: c, Next: c.Due, Again: true}}
	}
	defer func() { <-d.calls }()
	parcel, send, err := ooo.Parcel{}, true, error(nil)
	if c.Parcel != nil && !waited && time.Since(c.Asked) < freshTime {
		parcel = *c.Parcel
	} else {
		parcel, send, err = d.cfg.Store.Begin(ctx, c)
	}
	switch {
	case errors.Is(err, ooo.ErrStale):
		return nil, nil
	case errors.Is(err, ooo.ErrNotMonitored), err == nil && !send:
		return nil, []ooo.Finished{{Claim: c}}
	case err != nil:
		return nil, []ooo.Finished{{Claim: c, Next: clock().Add(time.Second)}}
	case !due.Held(ctx):
		return nil, nil // another may have brought a newer state by now
	}
	began := clock()
	ctx, ended := d.attempt(ctx, parcel)
	answer := d.cfg.Mediator.SetStatus(ctx, parcel)
	now := clock()
	receipt := answer.receipt(parcel, now)
	if ctx.Err() != nil && receipt.State == ooo.DeliveryPending {
		receipt.Next = now // stopping: the attempt was cut short by us, not by the mediator
	}
	ended(receipt)
	return &attempt{receipt, now.Sub(began), now.Sub(parcel.ChangedAt)}, nil
}

// turn waits until one more call may be in flight, and says whether it had to wait:
// there may be a newer state by then. ok is false if ctx has ended.
func (d *Deliverer) turn(ctx context.Context) (waited, ok bool) {
	select {
	case d.calls <- struct{}{}:
		return false, true
	default:
	}
	select {
	case d.calls <- struct{}{}:
		return true, true
	case <-ctx.Done():
		return true, false
	}
}

// log writes one line for what was delivered and one for the first of a row of
// failures.
func (d *Deliverer) log(ctx context.Context, r ooo.Receipt) {
	switch {
	case r.State == ooo.DeliveryDelivered:
		d.cfg.Log.InfoContext(ctx, "delivered", "user", r.Parcel.Key, "sequence", r.Parcel.Sequence,
			"attempt", r.Parcel.Attempt, "source", r.Parcel.Source)
	case r.Parcel.Attempt == 1:
		d.cfg.Log.WarnContext(ctx, "not delivered, will be tried again", "user", r.Parcel.Key,
			"sequence", r.Parcel.Sequence, "state", r.State, "err", r.Error)
	}
}
