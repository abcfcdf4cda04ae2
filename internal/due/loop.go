// Package due is the loop that every actor runs over its due queue: claim what
// is due, hand it to the actor's work, keep its leases alive meanwhile, and give
// it back with the time at which it is due again.
//
// # The story
//
// Reading, opening windows, delivering and subscribing differ in what they do
// with a user and in nothing else. So the queue's rules live here once: at most
// so many pieces of work in hand; a claim whose lease can't be extended stops
// its work, because someone else may have it by now; marks wake the loop, and a
// look now and then finds what a lost wake-up missed; while Redis is away
// nothing is claimed and the waits grow; and when the process stops, what is in
// hand is finished or given back, so that another takes it at once.
package due

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/ooo"
)

// Queue is the durable due queue.
type Queue interface {
	// Claim returns up to n of the most overdue users, hidden from others for
	// the lease.
	Claim(ctx context.Context, q ooo.Queue, n int, lease time.Duration) (ooo.Batch, error)
	// Extend renews the leases and returns the claims that are lost.
	Extend(ctx context.Context, q ooo.Queue, claims []ooo.Claim, lease time.Duration) (lost []ooo.Claim, err error)
	// Next says when the next user is due, as far as is known without asking;
	// zero: not known.
	Next(q ooo.Queue) time.Time
	// Done gives claims back.
	Done(ctx context.Context, q ooo.Queue, finished []ooo.Finished) error
	// Wake gets a value when something became due sooner than Claim said.
	Wake(q ooo.Queue) <-chan struct{}
}

// Clock tells the time that replicas share: Redis' clock when the claim was
// made, moved on by this process' own.
type Clock func() time.Time

// Config says what a [Loop] works on and how.
type Config struct {
	Queue Queue
	Name  ooo.Queue
	Lease time.Duration // a dead process' users wait at most this long

	// Workers bounds the pieces of work in hand.
	Workers int
	// Room says how many of the Workers may be in use now; nil: all.
	Room  func() int
	Group int // claims in one piece at most; default 1
	// Split forms pieces of work out of claims; nil: one piece for each claim.
	Split func(claims []ooo.Claim) [][]ooo.Claim
	// Work handles one piece and says when each user is due again. A claim that
	// it does not mention is no longer ours. Its context ends when a lease is
	// lost, and Grace after Run's context has.
	Work func(ctx context.Context, clock Clock, claims []ooo.Claim) []ooo.Finished

	Pace   time.Duration // least time between two looks without a wake-up; default 20 ms
	Gather time.Duration // how long finished work may wait for more before it is given back; default: not
	Idle   time.Duration // most time between two looks; default 15 s
	Grace  time.Duration // for the work in hand when stopping; default 8 s
	Log    *slog.Logger
}

// Loop works off one due queue.
type Loop struct {
	cfg     Config
	results chan result   // capacity Workers: a finished piece never waits
	pieces  map[int]*hand // in hand, by number; only Run touches it
	number  int

	finished []ooo.Finished // not yet given back
	silent   time.Duration  // wait while Redis is away; 0 while it answers

	looked time.Time   // when the queue was last looked at
	next   time.Time   // when it will be
	timer  *time.Timer // goes off then
	woken  time.Time   // when something in hand may last have been marked
	full   bool        // the last look found no worker free
	eager  bool        // somebody waits for what is finished
}

// hand is a piece of work in hand.
type hand struct {
	claims []ooo.Claim
	began  time.Time
	until  atomic.Pointer[time.Time] // the lease, counted from before it was asked for
	cancel context.CancelCauseFunc
	alarm  *time.Timer // cancels at until, even while the loop waits for Redis
}

type handKey struct{}

// Held says whether the lease of the work that has this context still lasts. A
// process that was stopped for a while finds that out here first, and should
// look before it does what can't be undone.
func Held(ctx context.Context) bool {
	h, ok := ctx.Value(handKey{}).(*hand)
	return !ok || time.Now().Before(*h.until.Load())
}

type result struct {
	number   int
	finished []ooo.Finished
}

// maxClaims bounds what one look takes.
const maxClaims = 500

// patience says what part of a lease Redis may take for an answer: one master of
// a Cluster that hangs must not let the claims on the others run out.
const patience = 4

// wakePace is the least time between two looks when marks come in a storm.
const wakePace = 2 * time.Millisecond

var errLeaseLost = errors.New("the lease was lost")

