// Package deliver sends the states of mailboxes to the mediator.
//
// It works on the mailboxes that this replica owns. An address with a state that the
// mediator has not acknowledged is scheduled; a few calls are in flight at a time, taken
// by whoever has been due longest. One attempt is in flight for an address, and it sends
// the newest state: so states arrive in order, and those that were overtaken while the
// mediator was away are left out. That an attempt begins is saved before the call, mostly
// in one write with the state itself ([Deliverer.BeginDelivery]), and its result right
// after it. The webhook id belongs to the state, so a repeated state can be recognized.
//
// Two owners never send states of one address at the same time. A request is not
// written once the ownership was not confirmed in time. Once it is written, nothing
// cuts the call but its own limit of 30 s, because the mediator would carry it out all
// the same. If the owner dies in between, the next one sees an attempt without a
// result, and sends nothing until 12 s after it began: by then the mediator, which
// waits up to 10 s for speech, has finished.
//
// What the mediator refuses and what fails is retried for ever with growing waits. A
// newer state cuts a wait short, except one that the mediator asked for by a Retry-After
// with anything but a refusal.
//
// The same mediator is asked for its users at start, on request and when Redis came
// back with older data; see [Syncer].
package deliver

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Config says what a [Deliverer] works with.
type Config struct {
	Registry *mailbox.Registry
	Mediator *Mediator
	// InTime reports whether this replica may start something now: its ownership was
	// confirmed a short while ago.
	InTime      func() bool
	Concurrency int // calls in flight at most; default 8

	// OnAttempt is called for each attempt: how it ended (delivered, refused, or pending:
	// it is retried), what the state was noticed by, the call's time, and the time from
	// the recorded change to now.
	OnAttempt func(state ooo.DeliveryState, source ooo.Source, took, since time.Duration)
	Tracer    trace.Tracer // of attempts
	Log       *slog.Logger
}

// Deliverer is the [mailbox.Worker] that sends states to the mediator.
type Deliverer struct {
	cfg   Config
	queue *schedule.Queue[key] // addresses with a state to deliver or to resend, and no attempt in flight
	slots chan struct{}        // capacity Concurrency: calls in flight
	calls sync.WaitGroup

	mu       sync.Mutex
	run      context.Context                 // of Run; nil before and after; guarded by mu, as all below
	owed     map[ooo.RecordID]map[string]due // by folded address: those with a state to deliver or to resend
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
func New(cfg Config) *Deliverer {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 8
	}
	return &Deliverer{
		cfg: cfg, queue: schedule.New[key](), slots: make(chan struct{}, cfg.Concurrency),
		owed: map[ooo.RecordID]map[string]due{}, inFlight: map[key]struct{}{},
	}
}

// Changed schedules the deliveries of a mailbox.
func (d *Deliverer) Changed(m *ooo.Mailbox) { d.refresh(m.ID) }

// Dropped forgets the deliveries of a mailbox.
func (d *Deliverer) Dropped(id ooo.RecordID) { d.refresh(id) }

// Hinted schedules what a hint asks for: to deliver the present state again.
func (d *Deliverer) Hinted(h ooo.Hint) {
	if h.Kind == ooo.HintResend {
		d.refresh(h.ID)
	}
}

// Backlog returns how full and how late this work is.
func (d *Deliverer) Backlog(now time.Time) schedule.Backlog { return d.queue.Backlog(now) }

// refresh schedules the deliveries of a mailbox by its newest record and its hints.
func (d *Deliverer) refresh(id ooo.RecordID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before, owed, now := d.owed[id], map[string]due{}, time.Now()
	if m, ok := d.cfg.Registry.Get(id); ok { // under mu, so that an older record never comes after a newer one
		for i := range m.Addresses {
			if a := &m.Addresses[i]; a.Undelivered() && m.State != nil {
				owed[a.Folded()] = before[a.Folded()].of(a, now)
			}
		}
		for _, h := range d.cfg.Registry.Hints(id, ooo.HintResend) {
			owed[h.Subject] = due{at: now}
		}
	}
	for address, due := range owed {
		if _, busy := d.inFlight[key{id, address}]; !busy {
			d.queue.Set(key{id, address}, due.at)
		}
	}
	for address := range before {
		if _, still := owed[address]; !still {
			d.queue.Remove(key{id, address})
		}
	}
	if delete(d.owed, id); len(d.owed) == 0 { // or the memory of the largest burst would stay
		d.owed = map[ooo.RecordID]map[string]due{}
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
	d.run = nil // from here on nobody adds to calls
	d.mu.Unlock()
	ended := make(chan struct{})
	go func() { d.calls.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(stopTime):
	}
	return nil
}

// ready reports whether a request may still be written.
func (d *Deliverer) ready() bool {
	d.mu.Lock()
	running := d.run != nil && d.run.Err() == nil
	d.mu.Unlock()
	return running && d.cfg.InTime()
}

// take returns the address that has been due longest, whose attempt is in flight from
// now on. The caller holds a slot for it.
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

// reserve takes a slot for an address whose attempt is not in flight, if one is free
// and nobody waits for it. The attempt is in flight then.
func (d *Deliverer) reserve(k key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, busy := d.inFlight[k]; busy || d.run == nil || d.run.Err() != nil {
		return false
	}
	if next, ok := d.queue.Next(); ok && !next.After(time.Now()) {
		return false
	}
	select {
	case d.slots <- struct{}{}:
	default:
		return false
	}
	d.queue.Remove(k)
	d.inFlight[k] = struct{}{}
	d.calls.Add(1)
	return true
}

// release notes that an attempt did not begin after all, and tries later.
func (d *Deliverer) release(k key) {
	<-d.slots
	d.finished(k)
	later := time.Now().Add(recheck)
	if at, ok := d.queue.At(k); ok && at.Before(later) {
		d.queue.Set(k, later)
	}
}

// finished notes that an attempt is over, and schedules what is to be delivered next.
func (d *Deliverer) finished(k key) {
	d.mu.Lock()
	delete(d.inFlight, k)
	d.mu.Unlock()
	d.refresh(k.id)
	d.calls.Done()
}
