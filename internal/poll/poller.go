// Package poll reads the mailboxes of this replica and notices who turned out of
// office.
//
// # Regular reads
//
// Each mailbox is read every interval, whatever the subscriptions do. It has a place
// in the interval, by a hash of its id, so that batches fill and a hand-over keeps
// the cadence. What is due is read in batches of up to 20; nothing waits for company.
// An answer whose digest is known costs no decoding, no Redis and hardly any memory.
//
// How many calls are in flight follows what Graph as a whole can take, half of it
// kept for regular reads and half for mailboxes for which a hint came: those are read
// alone and at once. One mailbox that hangs or is slow delays nobody else: it is read
// alone, in a lane of its own, until it has answered quickly a few times, and a batch
// that got no answer counts against none of its members.
//
// # What a reading means
//
// A setting that differs is decided by the domain and saved together with what it
// causes: the events of the history, the delivery that begins, the hint that it
// carried out. The edges of scheduled windows are decided by the wall clock from the
// setting that was read last, so that a window opens and closes on the second even
// while Graph is away. What Graph answers instead of a setting moves only the next
// read of that mailbox: the state stays, the mailbox is shown as unknown with the
// reason. Only the first failure of a kind and waits over one interval are saved, or
// an outage would cost a save a read.
//
// Addresses that have no mailbox yet are looked up here too, within the budget of the
// directory.
package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Graph is the directory and the mailboxes.
type Graph interface {
	// Read reads mailboxes; a reading whose answer has the known digest is Same.
	Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.Reading
	Find(ctx context.Context, address string) (ooo.Person, error)
	Lookup(ctx context.Context, id ooo.ObjectID) (ooo.Person, error)
}

// Names of waits that Graph asks of the whole app.
const (
	GraphWait     = "graph"
	DirectoryWait = "directory"
	PresenceWait  = "presence"
)

// Change is a change that was saved.
type Change struct {
	Mailbox ooo.ObjectID
	Source  ooo.Source    // what it was noticed by
	Took    time.Duration // since the hint was left; 0 without one
	Lead    time.Duration // how much later the next regular read would have been
	State   ooo.State
}

// Config says what a [Poller] works with.
type Config struct {
	Registry *mailbox.Registry
	Graph    Graph
	// Presences asks Graph about at most [ooo.MostPresences] users; nil: presence is
	// not swept.
	Presences func(ctx context.Context, ids []ooo.ObjectID) ([]ooo.Presence, error)
	Policy    ooo.Policy
	Interval  time.Duration // between two reads of a mailbox
	// Concurrency bounds the calls in flight, whose number follows what Graph can
	// take; default 96.
	Concurrency int

	// Share is this replica's share of what Graph allows the app for mailboxes, above 0
	// and up to 1; Replicas is how many share the look-ups. Default 1.
	Share    func() float64
	Replicas func() int
	// Wait returns what is left of a wait that Graph asked of the whole app, SetWait
	// tells all replicas of one. Both may be nil.
	Wait    func(name string) time.Duration
	SetWait func(ctx context.Context, name string, wait time.Duration) error
	// BeginDelivery notes in a draft that changes the state that its delivery begins;
	// after is called once it is known whether that was saved. It may be nil.
	BeginDelivery func(d *mailbox.Draft) (after func(saved bool))

	// OnRead hears of each read: its outcome and how long after it was due it began.
	// OnChange hears of each change, OnLateNotification of each notification that came
	// after the regular read had seen what it announces, OnSweep of each sweep of
	// presence. All may be nil.
	OnRead             func(outcome Outcome, late time.Duration)
	OnChange           func(Change)
	OnLateNotification func(by time.Duration)
	OnSweep            func(calls, turned int)
	Tracer             trace.Tracer // of changes and of what notifications caused; nil: none
	Log                *slog.Logger
}

// Outcome is how a read ended; a metric label.
type Outcome string

const (
	Unchanged   Outcome = "unchanged"
	Changed     Outcome = "changed"
	Updated     Outcome = "updated" // another setting that means the same
	Throttled   Outcome = "throttled"
	Unreadable  Outcome = "unreadable"  // this mailbox can't be read
	Unavailable Outcome = "unavailable" // Graph is out of reach or busy
	Stale       Outcome = "stale"       // another replica has the mailbox by now
)

const (
	batchSize   = 20  // Graph takes no more requests in one $batch
	leastCalls  = 8   // that may always be in flight
	savesAtOnce = 256 // what reads mean; all others wait for a save
	// Graph takes 130,000 requests in 10 s from one app. What is overdue must not go
	// beyond that in one rush: everybody would have to wait then.
	mostReads = 12_900 // a second
	readBurst = 500
)

// Poller reads mailboxes. It is a [mailbox.Worker].
type Poller struct {
	cfg   Config
	tag   string // of the policy
	calls *concurrency
	rate  *rate.Limiter

	regular, hinted, isolated *lane
	suspects                  chan struct{} // capacity: members of failed batches in flight, each alone
	probe                     chan struct{} // capacity 1: a failed batch is taken apart although Graph may be away
	saves                     chan struct{} // capacity savesAtOnce
	windows                   *schedule.Queue[*target]
	lookups                   *schedule.Queue[*target]
	removing                  removals
	work                      sync.WaitGroup // what loops started

	late      atomic.Int64 // when a regular read last began late, as of start
	answered  atomic.Int64 // when the last call began that got an answer, as of start
	looking   atomic.Int64 // look-ups in flight
	start     time.Time
	fruitless atomic.Int64 // when a batch was taken apart without any answer, as of start
	holds     sync.Map     // waits of the whole app, whether or not Redis knows: name -> time.Time

	mu      sync.Mutex
	targets map[ooo.RecordID]*target // guarded by mu
}

