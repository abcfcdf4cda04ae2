// Package subscribe keeps each monitored mailbox covered by Graph subscriptions, and
// takes them away when monitoring stops.
//
// # Steps
//
// What is recorded of a mailbox goes through [Plan], which names one step and its
// reason. The step is carried out and saved, and as with every save of a mailbox the
// plan is asked again, until there is nothing to do. When it should be asked again by
// itself, at two thirds of a subscription's life or when a failed call may be
// repeated, is in a timed queue in memory. Failures, and so the waits that grow with
// them, are in the record, so that neither a restart nor another owner starts them
// over.
//
// That a subscription is asked for is saved before the call. If the answer is lost,
// with the process maybe, it is asked for again: Graph then names the one that it
// has, and that one is adopted. Its clientState needs no record because it is derived
// from the mailbox and the resource; only the tag of the secret is noted.
//
// What can't be patched is replaced: first the new one is created, then the old one
// deleted. Where Graph refuses two for the same resource, the old one goes first and
// the mailbox is read right after. What happened before a subscription existed is not
// announced, so after each creation the mailbox is read.
//
// A step holds [mailbox.Registry.Begin] while it is carried out. No call begins when
// the ownership was not confirmed in time, and steps that wait for the budget hold
// nothing.
//
// # Hints
//
// A hint "subscription" says that something may be wrong with those of a mailbox:
// each live one that was not renewed since is asked for by a renewal. If it answers
// it lives, with 404 it is made again. A hint "stray" names one that Graph lists and
// no record has: it is adopted if it is the answer that was lost, and deleted
// otherwise.
//
// # Budget and sweep
//
// All writes come out of a budget of which each replica has its share. It keeps a
// part for mailboxes that are not covered. The owner of partition 0 compares what
// Graph lists with all records now and then. A list proves what is there and never
// what is not, so nothing is changed because of it alone: it leaves hints.
package subscribe

import (
	"context"
	"errors"
	"fmt"
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
	PatchSubscription(ctx context.Context, id ooo.SubscriptionID, patch ooo.SubscriptionPatch) (ooo.GraphSubscription, error)
	DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error
	SubscriptionPages(ctx context.Context) iter.Seq2[[]ooo.GraphSubscription, error]
}

// Config says what a [Subscriber] works with.
type Config struct {
	Registry  *mailbox.Registry
	Graph     Graph
	Resources []string      // templates with {id}, see [CheckResources]
	Lifetime  time.Duration // asked for; what Graph returns is what counts

	// Keys derives clientStates. It may have to ask Redis.
	Keys func(ctx context.Context) (ooo.ClientStateKeys, error)
	// Certificate is what resource data is encrypted for; nil: none is asked for.
	Certificate func() (ooo.Certificate, error)

	// Of the partitions that this replica owns: whether it may start something in one
	// now, its share of the budget, and whether it owns the first one, and so sweeps.
	MayStart func(partition int) bool
	Share    func() float64
	First    func() bool
	// Wait says how long Graph has asked all to wait, SetWait that it did, by
	// [WaitName].
	Wait    func(name string) time.Duration
	SetWait func(ctx context.Context, name string, wait time.Duration) error
	// ReadNow has a mailbox read.
	ReadNow func(id ooo.RecordID, source ooo.Source)
	// Records returns the records of any partition.
	Records func(ctx context.Context, partition int) (store.Loaded, error)

	SweepEvery time.Duration // between two sweeps; default 30 min

	// Stepped hears of each step; err is nil when it worked. Swept hears of each
	// sweep. Both may be nil.
	Stepped func(step Step, err error)
	Swept   func(Swept)
	Log     *slog.Logger
}

