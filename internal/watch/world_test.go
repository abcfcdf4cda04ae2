package watch_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// world is Redis and Graph in memory: one record for each user, one mailbox for
// each object id.
type world struct {
	mu        sync.Mutex
	users     map[ooo.Key]*ooo.User // guarded by mu, as all below
	due       map[ooo.Queue]map[ooo.Key]time.Time
	claims    map[ooo.Key]ooo.Claim // what the next claim of the read queue carries
	held      map[string]bool       // queue and key
	taken     map[ooo.Key]int       // how often claimed
	hold      time.Time
	graph     map[ooo.ObjectID]ooo.Reading
	finding   map[string]error
	latency   time.Duration
	searching time.Duration // what a look-up takes
	reads     map[ooo.ObjectID][]time.Time
	batches   []int
	noise     int // what makes two answers differ that mean the same
	same      int // answers that were not decoded
	reasons   []string
	announced []string // ids of notifications that found nothing new
	refusals  int      // Record calls to refuse as stale
	floors    map[ooo.Key]time.Time
	pauses    map[string]time.Time
}

func newWorld() *world {
	return &world{
		users: map[ooo.Key]*ooo.User{}, claims: map[ooo.Key]ooo.Claim{}, held: map[string]bool{}, taken: map[ooo.Key]int{},
		due:   map[ooo.Queue]map[ooo.Key]time.Time{ooo.ReadQueue: {}, ooo.WindowQueue: {}},
		graph: map[ooo.ObjectID]ooo.Reading{}, reads: map[ooo.ObjectID][]time.Time{}, finding: map[string]error{},
		floors: map[ooo.Key]time.Time{}, pauses: map[string]time.Time{},
	}
}

// add monitors a user whose mailbox has setting.
func (w *world) add(name string, setting ooo.Setting) {
	key, id := ooo.Key(name), ooo.ObjectID("id-"+name)
	w.users[key] = &ooo.User{Key: key, Address: name + "@contoso.example", Active: true, Person: ooo.Person{ID: id}}
	w.claims[key] = ooo.Claim{ObjectID: id, Source: ooo.SourceRequest}
	w.due[ooo.ReadQueue][key] = time.Now()
	w.graph[id] = ooo.Reading{ID: id, Setting: setting}
}

func (w *world) Claim(_ context.Context, q ooo.Queue, n int, _ time.Duration) (ooo.Batch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	b := ooo.Batch{Now: now, Hold: w.hold}
	if q == ooo.ReadQueue && now.Before(w.hold) {
		return b, nil
	}
	for key, at := range w.due[q] {
		slot := string(q) + string(key)
		switch {
		case w.held[slot]:
		case at.After(now):
			if b.Next.IsZero() || at.Before(b.Next) {
				b.Next = at
			}
		case len(b.Claims) < n:
			w.held[slot] = true
			w.taken[key]++
			c := ooo.Claim{Source: ooo.SourcePoll}
			if q == ooo.ReadQueue {
				c = w.claims[key]
			}
			c.Queue, c.Key, c.Due, c.Token = q, key, at, slot
			b.Claims = append(b.Claims, c)
		}
	}
	return b, nil
}

func (w *world) Extend(context.Context, ooo.Queue, []ooo.Claim, time.Duration) ([]ooo.Claim, error) {
	return nil, nil
}

func (w *world) Done(_ context.Context, q ooo.Queue, finished []ooo.Finished) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range finished {
		key := f.Claim.Key
		delete(w.held, string(q)+string(key))
		switch {
		case !f.Next.IsZero():
			w.due[q][key] = f.Next
		case f.Every > 0:
			w.due[q][key] = time.Now().Truncate(f.Every).Add(f.Every)
			if f.From.After(w.due[q][key]) {
				w.due[q][key] = f.From
			}
		default:
			delete(w.due[q], key)
		}
		w.floors[key] = f.NotBefore
		if q == ooo.ReadQueue {
			c := w.claims[key]
			c.Source = ooo.SourcePoll
			if c.Failures++; !f.Failed {
				c.Failures = 0
			}
			w.claims[key] = c
		}
	}
	return nil
}

