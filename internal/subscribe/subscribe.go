// Package subscribe keeps each monitored mailbox covered by Graph subscriptions, and
// deletes them when monitoring stops.
//
// [Plan] is pure: it takes a record and the time and returns one step with a reason.
// The step is carried out and saved. Each save leads to a new plan, until nothing is
// left to do. A timed queue knows when a mailbox is planned next: at two thirds of a
// subscription's life, or when a failed call may be repeated. Failures are kept in the
// record, so neither a restart nor another owner starts the backoff over; those of a
// stray, which is in no record, in memory.
//
// That a subscription is being created is saved before the call. If the answer is
// lost, the next attempt is refused with the id of the one that Graph has, which is
// adopted. Its clientState can be derived again and needs no record.
//
// What can't be patched is replaced: the new subscription is created before the old
// one is deleted. Where Graph refuses two for the same resource, the old one goes
// first. Graph announces nothing that happened before a subscription existed, so the
// mailbox is read after each creation.
//
// A hint "subscription" has each live subscription patched that was not renewed since:
// with 200 it lives, with 404 it is created again. A listing proves what is there and
// never what is not, so the sweep changes nothing by itself. It leaves hints: for what
// is recorded and not listed "subscription", for what is listed and not recorded
// "stray".
package subscribe

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// Graph has the subscriptions.
type Graph interface {
	CreateSubscription(ctx context.Context, request ooo.SubscriptionRequest) (ooo.GraphSubscription, error)
	PatchSubscription(ctx context.Context, id ooo.SubscriptionID, patch ooo.SubscriptionRequest) (ooo.GraphSubscription, error)
	DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error
	SubscriptionPages(ctx context.Context) iter.Seq2[[]ooo.GraphSubscription, error]
}

// Ownership is what this replica owns and may do at the moment.
type Ownership interface {
	MayStart(partition int) bool    // something in that partition, now
	Share() float64                 // of the budget for writes
	First() bool                    // partition 0 is owned: the sweep is ours
	Wait(name string) time.Duration // that Graph asked of all replicas
}

// Config says what a [Subscriber] works with. All of it is required.
type Config struct {
	Registry  *mailbox.Registry
	Owners    Ownership
	Graph     Graph
	Resources []string      // templates with {id}, see [CheckResources]
	Lifetime  time.Duration // asked for; what Graph returns is what counts

	// Keys derives clientStates. It may have to ask Redis.
	Keys func(ctx context.Context) (ooo.ClientStateKeys, error)
	// Certificate is what resource data is encrypted for; zero: none is asked for.
	Certificate func() (ooo.Certificate, error)
	// SetWait has all replicas wait, by [WaitName].
	SetWait func(ctx context.Context, name string, wait time.Duration) error
	// ReadNow has a mailbox read.
	ReadNow func(id ooo.RecordID, source ooo.Source)
	// Records returns the records of any partition.
	Records func(ctx context.Context, partition int) (store.Loaded, error)

	SweepEvery time.Duration
	OnStep     func(step Step, err error) // err is nil when it worked
	OnSweep    func(Swept)
	Log        *slog.Logger
}

// Subscriber carries out the steps for the mailboxes that this replica owns. It is a
// [mailbox.Worker].
type Subscriber struct {
	cfg    Config
	queue  *schedule.Queue[task]
	budget *budget
	urls   atomic.Pointer[URLs]     // nil: not known yet, nothing is touched
	want   atomic.Pointer[Settings] // as of the last check; nil: not known yet

	mu       sync.Mutex
	life     time.Duration                         // to ask for: Lifetime, or less once Graph has named its limit; guarded by mu, as all below
	notified map[ooo.RecordID]map[string]time.Time // by resource tag: when a notification came last, if that is to be saved
	strays   map[task]ooo.Subscription             // those that could not be settled, with what failed
}

// task is a mailbox to be planned, or a stray subscription of it.
type task struct {
	id    ooo.RecordID
	stray ooo.SubscriptionID // empty: the mailbox
}

// New returns a subscriber that is ready to Run. It touches nothing before
// [Subscriber.SetURLs].
func New(cfg Config) *Subscriber {
	return &Subscriber{
		cfg: cfg, queue: schedule.New[task](), budget: &budget{share: cfg.Owners.Share, tokens: WriteBurst, at: time.Now()},
		life: cfg.Lifetime, notified: map[ooo.RecordID]map[string]time.Time{}, strays: map[task]ooo.Subscription{},
	}
}

// Run keeps mailboxes covered until ctx ends, and returns once the steps in flight
// have ended.
func (s *Subscriber) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.dispatch(ctx) })
	g.Go(func() error { return s.sweeps(ctx) })
	return g.Wait()
}

// SetURLs says where Graph sends notifications from now on. All subscriptions follow.
func (s *Subscriber) SetURLs(urls URLs) { s.urls.Store(&urls) }

func (s *Subscriber) planNow(t task) { s.queue.Set(t, time.Now()) }

// Changed implements [mailbox.Worker].
func (s *Subscriber) Changed(m *ooo.Mailbox) { s.planNow(task{id: m.ID}) }

// Dropped implements [mailbox.Worker].
func (s *Subscriber) Dropped(id ooo.RecordID) {
	s.queue.Remove(task{id: id})
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.notified, id)
}

// Backlog returns how full and how late this work is.
func (s *Subscriber) Backlog(now time.Time) schedule.Backlog { return s.queue.Backlog(now) }
