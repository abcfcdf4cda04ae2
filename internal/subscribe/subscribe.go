// Package subscribe keeps each monitored user covered by Graph subscriptions.
//
// # The story
//
// What is recorded of a user goes through [Plan], which names one step and its
// reason; the step is carried out and recorded, and the plan is asked again
// until there is nothing to do. When it should be asked again by itself is the
// user's due time in the subscribe queue: at two thirds of a subscription's
// life, or when a failed call may be repeated. Failures, and so the waits that
// grow with them, are kept in the record, so that neither a restart nor another
// replica starts them over.
//
// That a subscription is asked for is recorded before the call. If the answer is
// lost, with the process maybe, it is asked for again: Graph then names the one
// that it has, and that one is taken over. Its clientState needs no record
// because it is derived from the user and the resource; only the tag of the
// secret is noted.
//
// What can't be patched is replaced: first the new one is made, then the old one
// deleted. Where Graph refuses two for the same resource, the old one goes first
// and the user is read right after. What happened before a subscription existed
// is not announced, so after each creation the user is read.
//
// A mailbox may be monitored under several addresses, but Graph takes only one
// subscription of each kind for it. One of its users owns the cover, the first
// that asked for it; the others have none, and are woken by what the owner's
// notifications say. Users of one mailbox live in different parts of Redis, so
// who owns it is asked before each plan, is noted in each record, and is asked
// again now and then. When the owner leaves, the next one makes the cover anew:
// the clientState names the user, so it can't be handed on.
//
// All writes of all replicas come out of one budget, which keeps a part for those
// who are not covered. A sweep, on one replica at a time, compares what Graph
// lists with the records: what vanished without a word is made anew, and what is
// nobody's is deleted.
package subscribe

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// Store keeps the records. Each write proves with the claim that the user is
// still ours; otherwise it is [ooo.ErrStale].
type Store interface {
	User(ctx context.Context, key ooo.Key) (ooo.User, error)
	Users(ctx context.Context, limit int, cursor string) (users []ooo.User, next string, err error)
	SaveSubscription(ctx context.Context, claim ooo.Claim, s ooo.Subscription) error
	DropSubscription(ctx context.Context, claim ooo.Claim, resource string) error
	ClearLifecycle(ctx context.Context, claim ooo.Claim, events ...ooo.Lifecycle) error
	Forget(ctx context.Context, claim ooo.Claim) error
	// JoinMailbox has a monitored user take part in its mailbox and records who
	// covers it. PartMailbox tells of the mailbox of one that is monitored no
	// longer, and LeaveMailbox ends its part, when nothing of it is left.
	JoinMailbox(ctx context.Context, claim ooo.Claim, user ooo.User) (ooo.Mailbox, error)
	PartMailbox(ctx context.Context, user ooo.User) (ooo.Mailbox, error)
	LeaveMailbox(ctx context.Context, user ooo.User) error
	Mark(ctx context.Context, q ooo.Queue, marks ...ooo.Mark) (known int, err error)
	// Hold makes all replicas leave the queues alone until then.
	Hold(ctx context.Context, until time.Time, queues ...ooo.Queue) error
	Now(ctx context.Context) (time.Time, error)
	// SpendWrite takes one from the budget of writes and returns 0, or returns how
	// long to wait; kept is the share that is left to others.
	SpendWrite(ctx context.Context, kept float64) (time.Duration, error)
	Heard(ctx context.Context, key ooo.Key, events ...ooo.Lifecycle) error
	Lock(ctx context.Context, name string, ttl time.Duration) (unlock func(context.Context) error, err error)
	Stamp(ctx context.Context, name string) (time.Time, error)
	SetStamp(ctx context.Context, name string) error
}