// New returns a loop that is ready to Run.
func New(cfg Config) (*Loop, error) {
	switch {
	case cfg.Queue == nil:
		return nil, errors.New("due: Queue is required")
	case cfg.Work == nil:
		return nil, errors.New("due: Work is required")
	case cfg.Name == "":
		return nil, errors.New("due: Name is required")
	case cfg.Lease <= 0:
		return nil, fmt.Errorf("due: Lease is %v, want more than 0", cfg.Lease)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Split == nil {
		cfg.Split = singly
	}
	cfg.Workers, cfg.Group = max(cfg.Workers, 1), max(cfg.Group, 1)
	if cfg.Room == nil {
		cfg.Room = func() int { return cfg.Workers }
	}
	cfg.Pace = orDefault(cfg.Pace, 20*time.Millisecond)
	cfg.Idle = orDefault(cfg.Idle, 15*time.Second)
	cfg.Grace = orDefault(cfg.Grace, 8*time.Second)
	return &Loop{cfg: cfg, results: make(chan result, cfg.Workers), pieces: map[int]*hand{}}, nil
}

func orDefault(d, standard time.Duration) time.Duration {
	if d <= 0 {
		return standard
	}
	return d
}

func singly(claims []ooo.Claim) [][]ooo.Claim {
	pieces := make([][]ooo.Claim, len(claims))
	for i := range claims {
		pieces[i] = claims[i : i+1]
	}
	return pieces
}

// Run works until ctx ends, then finishes or gives back what is in hand.
func (l *Loop) Run(ctx context.Context) error {
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(context.Canceled)
	var running sync.WaitGroup
	defer running.Wait()

	extend := time.NewTicker(l.cfg.Lease / 3)
	defer extend.Stop()
	l.timer = time.NewTimer(0)
	defer l.timer.Stop()
	wake := l.cfg.Queue.Wake(l.cfg.Name)
	for {
		select {
		case <-ctx.Done():
			l.wind(work, stop)
			return nil
		case <-extend.C:
			l.extend(ctx)
			continue
		case r := <-l.results:
			l.by(l.take(r))
			continue
		case <-wake:
			l.woken = time.Now()
			l.by(l.looked.Add(wakePace))
			continue
		case <-l.timer.C:
		}
		l.looked = time.Now()
		l.next = l.looked.Add(l.look(ctx, work, &running))
		l.timer.Reset(time.Until(l.next))
	}
}

// by makes the loop look at the queue no later than at.
func (l *Loop) by(at time.Time) {
	if at.Before(l.next) {
		l.next = at
		l.timer.Reset(time.Until(at))
	}
}

// look claims what is due, starts the work on it, gives back what is finished,
// which nobody waits for, and returns how long nothing will be due.
func (l *Loop) look(ctx, work context.Context, running *sync.WaitGroup) time.Duration {
	for len(l.results) > 0 {
		l.take(<-l.results)
	}
	free := min(l.cfg.Workers, l.cfg.Room()) - len(l.pieces)
	if l.full = free <= 0; l.full {
		l.giveBack(ctx)
		return l.cfg.Idle // a result wakes the loop
	}
	asked := time.Now()
	claiming, cancel := context.WithTimeout(ctx, l.cfg.Lease/patience)
	batch, err := l.cfg.Queue.Claim(claiming, l.cfg.Name, min(maxClaims, free*l.cfg.Group), l.cfg.Lease)
	cancel()
	answered := time.Now()
	if err != nil && len(batch.Claims) == 0 {
		l.giveBack(ctx)
		return l.away(ctx, err)
	}
	if l.silent > 0 {
		l.silent = 0
		l.cfg.Log.InfoContext(ctx, "the queue answers again", "queue", l.cfg.Name)
	}
	clock := func() time.Time { return batch.Now.Add(time.Since(answered)) } // late rather than early
	for _, claims := range l.cfg.Split(batch.Claims) {
		l.begin(work, running, claims, asked, clock)
	}
	if !l.giveBack(ctx) {
		return l.wait(batch, batch.Now)
	}
	if l.eager {
		l.eager = false
		return wakePace
	}
	// Some of those may be due before all that the claim knew of.
	if next := l.cfg.Queue.Next(l.cfg.Name); !next.IsZero() && (batch.Next.IsZero() || next.Before(batch.Next)) {
		batch.Next = next
	}
	return l.wait(batch, clock())
}

func (l *Loop) begin(work context.Context, running *sync.WaitGroup, claims []ooo.Claim, asked time.Time, clock Clock) {
	ctx, cancel := context.WithCancelCause(work)
	l.number++
	number := l.number
	h := &hand{claims: claims, began: asked, cancel: cancel}
	h.until.Store(new(asked.Add(l.cfg.Lease)))
	h.alarm = time.AfterFunc(time.Until(*h.until.Load()), func() { cancel(errLeaseLost) })
	l.pieces[number] = h
	ctx = context.WithValue(ctx, handKey{}, h)
	running.Go(func() {
		l.results <- result{number, l.cfg.Work(ctx, clock, claims)}
	})
}

// wait returns how long nothing will be due, by the batch.
func (l *Loop) wait(batch ooo.Batch, now time.Time) time.Duration {
	next := batch.Next
	if batch.Hold.After(next) {
		next = batch.Hold
	}
	if next.IsZero() {
		return l.cfg.Idle
	}
	return min(max(next.Sub(now), l.cfg.Pace), l.cfg.Idle)
}

// take notes a finished piece and returns when to give it back: soon if somebody
// waits for it, else when more has come together.
func (l *Loop) take(r result) time.Time {
	h := l.pieces[r.number]
	delete(l.pieces, r.number)
	h.alarm.Stop()
	h.cancel(nil)
	l.finished = append(l.finished, r.finished...)
	if !l.woken.Before(h.began) {
		l.eager = true
		return l.looked.Add(wakePace)
	}
	at := l.looked.Add(l.cfg.Pace)
	if gathered := time.Now().Add(l.cfg.Gather); gathered.After(at) && len(l.pieces) > 0 && !l.full {
		at = gathered
	}
	return at
}

// giveBack tells the queue what is finished, and says whether it did. What Redis
// doesn't take is offered again, but not for longer than leases last: then it is
// claimed anew anyway.
func (l *Loop) giveBack(ctx context.Context) bool {
	if len(l.finished) == 0 {
		return false
	}
	giving, cancel := context.WithTimeout(ctx, l.cfg.Lease/patience)
	defer cancel()
	err := l.cfg.Queue.Done(giving, l.cfg.Name, l.finished)
	if err != nil && len(l.finished) < 10*maxClaims {
		return false // the next Claim reports it
	}
	l.finished = l.finished[:0]
	return err == nil
}

// away logs the first of a row of failures and returns a wait that grows to 2 s.
func (l *Loop) away(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	if l.silent == 0 {
		l.cfg.Log.WarnContext(ctx, "the queue does not answer, will try on", "queue", l.cfg.Name, "err", err)
	}
	l.silent = min(max(2*l.silent, 50*time.Millisecond), 2*time.Second)
	return l.silent
}

// extend keeps the leases of what is in hand and stops the work on what is lost.
func (l *Loop) extend(ctx context.Context) {
	now := time.Now()
	var claims []ooo.Claim
	for _, h := range l.pieces {
		claims = append(claims, h.claims...)
	}
	if len(claims) == 0 {
		return
	}
	extending, cancel := context.WithTimeout(ctx, l.cfg.Lease/patience)
	defer cancel()
	lost, err := l.cfg.Queue.Extend(extending, l.cfg.Name, claims, l.cfg.Lease)
	if err != nil {
		return // the alarms go off when the leases end
	}
	gone := make(map[string]bool, len(lost))
	for _, c := range lost {
		gone[c.Token+string(c.Key)] = true
	}
	for _, h := range l.pieces {
		if slices.ContainsFunc(h.claims, func(c ooo.Claim) bool { return gone[c.Token+string(c.Key)] }) {
			h.cancel(errLeaseLost)
			continue
		}
		until := now.Add(l.cfg.Lease)
		h.until.Store(&until)
		h.alarm.Reset(time.Until(until))
	}
}

// wind ends the loop: the work in hand gets the grace, and what it did not
// finish is due at once for others.
func (l *Loop) wind(work context.Context, stop context.CancelCauseFunc) {
	grace := time.AfterFunc(l.cfg.Grace, func() { stop(context.Canceled) })
	defer grace.Stop()
	extend := time.NewTicker(l.cfg.Lease / 3)
	defer extend.Stop()
	ctx := context.WithoutCancel(work)
	for len(l.pieces) > 0 {
		select {
		case r := <-l.results:
			l.take(r)
		case <-extend.C:
			l.extend(ctx)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if len(l.finished) > 0 {
		if err := l.cfg.Queue.Done(ctx, l.cfg.Name, l.finished); err != nil {
			l.cfg.Log.WarnContext(ctx, "claims could not be given back, their leases will end", "queue", l.cfg.Name, "err", err)
		}
	}
}
