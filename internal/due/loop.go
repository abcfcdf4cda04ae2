// Package due is the loop that every actor runs over its due queue: claim what
// is due, hand it to the actor's work, keep its leases alive meanwhile, and give
// it back with the time at which it is due again.
//
// # The story
//
// Reading, opening windows, delivering and subscribing differ in what they do
// with a user and in nothing else. So the queue's rules live here once: at most
// so many pieces of work in hand; a claim whose lease can't be extended stops
// its work, because someone else may have it by now; marks wake the loop, or hand
// it the user at once, and a look now and then finds what a lost wake-up missed;
// while Redis is away nothing is claimed and the waits grow; and when the process
// stops, what is in hand is finished or given back, so that another takes it at
// once.
package due

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// Queue is the durable due queue.
type Queue interface {
	// Claim returns up to n of the most overdue users, hidden from others for
	// the lease.
	Claim(ctx context.Context, q ooo.Queue, n int, lease time.Duration) (ooo.Batch, error)
	// Offer says how many more users the loop could work on at once, and for what
	// lease: whatever makes users due may claim so many for it, which come through
	// Handed. Less than 0 says that the loop has ended.
	Offer(q ooo.Queue, n int, lease time.Duration)
	Handed(q ooo.Queue) <-chan ooo.Claim
	// Extend renews the leases and returns the claims that are lost.
	Extend(ctx context.Context, q ooo.Queue, claims []ooo.Claim, lease time.Duration) (lost []ooo.Claim, err error)
	// Next says when the next user is due, as far as is known without asking;
	// zero: not known.
	Next(q ooo.Queue) time.Time
	// Done gives claims back.
	Done(ctx context.Context, q ooo.Queue, finished []ooo.Finished) error
	// Wake gets a value when something became due sooner than Claim said.
	Wake(q ooo.Queue) <-chan struct{}
	// Recall gets a value when something that is claimed was marked: it is due
	// again as soon as it is given back.
	Recall(q ooo.Queue) <-chan struct{}
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
	Gather time.Duration // how long finished work may wait for more before it is given back; default: Pace
	Idle   time.Duration // most time between two looks; default 15 s
	Grace  time.Duration // for the work in hand when stopping; default 8 s
	Log    *slog.Logger
}

// Loop works off one due queue.
type Loop struct {
	cfg     Config
	results chan result   // capacity Workers: a finished piece never waits
	pieces  map[int]*hand // in hand, by number; only Run touches it, as all below
	number  int
	idle    chan func() // takes a piece of work when a worker waits for one

	finished []ooo.Finished // not yet given back
	silent   time.Duration  // wait while Redis is away; 0 while it answers

	looked   time.Time // when the queue was last looked at
	clock    Clock     // by what it answered then
	next     time.Time // when it will be
	give     time.Time // when what is finished will be given back; zero: nothing is
	recalled time.Time // when something in hand may last have been marked
	full     bool      // the last look found no worker free
	eager    bool      // somebody waits for what is finished
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

// firstSilence is the wait after Redis did not answer for the first time.
const firstSilence = 50 * time.Millisecond

// wakePace is the least time between two looks when marks come in a storm.
const wakePace = 2 * time.Millisecond

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
	return &Loop{cfg: cfg, results: make(chan result, cfg.Workers), pieces: map[int]*hand{}, idle: make(chan func())}, nil
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
	var workers sync.WaitGroup
	defer workers.Wait()
	defer close(l.idle)

	extend := time.NewTicker(l.cfg.Lease / 3)
	defer extend.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	wake, recall, handed := l.cfg.Queue.Wake(l.cfg.Name), l.cfg.Queue.Recall(l.cfg.Name), l.cfg.Queue.Handed(l.cfg.Name)
	for {
		select {
		case <-ctx.Done():
			l.wind(work, stop)
			return nil
		case <-extend.C:
			l.extend(ctx)
		case r := <-l.results:
			l.take(r)
		case <-wake:
			l.next = earlier(l.next, l.looked.Add(wakePace))
		case <-recall:
			if l.recalled = time.Now(); len(l.finished) > 0 {
				l.hurry()
			}
		case c := <-handed:
			l.begin(work, &workers, []ooo.Claim{c})
		case <-timer.C:
		}
		if !time.Now().Before(l.next) {
			wait := l.look(ctx, work, &workers)
			l.next = time.Now().Add(wait)
		}
		if !l.give.IsZero() && !time.Now().Before(l.give) {
			l.giveBack(ctx)
		}
		l.offer()
		timer.Reset(time.Until(earlier(l.give, l.next)))
	}
}

// offer says how much may be handed to the loop. Half of the workers are left to what
// is due: a storm of marks must not crowd it out.
func (l *Loop) offer() {
	if l.clock != nil { // Redis has answered
		l.cfg.Queue.Offer(l.cfg.Name, max(l.room()/2-len(l.pieces), 0), l.cfg.Lease)
	}
}