// Graph has the subscriptions.
type Graph interface {
	CreateSubscription(ctx context.Context, request ooo.SubscriptionRequest) (ooo.GraphSubscription, error)
	PatchSubscription(ctx context.Context, id ooo.SubscriptionID, patch ooo.SubscriptionPatch) (ooo.GraphSubscription, error)
	DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error
	Subscriptions(ctx context.Context) iter.Seq2[ooo.GraphSubscription, error]
}

// Config says what a [Subscriber] works with.
type Config struct {
	Queue    due.Queue
	Store    Store
	Graph    Graph
	Settings Settings
	Lifetime time.Duration // asked for; what Graph returns is what counts

	// Keys derives clientStates. It may have to ask Redis.
	Keys func(ctx context.Context) (ooo.ClientStateKeys, error)

	// Certificate is what resource data is encrypted for; nil: none is asked for.
	Certificate func() (ooo.Certificate, error)

	SweepEvery time.Duration // between two sweeps; default 30 min
	ListPause  time.Duration // between two pages of the list of subscriptions; default 1 s

	// Stepped hears of each step; err is nil when it worked. Swept hears of each
	// sweep. Both may be nil.
	Stepped func(step Step, err error)
	Swept   func(Swept)
	Log     *slog.Logger
}

// Subscriber runs the subscribe queue.
type Subscriber struct {
	cfg   Config
	loop  *due.Loop
	lanes map[bool]chan struct{} // capacity 1 each: who waits for the budget, by whether it keeps a part for others
	lists chan struct{}          // capacity 1: who lists

	mu      sync.Mutex
	granted map[string]time.Duration // by what is limited: the longest life Graph grants, as it said; guarded by mu
}

const (
	lease   = 10 * time.Second // extended while Graph takes its time
	workers = 48               // Graph takes a second or two for each
	changes = "created,updated,deleted"
	// margin keeps a life that Graph named as its limit under that limit, which
	// it checks to the millisecond.
	margin = time.Minute
)

// New returns a subscriber that is ready to Run.
func New(cfg Config) (*Subscriber, error) {
	switch {
	case cfg.Queue == nil, cfg.Store == nil, cfg.Graph == nil, cfg.Keys == nil:
		return nil, errors.New("subscribe: Queue, Store, Graph and Keys are required")
	case cfg.Lifetime <= 0:
		return nil, fmt.Errorf("subscribe: Lifetime is %v, want more than 0", cfg.Lifetime)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Stepped == nil {
		cfg.Stepped = func(Step, error) {}
	}
	if cfg.Swept == nil {
		cfg.Swept = func(Swept) {}
	}
	if cfg.SweepEvery <= 0 {
		cfg.SweepEvery = 30 * time.Minute
	}
	if cfg.ListPause <= 0 {
		cfg.ListPause = time.Second
	}
	s := &Subscriber{
		cfg: cfg, granted: map[string]time.Duration{}, lists: make(chan struct{}, 1),
		lanes: map[bool]chan struct{}{false: make(chan struct{}, 1), true: make(chan struct{}, 1)},
	}
	var err error
	s.loop, err = due.New(due.Config{
		Queue: cfg.Queue, Name: ooo.SubscribeQueue, Lease: lease,
		Workers: workers, Work: s.tend, Log: cfg.Log,
	})
	return s, err
}

// Run keeps users covered until ctx ends and returns when the calls in flight
// are done.
func (s *Subscriber) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.loop.Run(ctx) })
	g.Go(func() error { return s.review(ctx) })
	if s.cfg.Settings.NotificationURL != "" {
		g.Go(func() error { return s.sweeps(ctx) })
	}
	return g.Wait()
}

