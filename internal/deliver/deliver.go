// Package deliver sends the states of mailboxes to the mediator.
//
// It works on the mailboxes that this replica owns. An address with an unacknowledged
// state is scheduled. The number of calls in flight is limited, and the address that has
// been due longest goes first. Addresses whose last call took 5 s or longer leave a quarter of
// the calls to the others, so that they don't delay them. Each address has at most one attempt
// in flight, which sends its newest state: states arrive in order, without those overtaken
// while the mediator was away. The beginning of an attempt is saved before the call, usually in
// one write with the state itself ([Deliverer.BeginDelivery]), and its result right after the
// call. The webhook id belongs to the state, so the mediator can recognize a repeated state.
//
// Two owners never send states of one address at the same time. No request is written
// unless the ownership was confirmed in time. Once a request is written, only its own
// timeout of 30 s ends the call, because the mediator would process the request anyway.
// If the owner dies during a call, the next owner finds an attempt without a result and
// sends nothing until 12 s after it began: by then the mediator, which waits up to 10 s
// for speech, has finished.
//
// Refused and failed deliveries are retried forever with backoff. A newer state cuts a
// wait short, unless the mediator asked for the wait with a Retry-After. A Retry-After
// with a refusal is only about the refused state. A monitor request ends the wait after a
// refusal: the API leaves a wish for a refused address even if nothing else changes
// (restart in package api), and its owner then makes the delivery due (fulfil in package
// mailbox). [Syncer] asks the mediator for its users.
package deliver

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.opentelemetry.io/otel/trace"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Config configures a [Deliverer]. All of it is required.
type Config struct {
	Registry *mailbox.Registry
	Mediator *Mediator
	// InTime reports whether this replica may start work now: its ownership was confirmed
	// recently.
	InTime      func() bool
	Concurrency int // limit on calls in flight

	// OnAttempt is called after each attempt that was sent, with its outcome (delivered, refused, or
	// pending if it is retried), the source of the state, the duration of the call, and
	// the time since the change was recorded.
	OnAttempt func(state ooo.DeliveryState, source ooo.Source, took, since time.Duration)
	Tracer    trace.Tracer // of attempts
	Log       *slog.Logger
}

// Deliverer is the [mailbox.Worker] that sends states to the mediator.
type Deliverer struct {
	cfg   Config
	queue *schedule.Queue[key] // pending addresses without an attempt in flight
	slots chan struct{}        // capacity Concurrency: calls in flight
	calls sync.WaitGroup
	slow  *lru.Cache[key, struct{}] // addresses whose last call took slowAnswer, or was not answered

	mu       sync.Mutex
	running  bool                                // calls may start; guarded by mu, as all below
	pending  map[ooo.RecordID]map[string]dueTime // by folded address; those with a state to deliver or resend
	inFlight map[key]struct{}
	// abandoned is until when the mediator may still be processing the attempt of an earlier owner
	// for an address whose monitoring ended since.
	abandoned map[key]time.Time
}

// key identifies an address of a mailbox.
type key struct {
	id      ooo.RecordID
	address string // folded
}

const (
	// stopTimeout is how long a stopping replica waits for results.
	stopTimeout = 10 * time.Second
	// slowAnswer is how long a call takes that would delay others if all calls were like it; the
	// mediator takes up to 10 s for speech, and may answer 403 only then.
	slowAnswer = 5 * time.Second
	maxSlow    = 10_000 // addresses; beyond it those that have been slow for longest are forgotten
	// beginRetry is the wait before the next try of a delivery that must not begin now:
	// the ownership was not confirmed in time, or the partition drains.
	beginRetry = 250 * time.Millisecond
)

// New returns a deliverer that is ready to Run.
func New(cfg Config) *Deliverer {
	slow, _ := lru.New[key, struct{}](maxSlow) // fails only for a size below 1
	return &Deliverer{
		cfg: cfg, queue: schedule.New[key](), slots: make(chan struct{}, cfg.Concurrency), slow: slow,
		pending: map[ooo.RecordID]map[string]dueTime{}, inFlight: map[key]struct{}{}, abandoned: map[key]time.Time{},
	}
}

// Hinted implements [mailbox.Worker].
func (d *Deliverer) Hinted(h ooo.Hint) {
	if h.Kind == ooo.HintResend {
		d.Refresh(h.ID)
	}
}

// Backlog returns how many deliveries are scheduled and how late they are.
func (d *Deliverer) Backlog(now time.Time) schedule.Backlog { return d.queue.Backlog(now) }