func (w *world) Next(q ooo.Queue) (next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, at := range w.due[q] {
		if !w.held[string(q)+string(key)] && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

func (w *world) Wake(ooo.Queue) <-chan struct{}      { return make(chan struct{}) }
func (w *world) Recall(ooo.Queue) <-chan struct{}    { return make(chan struct{}) }
func (w *world) Handed(ooo.Queue) <-chan ooo.Claim   { return nil }
func (w *world) Offer(ooo.Queue, int, time.Duration) {}

func (w *world) User(_ context.Context, key ooo.Key) (ooo.User, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, ok := w.users[key]
	if !ok {
		return ooo.User{}, ooo.ErrNotMonitored
	}
	return *u, nil
}

func (w *world) Standing(ctx context.Context, key ooo.Key) (ooo.User, error) {
	u, err := w.User(ctx, key)
	u.Setting = nil
	return u, err
}

func (w *world) Identify(_ context.Context, c ooo.Claim, p ooo.Person) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.users[c.Key].Person = p
	claim := w.claims[c.Key]
	claim.ObjectID = p.ID
	w.claims[c.Key] = claim
	return nil
}

func (w *world) Unknown(_ context.Context, c ooo.Claim, reason string, _ time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.users[c.Key].Condition, w.users[c.Key].Reason = ooo.Unknown, reason
	w.reasons = append(w.reasons, reason)
	claim := w.claims[c.Key]
	claim.Fingerprint = ""
	w.claims[c.Key] = claim
	return nil
}

func (w *world) Record(_ context.Context, c ooo.Claim, change ooo.Change) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.users[c.Key]
	if w.refusals > 0 || u.Revision != change.Revision {
		w.refusals--
		return 0, ooo.ErrStale
	}
	u.Revision++
	u.Condition, u.Setting = ooo.Watching, &change.Setting
	if change.Decision.Changed {
		u.State = &change.Decision.State
		u.Sequence++
	}
	claim := w.claims[c.Key]
	claim.Fingerprint = change.Fingerprint
	w.claims[c.Key] = claim
	if w.due[ooo.WindowQueue][c.Key] = change.Decision.Edge; change.Decision.Edge.IsZero() {
		delete(w.due[ooo.WindowQueue], c.Key)
	}
	return u.Sequence, nil
}

func (w *world) Pause(_ context.Context, name string, until time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pauses[name] = until
	return nil
}

func (w *world) Paused(_ context.Context, name string) (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pauses[name], nil
}

func (w *world) Announced(_ context.Context, c ooo.Claim) (time.Duration, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.announced = append(w.announced, c.SourceID)
	return time.Second, true, nil
}

func (w *world) Hold(_ context.Context, until time.Time, _ ...ooo.Queue) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold = until
	return nil
}

func (w *world) Find(_ context.Context, address string) (ooo.Person, error) {
	time.Sleep(w.searching)
	w.mu.Lock()
	defer w.mu.Unlock()
	name, _, _ := strings.Cut(address, "@")
	return ooo.Person{ID: ooo.ObjectID("id-" + name)}, w.finding[address]
}

func (w *world) Read(_ context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.Reading {
	time.Sleep(w.latency)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches = append(w.batches, len(ids))
	var readings []ooo.Reading
	for i, id := range ids {
		w.reads[id] = append(w.reads[id], time.Now())
		reading := w.graph[id]
		if reading.Err == nil {
			reading.Digest = ooo.DigestOf(fmt.Append(nil, reading.Setting, w.noise))
			reading.Same = reading.Digest == known[i]
		}
		if reading.Same {
			w.same++
			reading.Setting = ooo.Setting{}
		}
		readings = append(readings, reading)
	}
	return readings
}

func (w *world) user(key ooo.Key) ooo.User {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *w.users[key]
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}
