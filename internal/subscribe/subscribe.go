// Package subscribe keeps each monitored mailbox covered by Graph subscriptions, and
// deletes them when monitoring stops.
//
// [Plan] is pure: it takes a record and the time and returns one step with a reason. The
// step is carried out and saved. Each save leads to a new plan, until nothing is left to
// do. A timed queue holds when each mailbox is planned next: when a subscription is due for
// renewal, or when a failed call may be retried. Failures are kept in the record, so neither
// a restart nor a new owner resets the backoff.
//
// The record says that a subscription is being created before the call is made. If the
// call is not answered, Graph refuses the next one and names the existing subscription,
// which is deleted and created again; where Graph accepts another one, or none is wanted any
// more, a sweep finds the first.
//
// A subscription that can't be patched is replaced: the new one is created before the old
// one is deleted. Where Graph refuses a second subscription to the same resource, the old
// one is deleted first. Graph announces nothing that happened before a subscription
// existed, so the mailbox is read after each creation.
//
// A hint "subscription" makes the owner patch each live subscription that was not renewed
// since: 200 means that it exists, after 404 it is created again. A list proves what
// exists and never what does not, so the sweep itself changes nothing. It leaves hints:
// "subscription" for subscriptions recorded but not listed, "stray" for those listed but
// not recorded. It does not delete strays, because it compares the list with Redis, which
// may have come back with older data: the owner has the current record in memory.
package subscribe

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// Graph is the part of Microsoft Graph that manages subscriptions.
type Graph interface {
	CreateSubscription(ctx context.Context, request ooo.SubscriptionRequest) (ooo.GraphSubscription, error)
	PatchSubscription(ctx context.Context, id ooo.SubscriptionID, patch ooo.SubscriptionRequest) (ooo.GraphSubscription, error)
	DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error
	SubscriptionPage(ctx context.Context, link string) (listed []ooo.GraphSubscription, next string, err error)
}

// Ownership is what this replica owns and may do now.
type Ownership interface {
	MayStart(partition int) bool                                  // whether work in that partition may start
	Share() float64                                               // of the budget for writes
	OwnsPartition0() bool                                         // whether this replica owns partition 0, and so sweeps
	Wait(name string) time.Duration                               // the rest of a wait that Graph asked of all replicas
	SetWait(ctx context.Context, name string, wait time.Duration) // makes all replicas wait
}

// Config configures a [Subscriber]. All of it is required.
type Config struct {
	Registry  *mailbox.Registry
	Owners    Ownership
	Graph     Graph
	Resources []string      // templates with {id}
	Lifetime  time.Duration // requested; Graph may grant less

	// URLs returns where Graph sends notifications, or nil while that is not known: then no step
	// starts. After a change, existing subscriptions are patched or replaced.
	URLs func() *URLs
	// Keys returns the keys that derive clientStates. It may call Redis.
	Keys func(ctx context.Context) (ooo.ClientStateKeys, error)
	// Certificate returns what encrypts resource data; zero: no resource data.
	Certificate func() ooo.Certificate
	// ReadNow schedules a read of a mailbox.
	ReadNow func(id ooo.RecordID, source ooo.Source)
	// Records returns the records of any partition.
	Records func(ctx context.Context, partition int) (store.Loaded, error)

	SweepInterval time.Duration
	OnStep        func(step Step, err error) // err is nil if the step succeeded
	OnSweep       func(SweepResult)
	Log           *slog.Logger
}

// Subscriber is the [mailbox.Worker] that carries out the steps for the mailboxes of
// this replica.
type Subscriber struct {
	cfg      Config
	queue    *schedule.Queue[ooo.RecordID] // by the time of the next plan
	calls    *schedule.Queue[ooo.RecordID] // whose step calls Graph, by the time of its plan
	writes   *rate.Limiter
	want     atomic.Pointer[Settings] // as last read; nil: not known yet
	inFlight sync.Map                 // the mailboxes with a step in flight, by id
	notified sync.Map                 // the last notification of a mailbox, by id, until its time is saved

	mu       sync.Mutex    // also held while Refresh brings the queues up to date
	lifetime time.Duration // to request: Lifetime, or Graph's limit if that is less; guarded by mu
}

// New returns a subscriber that is ready to Run.
func New(cfg Config) *Subscriber {
	return &Subscriber{
		cfg: cfg, queue: schedule.New[ooo.RecordID](), calls: schedule.New[ooo.RecordID](),
		writes: rate.NewLimiter(writeRate, writeBurst), lifetime: cfg.Lifetime,
	}
}

// Run keeps mailboxes covered until ctx ends, and returns once the steps in flight
// have ended.
func (s *Subscriber) Run(ctx context.Context) error {
	for !s.refreshSettings(ctx) {
		if !schedule.Sleep(ctx, settingsInterval) {
			return nil
		}
	}
	steps, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.queue.Each(ctx, concurrency, func(id ooo.RecordID) { s.dispatch(steps, id) }) })
	g.Go(func() error { return s.startCalls(ctx, steps) })
	g.Go(func() error { return s.runSweeps(ctx) })
	for schedule.Sleep(ctx, settingsInterval) {
		s.refreshSettings(ctx)
	}
	return g.Wait()
}

func (s *Subscriber) planNow(id ooo.RecordID) { s.queue.Set(id, time.Now()) }

// Refresh implements [mailbox.Worker].
func (s *Subscriber) Refresh(id ooo.RecordID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.cfg.Registry.Get(id); !ok {
		s.calls.Remove(id)
		s.notified.Delete(id)
	}
	s.planNow(id) // even without a record it may have strays
}

// Backlog returns how many mailboxes are scheduled and how late they are.
func (s *Subscriber) Backlog(now time.Time) schedule.Backlog {
	plans, calls := s.queue.Backlog(now), s.calls.Backlog(now)
	return schedule.Backlog{Waiting: plans.Waiting + calls.Waiting, Lag: max(plans.Lag, calls.Lag)}
}