// New returns a poller that is ready to Run.
func New(cfg Config) (*Poller, error) {
	switch {
	case cfg.Registry == nil, cfg.Graph == nil:
		return nil, errors.New("poll: Registry and Graph are required")
	case cfg.Interval <= 0:
		return nil, fmt.Errorf("poll: Interval is %v, want more than 0", cfg.Interval)
	}
	cfg.fill()
	p := &Poller{
		cfg: cfg, tag: cfg.Policy.Tag(), calls: newConcurrency(leastCalls, cfg.Concurrency), rate: rate.NewLimiter(mostReads, readBurst),
		suspects: make(chan struct{}, isolatedCalls), probe: make(chan struct{}, 1), saves: make(chan struct{}, savesAtOnce),
		windows: schedule.New[*target](), lookups: schedule.New[*target](),
		removing: removals{wake: make(chan struct{}, 1)}, start: time.Now(), targets: map[ooo.RecordID]*target{},
	}
	p.late.Store(-int64(cfg.Interval))
	p.answered.Store(-1)
	p.fruitless.Store(-int64(probeGap))
	p.regular = &lane{queue: schedule.New[*target](), most: batchSize, acquire: p.calls.lane(regularCalls)}
	p.hinted = &lane{queue: schedule.New[*target](), most: 1, acquire: p.calls.lane(hintedCalls)}
	p.isolated = &lane{queue: schedule.New[*target](), most: 1, acquire: slots(make(chan struct{}, isolatedCalls))}
	return p, nil
}

func (cfg *Config) fill() {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 96
	}
	if cfg.Share == nil {
		cfg.Share = func() float64 { return 1 }
	}
	if cfg.Replicas == nil {
		cfg.Replicas = func() int { return 1 }
	}
	if cfg.Wait == nil {
		cfg.Wait = func(string) time.Duration { return 0 }
	}
	if cfg.SetWait == nil {
		cfg.SetWait = func(context.Context, string, time.Duration) error { return nil }
	}
	if cfg.BeginDelivery == nil {
		cfg.BeginDelivery = func(*mailbox.Draft) func(bool) { return func(bool) {} }
	}
	if cfg.OnRead == nil {
		cfg.OnRead = func(Outcome, time.Duration) {}
	}
	if cfg.OnChange == nil {
		cfg.OnChange = func(Change) {}
	}
	if cfg.OnLateNotification == nil {
		cfg.OnLateNotification = func(time.Duration) {}
	}
	if cfg.OnSweep == nil {
		cfg.OnSweep = func(int, int) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
}

// Run reads until ctx ends and returns once what is in flight has ended. What has
// been read by then is saved.
func (p *Poller) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, l := range []*lane{p.regular, p.hinted, p.isolated} {
		g.Go(func() error { return p.serve(ctx, l) })
	}
	g.Go(func() error { return p.adjust(ctx) })
	g.Go(func() error { return p.turnWindows(ctx) })
	g.Go(func() error { return p.lookUpAll(ctx) })
	g.Go(func() error { return p.removeHints(ctx) })
	if p.cfg.Presences != nil {
		g.Go(func() error { return p.sweepPresence(ctx) })
	}
	err := g.Wait()
	p.work.Wait()
	p.flushRemovals(context.WithoutCancel(ctx))
	return err
}

// adjust keeps the rate of reads at this replica's share.
func (p *Poller) adjust(ctx context.Context) error {
	for share := 1.0; ; {
		if now := min(max(p.cfg.Share(), 0.001), 1); now != share {
			share = now
			p.rate.SetLimit(rate.Limit(mostReads * share))
			p.rate.SetBurst(max(int(readBurst*share), batchSize))
		}
		if !schedule.Sleep(ctx, 500*time.Millisecond) {
			return nil
		}
	}
}

// held returns for how long the whole app is to leave what is called name alone.
func (p *Poller) held(name string) time.Duration {
	wait := p.cfg.Wait(name)
	if until, ok := p.holds.Load(name); ok {
		wait = max(wait, time.Until(until.(time.Time))) //nolint:forcetypeassert // hold alone writes it
	}
	return max(wait, 0)
}

// hold has the whole app wait. Those that ask for it together are one.
func (p *Poller) hold(ctx context.Context, name string, wait time.Duration) {
	if p.held(name) > wait-500*time.Millisecond {
		return
	}
	p.holds.Store(name, time.Now().Add(wait))
	p.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := p.cfg.SetWait(ctx, name, wait); err != nil {
			p.cfg.Log.WarnContext(ctx, "wait that Graph asked for not shared", "name", name, "wait", wait, "err", err)
		}
	})
}

// Backlog returns how full and how late each kind of this work is.
func (p *Poller) Backlog(now time.Time) (reads, windows, lookups schedule.Backlog) {
	for _, l := range []*lane{p.regular, p.hinted, p.isolated} {
		b := l.queue.Backlog(now)
		reads.Waiting, reads.Lag = reads.Waiting+b.Waiting, max(reads.Lag, b.Lag)
	}
	return reads, p.windows.Backlog(now), p.lookups.Backlog(now)
}