// Refresh implements [mailbox.Worker]. It schedules the deliveries of a mailbox by its newest
// record and its hints.
func (d *Deliverer) Refresh(id ooo.RecordID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	before, pending := d.pending[id], d.dueTimes(id, now)
	for address, due := range pending {
		d.schedule(key{id, address}, due.at, now)
	}
	for address, due := range before {
		if _, still := pending[address]; still {
			continue
		}
		k := key{id, address}
		d.queue.Remove(k)
		if _, own := d.inFlight[k]; !own && !due.inFlight.IsZero() { // an earlier owner's attempt
			d.abandoned[k] = due.at
		}
	}
	maps.DeleteFunc(d.abandoned, func(_ key, until time.Time) bool { return !until.After(now) })
	if delete(d.pending, id); len(d.pending) == 0 { // an empty map keeps the memory of its largest burst
		d.pending = map[ooo.RecordID]map[string]dueTime{}
	}
	if len(pending) > 0 {
		d.pending[id] = pending
	}
}

// dueTimes returns when the addresses of a mailbox are due that have a state to deliver or resend.
// The caller must hold mu.
func (d *Deliverer) dueTimes(id ooo.RecordID, now time.Time) map[string]dueTime {
	m, ok := d.cfg.Registry.Get(id)
	if !ok {
		return nil
	}
	pending := map[string]dueTime{}
	for i := range m.Addresses {
		if a := &m.Addresses[i]; a.Undelivered() && m.State != nil {
			pending[a.Folded()] = d.due(key{id, a.Folded()}, a, now)
		}
	}
	for _, h := range d.cfg.Registry.Hints(id, ooo.HintResend) {
		pending[h.Subject] = dueTime{at: now}
	}
	return pending
}

// schedule schedules the next delivery for an address, unless one is in flight: its end schedules
// the next. The caller must hold mu.
func (d *Deliverer) schedule(k key, at, now time.Time) {
	if _, busy := d.inFlight[k]; busy {
		return
	}
	behind := now.Add(beginRetry)
	if d.slow.Contains(k) && at.Before(behind) { // behind the slow ones that take has postponed
		d.queue.Sooner(k, behind)
	} else {
		d.queue.Set(k, at)
	}
}

// Run delivers until ctx ends. Then it starts no more calls and returns when the calls in
// flight have ended and their results are saved, or after 10 s.
func (d *Deliverer) Run(ctx context.Context) error {
	d.mu.Lock()
	d.running = true
	d.mu.Unlock()
	for d.queue.Wait(ctx) == nil {
		if !d.cfg.InTime() {
			schedule.Sleep(ctx, beginRetry)
			continue
		}
		select {
		case d.slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		if k, ok := d.take(); ok {
			go d.deliver(k)
		} else {
			<-d.slots
		}
	}
	d.mu.Lock()
	d.running = false // from here on nothing adds to calls
	d.mu.Unlock()
	ended := make(chan struct{})
	go func() { d.calls.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(stopTimeout):
	}
	return nil
}

// ready reports whether a request may still be written.
func (d *Deliverer) ready() bool {
	d.mu.Lock()
	running := d.running
	d.mu.Unlock()
	return running && d.cfg.InTime()
}

// take returns the address that has been due longest and marks it as in flight. It postpones
// slow ones while they have all but a quarter of the slots. The caller must hold a slot for it.
func (d *Deliverer) take() (key, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	forOthers := max(cap(d.slots)/4, 1)
	forSlow := max(cap(d.slots)-forOthers, 1)
	for k := range d.inFlight {
		if d.slow.Contains(k) {
			forSlow--
		}
	}
	for due := d.queue.Take(now, 1); len(due) > 0; due = d.queue.Take(now, 1) {
		k := due[0]
		if d.slow.Contains(k) && forSlow <= 0 {
			d.queue.Set(k, now.Add(beginRetry))
			continue
		}
		d.inFlight[k] = struct{}{}
		d.calls.Add(1)
		return k, true
	}
	return key{}, false
}

// reserve takes a slot for an address and marks it as in flight. It returns false if the
// address is in flight already or slow, or no slot is free: while addresses are due, Run waits
// for the next free slot and gets it.
func (d *Deliverer) reserve(k key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, busy := d.inFlight[k]
	if busy || d.slow.Contains(k) || !d.running {
		return false
	}
	select {
	case d.slots <- struct{}{}:
		d.queue.Remove(k)
		d.inFlight[k] = struct{}{}
		d.calls.Add(1)
		return true
	default:
		return false
	}
}

// abort frees the slot of an attempt that did not begin and schedules the next try.
func (d *Deliverer) abort(k key) {
	<-d.slots
	d.finished(k)
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	later := now.Add(beginRetry)
	if due, ok := d.pending[k.id][k.address]; ok && due.at.Before(later) {
		d.schedule(k, later, now)
	}
}

// finished marks an attempt as ended and schedules the next delivery of the mailbox.
func (d *Deliverer) finished(k key) {
	d.mu.Lock()
	delete(d.inFlight, k)
	d.mu.Unlock()
	d.Refresh(k.id)
	d.calls.Done()
}
