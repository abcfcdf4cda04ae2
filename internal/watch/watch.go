// Package watch reads mailboxes and notices who turned out of office.
//
// # The story
//
// Each monitored user is due in the read queue every interval, whatever the
// subscriptions do, and at once when a notification or a request marks it. What
// is due is read, a lone user with one GET, several with one $batch. A setting
// that reads as it did costs nothing more. Any other is decided by the domain
// and recorded in one atomic step, which also marks the user for delivery. Only
// the holder of the claim can record, on the record that it decided on, so a
// reading that was overtaken changes nothing.
//
// A second, small queue holds the edges of scheduled windows. They are decided
// by the clock from the last setting read, so that a window opens and closes on
// the second even while Graph is away.
//
// What Graph answers instead of a setting moves only that user's next due time:
// waits that Graph asked for hold back everything, other failures keep the
// user's last state, show it as unknown with the reason, and are tried again.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// Store keeps the records. Every write proves with the claim that the user is
// still ours; otherwise it is [ooo.ErrStale] and changes nothing.
type Store interface {
	User(ctx context.Context, key ooo.Key) (ooo.User, error)
	// Standing returns of a record who the user is and its state, sequence number
	// and revision.
	Standing(ctx context.Context, key ooo.Key) (ooo.User, error)
	Identify(ctx context.Context, claim ooo.Claim, person ooo.Person) error
	Unknown(ctx context.Context, claim ooo.Claim, reason string, at time.Time) error
	Record(ctx context.Context, claim ooo.Claim, change ooo.Change) (sequence int64, err error)
	// Hold makes all replicas leave the queues alone until then.
	Hold(ctx context.Context, until time.Time, queues ...ooo.Queue) error
	// Pause makes all replicas leave what is called name alone until then; Paused
	// tells until when, zero if it is not.
	Pause(ctx context.Context, name string, until time.Time) error
	Paused(ctx context.Context, name string) (time.Time, error)
	// Announced notes a notification that found nothing new; if it is about a
	// change that the poll saw before, late is by how much it came later.
	Announced(ctx context.Context, claim ooo.Claim) (late time.Duration, known bool, err error)
}

// Graph is the directory and the mailboxes.
type Graph interface {
	Find(ctx context.Context, address string) (ooo.Person, error)
	// Read reads mailboxes; a reading whose answer has the known digest is Same.
	Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.Reading
}

// Noticed is a change that was recorded.
type Noticed struct {
	Claim    ooo.Claim // says what made us look
	Address  string
	State    ooo.State
	Sequence int64
	At       time.Time
}

// Config says what a [Watcher] works with.
type Config struct {
	Queue    due.Queue
	Store    Store
	Graph    Graph
	Policy   ooo.Policy
	Interval time.Duration // between two reads of a user
	// Readers bounds the calls to Graph in flight, whose number follows what Graph
	// can take; default 96.
	Readers int

	// Looked is told of each read: how it ended and how long after it was due
	// it began. Noticed is told of each change, Late of each notification that
	// announced a change after the poll had seen it. All may be nil.
	Looked  func(outcome Outcome, late time.Duration)
	Noticed func(Noticed)
	Late    func(by time.Duration)
	Tracer  ooo.Tracer // of changes; nil: none
	Log     *slog.Logger
}

// Outcome is how a look at a mailbox ended; a metric label.
type Outcome string

const (
	Unchanged   Outcome = "unchanged"
	Changed     Outcome = "changed"
	Updated     Outcome = "updated" // another setting that means the same
	Throttled   Outcome = "throttled"
	Unreadable  Outcome = "unreadable"  // this mailbox can't be read
	Unavailable Outcome = "unavailable" // Graph is out of reach or busy
	Stale       Outcome = "stale"       // somebody else has the claim by now
)

// Watcher runs the read queue and the window queue.
type Watcher struct {
	cfg     Config
	finds   chan struct{} // capacity: how many may be looked up at once
	line    line          // of those who wait for that
	width   *width
	rate    *rate.Limiter
	memory  memory
	late    atomic.Int64 // when a read last began late, in ns since 1970
	hand    inHand
	reads   *due.Loop
	windows *due.Loop
}

// gather is how long a read that is done waits for others, so that few calls of
// Redis take many.
const gather = 50 * time.Millisecond

// fewReaders is how many calls may always be in flight.
const fewReaders = 8

// Graph takes 130,000 requests in 10 s from one app. What is overdue must not go
// beyond that in one rush: everybody would have to wait then.
const (
	mostReads = 12_900 // a second
	readBurst = 500
)

// batchSize is the most requests that Graph takes in one $batch.
const batchSize = 20

// New returns a watcher that is ready to Run.
func New(cfg Config) (*Watcher, error) {
	switch {
	case cfg.Queue == nil, cfg.Store == nil, cfg.Graph == nil:
		return nil, errors.New("watch: Queue, Store and Graph are required")
	case cfg.Interval <= 0:
		return nil, fmt.Errorf("watch: Interval is %v, want more than 0", cfg.Interval)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Looked == nil {
		cfg.Looked = func(Outcome, time.Duration) {}
	}
	if cfg.Noticed == nil {
		cfg.Noticed = func(Noticed) {}
	}
	if cfg.Late == nil {
		cfg.Late = func(time.Duration) {}
	}
	if cfg.Readers <= 0 {
		cfg.Readers = 96
	}
	finds := max(cfg.Readers/4, 1)
	w := &Watcher{
		cfg: cfg, width: newWidth(fewReaders, cfg.Readers), rate: rate.NewLimiter(mostReads, readBurst),
		finds: make(chan struct{}, finds), line: line{desks: finds},
	}
	// A dead replica's users wait for the lease to end: three intervals between two
	// reads at most, and not long if the interval is.
	lease := min(max(3*cfg.Interval/2, 2*time.Second), 6*time.Second)
	var err error
	if w.reads, err = due.New(due.Config{
		Queue: cfg.Queue, Name: ooo.ReadQueue, Lease: lease,
		Workers: cfg.Readers, Room: w.width.room, Group: batchSize, Split: split, Work: w.read, Log: cfg.Log,
		Gather: min(gather, cfg.Interval/20),
	}); err != nil {
		return nil, err
	}
	w.windows, err = due.New(due.Config{
		Queue: cfg.Queue, Name: ooo.WindowQueue, Lease: 2 * time.Second,
		Workers: 16, Work: w.turn, Pace: time.Millisecond, Log: cfg.Log,
	})
	return w, err
}

// Run reads until ctx ends and returns when the reads in hand are done.
func (w *Watcher) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return w.reads.Run(ctx) })
	g.Go(func() error { return w.windows.Run(ctx) })
	return g.Wait()
}

// split forms batches. A user that was announced, or is not found yet, gets a
// request of its own: it must not wait for others. Users of one mailbox share it.
func split(claims []ooo.Claim) [][]ooo.Claim {
	var pieces [][]ooo.Claim
	var several []ooo.Claim
	alone := 0
	for _, c := range claims {
		if c.ObjectID == "" || (c.Source != ooo.SourcePoll && alone < batchSize) {
			if i := slices.IndexFunc(pieces, func(p []ooo.Claim) bool { return c.ObjectID != "" && p[0].ObjectID == c.ObjectID }); i >= 0 && len(pieces[i]) < batchSize {
				pieces[i] = append(pieces[i], c)
				continue
			}
			alone++
			pieces = append(pieces, []ooo.Claim{c})
			continue
		}
		several = append(several, c)
	}
	for len(several) > 0 {
		n := min(len(several), batchSize)
		pieces = append(pieces, several[:n:n])
		several = several[n:]
	}
	return pieces
}