func (l *Loop) room() int { return min(l.cfg.Workers, l.cfg.Room()) }

// earlier returns the first of two times; a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// look claims what is due, starts the work on it, and returns how long nothing
// will be due.
func (l *Loop) look(ctx, work context.Context, workers *sync.WaitGroup) time.Duration {
	for len(l.results) > 0 {
		l.take(<-l.results)
	}
	l.looked = time.Now()
	free := l.room() - len(l.pieces) - len(l.cfg.Queue.Handed(l.cfg.Name))
	if l.full = free <= 0; l.full {
		return l.cfg.Idle // a result ends it
	}
	claiming, cancel := context.WithTimeout(ctx, l.cfg.Lease/patience)
	batch, err := l.cfg.Queue.Claim(claiming, l.cfg.Name, min(maxClaims, free*l.cfg.Group), l.cfg.Lease)
	cancel()
	answered := time.Now()
	if err != nil && len(batch.Claims) == 0 {
		return l.away(ctx, err)
	}
	if l.silent > 0 {
		l.silent = 0
		l.cfg.Log.InfoContext(ctx, "the queue answers again", "queue", l.cfg.Name)
	}
	l.clock = func() time.Time { return batch.Now.Add(time.Since(answered)) } // late rather than early
	for _, claims := range l.cfg.Split(batch.Claims) {
		l.begin(work, workers, claims)
	}
	return l.wait(batch)
}

// wait returns how long nothing will be due, by the batch.
func (l *Loop) wait(batch ooo.Batch) time.Duration {
	next := batch.Next
	if batch.Hold.After(next) {
		next = batch.Hold
	}
	if next.IsZero() {
		return l.cfg.Idle
	}
	return min(max(next.Sub(batch.Now), l.cfg.Pace), l.cfg.Idle)
}

// take notes a finished piece, to be given back soon if somebody waits for it,
// else when more has come together.
func (l *Loop) take(r result) {
	h := l.pieces[r.number]
	delete(l.pieces, r.number)
	h.alarm.Stop()
	h.cancel(nil)
	if l.full {
		l.next = earlier(l.next, l.looked.Add(l.cfg.Pace))
	}
	if len(r.finished) == 0 {
		return
	}
	l.finished = append(l.finished, r.finished...)
	if !l.recalled.Before(h.began) {
		l.hurry()
		return
	}
	at := l.looked.Add(l.cfg.Pace)
	if gathered := time.Now().Add(l.cfg.Gather); gathered.After(at) {
		at = gathered
	}
	l.give = earlier(l.give, at)
}

// hurry gives back soon what is finished, for somebody waits for it.
func (l *Loop) hurry() {
	l.eager = true
	l.give = earlier(l.give, l.looked.Add(wakePace))
}

// giveBack tells the queue what is finished. What Redis doesn't take is offered
// again, but not for longer than leases last: then it is claimed anew anyway.
func (l *Loop) giveBack(ctx context.Context) {
	giving, cancel := context.WithTimeout(ctx, l.cfg.Lease/patience)
	defer cancel()
	err := l.cfg.Queue.Done(giving, l.cfg.Name, l.finished)
	now := time.Now()
	if err != nil && len(l.finished) < 10*maxClaims { // the next Claim reports it
		l.give = now.Add(max(l.silent, firstSilence))
		return
	}
	l.finished, l.give = l.finished[:0], time.Time{}
	if l.eager {
		l.eager = false
		l.next = earlier(l.next, l.looked.Add(wakePace))
		return
	}
	// Some of those may be due before all that the claim knew of.
	if next := l.cfg.Queue.Next(l.cfg.Name); !next.IsZero() {
		l.next = earlier(l.next, now.Add(max(next.Sub(l.clock()), l.cfg.Pace)))
	}
}

// away logs the first of a row of failures and returns a wait that grows to 2 s.
func (l *Loop) away(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	if l.silent == 0 {
		l.cfg.Log.WarnContext(ctx, "the queue does not answer, will try on", "queue", l.cfg.Name, "err", err)
	}
	l.silent = min(max(2*l.silent, firstSilence), 2*time.Second)
	return l.silent
}

// wind ends the loop: the work in hand gets the grace, and what it did not
// finish is due at once for others.
func (l *Loop) wind(work context.Context, stop context.CancelCauseFunc) {
	grace := time.AfterFunc(l.cfg.Grace, func() { stop(context.Canceled) })
	defer grace.Stop()
	extend := time.NewTicker(l.cfg.Lease / 3)
	defer extend.Stop()
	ctx := context.WithoutCancel(work)
	l.cfg.Queue.Offer(l.cfg.Name, -1, l.cfg.Lease)
	for handed := l.cfg.Queue.Handed(l.cfg.Name); len(handed) > 0; {
		c := <-handed
		l.finished = append(l.finished, ooo.Finished{Claim: c, Next: c.Due, Again: true})
	}
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