// review marks the users whose cover no longer fits the settings: their own due
// time may be days away. It tries, with growing waits, until it has seen all or
// ctx ends.
func (s *Subscriber) review(ctx context.Context) error {
	for failures := 1; ; failures++ {
		err := s.compare(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if failures == 1 {
			s.cfg.Log.WarnContext(ctx, "the cover of some users could not be compared with the settings, will try on", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(due.Backoff(failures, time.Second, time.Minute)):
		}
	}
}

func (s *Subscriber) compare(ctx context.Context) error {
	want, err := s.want(ctx)
	if err != nil {
		return err
	}
	now, err := s.cfg.Store.Now(ctx)
	if err != nil {
		return err
	}
	all := newRoll()
	for cursor := ""; ; {
		users, next, err := s.cfg.Store.Users(ctx, 500, cursor)
		if err != nil {
			return err
		}
		var marks []ooo.Mark
		for _, u := range users {
			all.add(u)
			if Plan(u, want, now).Action != Nothing {
				marks = append(marks, ooo.Mark{Key: u.Key, Source: ooo.SourcePoll})
			}
		}
		if len(marks) > 0 {
			if _, err := s.cfg.Store.Mark(ctx, ooo.SubscribeQueue, marks...); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "" {
			return s.wake(ctx, all.disagree()...)
		}
	}
}

// most bounds the steps of one look: more would mean that plan and record
// disagree.
const most = 16

// tend carries out what is planned for one user until there is nothing to do.
func (s *Subscriber) tend(ctx context.Context, clock due.Clock, claims []ooo.Claim) []ooo.Finished {
	c := claims[0]
	for range most {
		user, err := s.cfg.Store.User(ctx, c.Key)
		if errors.Is(err, ooo.ErrNotMonitored) {
			return []ooo.Finished{{Claim: c}}
		}
		var want Settings
		if err == nil {
			want, err = s.want(ctx)
		}
		var box ooo.Mailbox
		if err == nil {
			box, err = s.place(ctx, c, &user)
		}
		var step Step
		if err == nil {
			step = Plan(user, want, clock())
			if step.Action == Nothing {
				return s.settle(ctx, c, user, step)
			}
			err = work{s, clock, c, user, want, step, box}.do(ctx)
		}
		switch {
		case errors.Is(err, ooo.ErrStale):
			return nil
		case ctx.Err() != nil:
			return []ooo.Finished{{Claim: c, Next: c.Due}}
		case err != nil:
			s.cfg.Log.WarnContext(ctx, "cover could not be recorded, will try on", "user", c.Key, "err", err)
			return []ooo.Finished{{Claim: c, Next: clock().Add(2 * time.Second), Failed: true}}
		case step.Action == Forget:
			return []ooo.Finished{{Claim: c}}
		}
	}
	s.cfg.Log.ErrorContext(ctx, "a user's cover does not settle", "user", c.Key)
	return []ooo.Finished{{Claim: c, Next: clock().Add(time.Minute), Failed: true}}
}

// want returns the settings with the secrets and the certificate of now.
func (s *Subscriber) want(ctx context.Context) (Settings, error) {
	want := s.cfg.Settings
	var err error
	if want.Keys, err = s.cfg.Keys(ctx); err == nil && s.cfg.Certificate != nil {
		want.Certificate, err = s.cfg.Certificate()
	}
	return want, err
}

// settle clears the lifecycle events that ask for nothing more and says when to
// plan again. A reauthorization that failed stays noted until it has worked.
func (s *Subscriber) settle(ctx context.Context, c ooo.Claim, user ooo.User, step Step) []ooo.Finished {
	var over []ooo.Lifecycle
	for _, e := range user.Lifecycle {
		ours := slices.ContainsFunc(user.Subscriptions, func(s ooo.Subscription) bool { return s.ID == e.SubscriptionID })
		if e.Kind != ooo.ReauthorizationRequired || !ours {
			over = append(over, e)
		}
	}
	if len(over) > 0 {
		if err := s.cfg.Store.ClearLifecycle(ctx, c, over...); err != nil && !errors.Is(err, ooo.ErrStale) {
			s.cfg.Log.DebugContext(ctx, "lifecycle events stay noted", "user", c.Key, "err", err)
		}
	}
	return []ooo.Finished{{Claim: c, Next: step.Next}}
}
