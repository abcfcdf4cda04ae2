// Package deliver brings the states of mailboxes to the mediator.
//
// It works on the mailboxes that this replica owns. An address with a state that the
// mediator has not acknowledged is scheduled; a few calls are in flight at a time,
// taken by whoever has been due longest. One attempt is in flight for an address, and
// it brings the state that is the newest then: so states arrive in order, and those
// that were overtaken while the mediator was away are left out. That an attempt
// begins is saved before the call, mostly in one write with the state itself
// ([Deliverer.BeginDelivery]), and its result right after it. The webhook id belongs
// to the state, so a repeated state can be recognized.
//
// Two owners never bring states of one address at the same time. A body refuses to be
// read once the ownership was not confirmed in time. Once it has been read, nothing
// cuts the call but its own limit of 30 s, because the mediator would carry it out all
// the same. If the owner dies in between, the next one sees an attempt without a
// result, and sends nothing until 12 s after it began: by then the mediator, which
// waits up to 10 s for speech, has finished.
//
// What the mediator refuses and what fails is retried for ever with growing waits. A
// newer state cuts a wait short, except one that the mediator asked for.
//
// The same mediator is asked for its users at start, on request and when Redis came
// back with older data; see [Syncer].
package deliver

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Registry has the mailboxes that this replica owns; see [mailbox.Registry].
type Registry interface {
	Get(id ooo.RecordID) (*ooo.Mailbox, bool)
	Hints(id ooo.RecordID, kind ooo.HintKind) []ooo.Hint
	Begin(id ooo.RecordID, kind mailbox.Kind, subject string) (done func(), ok bool)
	Update(ctx context.Context, id ooo.RecordID, change func(*mailbox.Draft) error) (*ooo.Mailbox, error)
	Done(ctx context.Context, hints ...ooo.Hint) error
}

// Config says what a [Deliverer] works with.
type Config struct {
	Registry Registry
	Mediator *Mediator
	// InTime says whether this replica may start something now: its ownership was
	// confirmed a short while ago.
	InTime      func() bool
	Concurrency int // calls in flight at most; default 8

	// Attempted hears of each attempt; took is the call's time, since is the time from
	// the recorded change to now. It may be nil.
	Attempted func(r Result, took, since time.Duration)
	Tracer    trace.Tracer // of attempts; nil: none
	Log       *slog.Logger
}

// Result is how an attempt ended.
type Result struct {
	State    ooo.DeliveryState // delivered, refused or pending: it is retried
	Source   ooo.Source        // what the state was noticed by
	Sequence int64
	Attempt  int
	Error    string // empty if it was delivered
}

// Deliverer is the [mailbox.Worker] that brings states to the mediator.
type Deliverer struct {
	cfg     Config
	queue   *schedule.Queue[key] // addresses with a state to deliver and no attempt in flight
	resends *schedule.Queue[key] // addresses with a hint to resend
	slots   chan struct{}        // capacity Concurrency: calls in flight
	calls   sync.WaitGroup

	mu       sync.Mutex
	run      context.Context                      // of Run while it takes work, else nil; guarded by mu, as all below
	owed     map[ooo.RecordID]map[string]dueTimes // by folded address: those with a state to deliver
	inFlight map[key]struct{}
}

// key names an address of a mailbox.
type key struct {
	id      ooo.RecordID
	address string // folded
}

const (
	// stopTime is how long results are waited for when the replica stops.
	stopTime = 10 * time.Second
	// recheck is the time until a delivery is tried that must not begin now: the
	// ownership was not confirmed in time, or the partition drains.
	recheck = 250 * time.Millisecond
)

