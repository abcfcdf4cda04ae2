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
// That a subscription is asked for is recorded before the call. A process that
// dies in between leaves a user whose subscription Graph may have: it is looked
// for and taken over, not made twice. Its clientState needs no record because it
// is derived from the user and the resource.
//
// What happened before a subscription existed is not announced, so after each
// creation the user is read.
package subscribe

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

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
	Mark(ctx context.Context, q ooo.Queue, marks ...ooo.Mark) (known int, err error)
	Hold(ctx context.Context, until time.Time) error
	Now(ctx context.Context) (time.Time, error)
}

// Graph has the subscriptions.
type Graph interface {
	CreateSubscription(ctx context.Context, request ooo.SubscriptionRequest) (ooo.GraphSubscription, error)
	RenewSubscription(ctx context.Context, id ooo.SubscriptionID, expires time.Time) (ooo.GraphSubscription, error)
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

	// Stepped hears of each step; err is nil when it worked. It may be nil.
	Stepped func(step Step, err error)
	Log     *slog.Logger
}

// Subscriber runs the subscribe queue.
type Subscriber struct {
	cfg  Config
	loop *due.Loop

	mu      sync.Mutex
	granted map[string]time.Duration // by resource: the longest life Graph grants, as it said; guarded by mu
}

const (
	lease   = 10 * time.Second // extended while Graph takes its time
	workers = 8
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
	s := &Subscriber{cfg: cfg, granted: map[string]time.Duration{}}
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
	s.review(ctx)
	return s.loop.Run(ctx)
}

// review marks the users whose cover no longer fits the settings: their own due
// time may be days away.
func (s *Subscriber) review(ctx context.Context) {
	want, err := s.want(ctx)
	var now time.Time
	if err == nil {
		now, err = s.cfg.Store.Now(ctx)
	}
	for cursor, more := "", err == nil; more; more = cursor != "" && err == nil {
		var users []ooo.User
		if users, cursor, err = s.cfg.Store.Users(ctx, 500, cursor); err != nil {
			break
		}
		var marks []ooo.Mark
		for _, u := range users {
			if Plan(u, want, now).Action != Nothing {
				marks = append(marks, ooo.Mark{Key: u.Key, Source: ooo.SourcePoll})
			}
		}
		if len(marks) > 0 {
			_, err = s.cfg.Store.Mark(ctx, ooo.SubscribeQueue, marks...)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.WarnContext(ctx, "the cover of some users could not be compared with the settings", "err", err)
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
		var step Step
		if err == nil {
			step = Plan(user, want, clock())
			if step.Action == Nothing {
				return s.settle(ctx, c, user, step)
			}
			err = s.do(ctx, clock, want.Keys, c, user, step)
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

// want returns the settings with the secrets that are accepted now.
func (s *Subscriber) want(ctx context.Context) (Settings, error) {
	want := s.cfg.Settings
	var err error
	want.Keys, err = s.cfg.Keys(ctx)
	return want, err
}

// settle clears the lifecycle events that were acted on, or that name no
// subscription of this user, and says when to plan again.
func (s *Subscriber) settle(ctx context.Context, c ooo.Claim, user ooo.User, step Step) []ooo.Finished {
	if len(user.Lifecycle) > 0 {
		if err := s.cfg.Store.ClearLifecycle(ctx, c, user.Lifecycle...); err != nil && !errors.Is(err, ooo.ErrStale) {
			s.cfg.Log.DebugContext(ctx, "lifecycle events stay noted", "user", c.Key, "err", err)
		}
	}
	return []ooo.Finished{{Claim: c, Next: step.Next}}
}