// Subscriber carries out the steps for the mailboxes that this replica owns. It is a
// [mailbox.Worker].
type Subscriber struct {
	cfg    Config
	queue  *schedule.Queue[task]
	budget *budget
	urls   atomic.Pointer[URLs] // nil: not known yet, nothing is touched
	known  chan struct{}        // capacity 1: urls was set

	mu       sync.Mutex
	hints    map[ooo.RecordID]examination          // guarded by mu, as all below
	strays   map[task]stray                        // to be adopted or deleted
	spoken   map[ooo.RecordID]map[string]time.Time // when a notification came, by tag of its resource; not saved yet
	inFlight map[task]bool
	rows     map[ooo.RecordID]int     // steps in a row
	granted  map[string]time.Duration // by what is limited: the longest life Graph grants, as it said
}

// task is what the queue has: a mailbox whose plan is to be asked, or a stray
// subscription.
type task struct {
	id    ooo.RecordID
	stray ooo.SubscriptionID // empty: the mailbox
}

// New returns a subscriber that is ready to Run. It touches nothing before
// [Subscriber.SetURLs].
func New(cfg Config) (*Subscriber, error) {
	switch {
	case cfg.Registry == nil, cfg.Graph == nil, cfg.Keys == nil, cfg.MayStart == nil, cfg.Share == nil, cfg.First == nil,
		cfg.Wait == nil, cfg.SetWait == nil, cfg.ReadNow == nil, cfg.Records == nil:
		return nil, errors.New("subscribe: Registry, Graph, Keys, MayStart, Share, First, Wait, SetWait, ReadNow and Records are required")
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
	return &Subscriber{
		cfg: cfg, queue: schedule.New[task](), budget: newBudget(cfg.Share), known: make(chan struct{}, 1),
		hints: map[ooo.RecordID]examination{}, strays: map[task]stray{}, spoken: map[ooo.RecordID]map[string]time.Time{},
		inFlight: map[task]bool{}, rows: map[ooo.RecordID]int{}, granted: map[string]time.Duration{},
	}, nil
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
func (s *Subscriber) SetURLs(urls URLs) {
	s.urls.Store(&urls)
	select {
	case s.known <- struct{}{}:
	default: // a wake-up is already waiting
	}
	s.planAll()
}

func (s *Subscriber) planAll() {
	for m := range s.cfg.Registry.All() {
		s.queue.Set(task{id: m.ID}, time.Now())
	}
}

// Changed implements [mailbox.Worker].
func (s *Subscriber) Changed(m *ooo.Mailbox) {
	if !m.ID.Unresolved() && s.urls.Load() != nil { // else SetURLs has all planned
		s.queue.Set(task{id: m.ID}, time.Now())
	}
}

// Hinted implements [mailbox.Worker].
func (s *Subscriber) Hinted(h ooo.Hint) {
	t := task{id: h.ID}
	switch h.Kind {
	case ooo.HintSubscription:
		s.examine(h)
	case ooo.HintStray:
		t.stray = h.SubscriptionID
		s.mu.Lock()
		s.strays[t] = stray{hint: h, failures: s.strays[t].failures}
		s.mu.Unlock()
	case ooo.HintRead:
		if h.ResourceTag == "" || !s.spoke(h) {
			return
		}
	default:
		return
	}
	s.queue.Set(t, time.Now())
}

// Dropped implements [mailbox.Worker].
func (s *Subscriber) Dropped(id ooo.RecordID) {
	s.queue.Remove(task{id: id})
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hints, id)
	delete(s.spoken, id)
	delete(s.rows, id)
}

// settings returns what subscriptions should look like now, with the secrets and the
// certificate of the moment.
func (s *Subscriber) settings(ctx context.Context) (want Settings, err error) {
	want = Settings{URLs: *s.urls.Load(), Resources: s.cfg.Resources}
	if want.Keys, err = s.cfg.Keys(ctx); err == nil && s.cfg.Certificate != nil {
		want.Certificate, err = s.cfg.Certificate()
	}
	return want, err
}

// Backlog returns how full and how late this work is.
func (s *Subscriber) Backlog(now time.Time) schedule.Backlog { return s.queue.Backlog(now) }