// New returns a deliverer that is ready to Run.
func New(cfg Config) (*Deliverer, error) {
	if cfg.Registry == nil || cfg.Mediator == nil || cfg.InTime == nil {
		return nil, errors.New("deliver: Registry, Mediator and InTime are required")
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 8
	}
	if cfg.Attempted == nil {
		cfg.Attempted = func(Result, time.Duration, time.Duration) {}
	}
	if cfg.Tracer == nil {
		cfg.Tracer = noop.Tracer{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Deliverer{
		cfg: cfg, queue: schedule.New[key](), resends: schedule.New[key](), slots: make(chan struct{}, cfg.Concurrency),
		owed: map[ooo.RecordID]map[string]dueTimes{}, inFlight: map[key]struct{}{},
	}, nil
}

// Changed schedules the deliveries of a mailbox.
func (d *Deliverer) Changed(m *ooo.Mailbox) { d.refresh(m.ID) }

// Dropped forgets the deliveries of a mailbox.
func (d *Deliverer) Dropped(id ooo.RecordID) { d.refresh(id) }

// Hinted schedules what a hint asks for: to deliver the present state again.
func (d *Deliverer) Hinted(h ooo.Hint) {
	if h.Kind == ooo.HintResend {
		d.resends.Set(key{h.ID, h.Subject}, time.Now())
	}
}

// refresh schedules the deliveries of a mailbox by its newest record.
func (d *Deliverer) refresh(id ooo.RecordID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m, ok := d.cfg.Registry.Get(id) // under mu, so that an older record never comes after a newer one
	before, owed, now := d.owed[id], map[string]dueTimes{}, time.Now()
	if ok && m.State != nil {
		for i := range m.Addresses {
			a := &m.Addresses[i]
			if !a.Owed() {
				continue
			}
			k := key{id, a.Folded()}
			due := before[k.address].of(a, now)
			owed[k.address] = due
			if _, busy := d.inFlight[k]; !busy {
				d.queue.Set(k, due.at())
			}
		}
	}
	for address := range before {
		if _, still := owed[address]; !still {
			d.queue.Remove(key{id, address})
		}
	}
	if delete(d.owed, id); len(d.owed) == 0 { // or the room of the largest burst would stay
		d.owed = map[ooo.RecordID]map[string]dueTimes{}
	}
	if len(owed) > 0 {
		d.owed[id] = owed
	}
}

// Run delivers until ctx ends. Then it begins nothing more and returns when the calls
// in flight have ended and their results are saved, or after 10 s.
func (d *Deliverer) Run(ctx context.Context) error {
	d.mu.Lock()
	d.run = ctx
	d.mu.Unlock()
	var g errgroup.Group
	g.Go(func() error { return d.carryOutResends(ctx) })
	for d.queue.Wait(ctx) == nil {
		if !d.cfg.InTime() {
			schedule.Sleep(ctx, recheck)
			continue
		}
		select {
		case d.slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		if k, ok := d.take(); ok {
			go d.deliver(ctx, k)
		} else {
			<-d.slots
		}
	}
	d.mu.Lock()
	d.run = nil
	d.mu.Unlock()
	_ = g.Wait() // it returns nil
	ended := make(chan struct{})
	go func() { d.calls.Wait(); close(ended) }()
	limit := time.NewTimer(stopTime)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
	}
	return nil
}

// take returns the address that has been due longest, whose attempt is in flight from
// now on until it has landed.
func (d *Deliverer) take() (key, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	due := d.queue.Take(time.Now(), 1)
	if len(due) == 0 {
		return key{}, false
	}
	d.inFlight[due[0]] = struct{}{}
	d.calls.Add(1)
	return due[0], true
}

// landed notes that an attempt is over, and schedules what is to be delivered next.
func (d *Deliverer) landed(k key) {
	d.mu.Lock()
	delete(d.inFlight, k)
	d.mu.Unlock()
	d.refresh(k.id)
	d.calls.Done()
}

// postponed is landed for an attempt that must not begin now.
func (d *Deliverer) postponed(k key) {
	d.landed(k)
	if at, ok := d.queue.At(k); ok && at.Before(time.Now().Add(recheck)) {
		d.queue.Set(k, time.Now().Add(recheck))
	}
}

// carryOutResends does what hints ask for until ctx ends.
func (d *Deliverer) carryOutResends(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(d.cfg.Concurrency)
	for d.resends.Wait(ctx) == nil {
		for _, k := range d.resends.Take(time.Now(), d.cfg.Concurrency) {
			g.Go(func() error {
				d.resend(ctx, k)
				return nil
			})
		}
	}
	return g.Wait()
}

// resend gives the state of an address a new sequence number and webhook id, because a
// hint asks for it. An address without a state yet receives its first one anyway.
func (d *Deliverer) resend(ctx context.Context, k key) {
	var hint ooo.Hint
	resent, after := false, func(bool) {}
	_, err := d.cfg.Registry.Update(ctx, k.id, func(draft *mailbox.Draft) error {
		for _, h := range d.cfg.Registry.Hints(k.id, ooo.HintResend) {
			if h.Subject == k.address {
				hint = h
			}
		}
		a := draft.Address(k.address)
		if hint.Nonce == "" || a == nil || a.Sequence == 0 || draft.State == nil {
			return mailbox.ErrUnchanged
		}
		draft.Resend(a, time.Now().UTC())
		draft.Done(hint)
		after = d.BeginDelivery(draft)
		resent = true
		return nil
	})
	after(err == nil)
	if err == nil && !resent && hint.Nonce != "" {
		err = d.cfg.Registry.Done(ctx, hint)
	}
	if err != nil && !errors.Is(err, ooo.ErrNotOwner) && !errors.Is(err, ooo.ErrNotMonitored) {
		d.cfg.Log.DebugContext(ctx, "resend not carried out, retrying", "mailbox", shown(k.id), "err", err)
		d.resends.Set(k, time.Now().Add(time.Second))
	}
}

// shown is how a log names a record: addresses are not logged.
func shown(id ooo.RecordID) string {
	if id.Unresolved() {
		return "unresolved"
	}
	return string(id)
}

// Backlog returns how full and how late this work is.
func (d *Deliverer) Backlog(now time.Time) schedule.Backlog { return d.queue.Backlog(now) }
