package subscribe_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

// world is Redis and Graph in memory, by the clock of the test's bubble.
type world struct {
	mu     sync.Mutex
	users  map[ooo.Key]*ooo.User // guarded by mu, as all below
	due    map[ooo.Key]time.Time
	held   map[ooo.Key]string // token
	again  map[ooo.Key]bool
	token  int
	hold   time.Time
	stamps map[string]time.Time
	reads  []ooo.Mark // marks of the read queue
	saved  []ooo.Subscription
	spent  int
	err    error // of each call of the store
	wake   chan struct{}
	boxes  map[ooo.ObjectID][]ooo.Key // who takes part, in order
	left   map[ooo.Key]bool           // is on its way out of one

	graph    map[ooo.SubscriptionID]ooo.GraphSubscription
	states   map[ooo.SubscriptionID]string // clientStates, which Graph doesn't tell
	requests []ooo.SubscriptionRequest
	calls    []string      // such as "create", "patch sub-1"
	at       []time.Time   // of calls
	number   int           // of the last subscription made
	single   bool          // one for each resource, or 409
	most     time.Duration // the longest life; what asks for more is refused; 0: no limit
	fail     func(what string) error
	lost     func(what string) bool // it is carried out, but the answer is lost
	slow     time.Duration          // how long a call may take to Graph
	grant    time.Duration          // the longest life; what asks for more gets less; 0: no limit
}

func newWorld(names ...string) *world {
	w := &world{
		users: map[ooo.Key]*ooo.User{}, due: map[ooo.Key]time.Time{}, held: map[ooo.Key]string{}, again: map[ooo.Key]bool{},
		stamps: map[string]time.Time{}, wake: make(chan struct{}, 1), boxes: map[ooo.ObjectID][]ooo.Key{}, left: map[ooo.Key]bool{},
		graph: map[ooo.SubscriptionID]ooo.GraphSubscription{}, states: map[ooo.SubscriptionID]string{},
		fail: func(string) error { return nil }, lost: func(string) bool { return false },
	}
	for _, name := range names {
		w.add(name)
	}
	return w
}

// add monitors a user who was found in the directory.
func (w *world) add(name string) ooo.Key {
	key := ooo.KeyOf(name)
	w.set(func() {
		w.users[key] = &ooo.User{Key: key, Address: name, Active: true, Person: ooo.Person{ID: ooo.ObjectID("oid-" + name)}}
		w.mark(key, time.Now())
	})
	w.ring()
	return key
}

// change edits a user's record and makes it due, as the other rooms do.
func (w *world) change(key ooo.Key, edit func(u *ooo.User)) {
	w.set(func() {
		edit(w.users[key])
		w.mark(key, time.Now())
	})
	w.ring()
}

// announce has Graph tell of a user's first subscription.
func (w *world) announce(key ooo.Key, kind ooo.LifecycleKind) {
	w.change(key, func(u *ooo.User) {
		u.Lifecycle = append(u.Lifecycle, ooo.Lifecycle{SubscriptionID: u.Subscriptions[0].ID, Kind: kind, At: time.Now()})
	})
}

func (w *world) mark(key ooo.Key, at time.Time) {
	if w.held[key] != "" {
		w.again[key] = true
	} else if before, ok := w.due[key]; !ok || at.Before(before) {
		w.due[key] = at
	}
}

func (w *world) ring() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) Claim(_ context.Context, q ooo.Queue, n int, lease time.Duration) (ooo.Batch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := ooo.Batch{Now: time.Now()}
	if b.Now.Before(w.hold) {
		b.Hold = w.hold
		return b, w.err
	}
	for _, key := range slices.Sorted(maps.Keys(w.due)) {
		switch at := w.due[key]; {
		case at.After(b.Now):
			if b.Next.IsZero() || at.Before(b.Next) {
				b.Next = at
			}
		case len(b.Claims) < n && w.err == nil:
			w.token++
			w.held[key], w.due[key] = strconv.Itoa(w.token), b.Now.Add(lease)
			delete(w.again, key)
			b.Claims = append(b.Claims, ooo.Claim{Queue: q, Key: key, Token: w.held[key], Due: at})
		}
	}
	return b, w.err
}

func (w *world) Extend(_ context.Context, _ ooo.Queue, claims []ooo.Claim, lease time.Duration) (lost []ooo.Claim, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range claims {
		if w.held[c.Key] != c.Token {
			lost = append(lost, c)
		} else if w.err == nil {
			w.due[c.Key] = time.Now().Add(lease)
		}
	}
	return lost, w.err
}

func (w *world) Done(_ context.Context, _ ooo.Queue, finished []ooo.Finished) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	for _, f := range finished {
		key := f.Claim.Key
		if w.held[key] != f.Claim.Token {
			continue
		}
		delete(w.held, key)
		if w.due[key] = f.Next; f.Next.IsZero() {
			delete(w.due, key)
		}
		if w.again[key] {
			delete(w.again, key)
			w.mark(key, time.Now())
		}
	}
	return nil
}

func (w *world) Next(ooo.Queue) (next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.due {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

func (w *world) Wake(ooo.Queue) <-chan struct{}      { return w.wake }
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
	copied := *u
	copied.Subscriptions, copied.Lifecycle = slices.Clone(u.Subscriptions), slices.Clone(u.Lifecycle)
	return copied, w.err
}

func (w *world) Users(context.Context, int, string) (users []ooo.User, next string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(w.users)) {
		if u := *w.users[key]; u.Active {
			u.Subscriptions = slices.Clone(u.Subscriptions)
			users = append(users, u)
		}
	}
	return users, "", w.err
}

// write changes the record of a claim's user.
func (w *world) write(c ooo.Claim, change func(u *ooo.User)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return w.err
	case w.held[c.Key] != c.Token || w.users[c.Key] == nil:
		return ooo.ErrStale
	}
	change(w.users[c.Key])
	return nil
}

func (w *world) SaveSubscription(_ context.Context, c ooo.Claim, s ooo.Subscription) error {
	return w.write(c, func(u *ooo.User) {
		w.saved = append(w.saved, s)
		i := slices.IndexFunc(u.Subscriptions, func(o ooo.Subscription) bool { return o.Resource == s.Resource })
		if i < 0 {
			u.Subscriptions = append(u.Subscriptions, s)
		} else {
			u.Subscriptions[i] = s
		}
	})
}

func (w *world) DropSubscription(_ context.Context, c ooo.Claim, resource string) error {
	return w.write(c, func(u *ooo.User) {
		u.Subscriptions = slices.DeleteFunc(u.Subscriptions, func(o ooo.Subscription) bool { return o.Resource == resource })
	})
}

func (w *world) ClearLifecycle(_ context.Context, c ooo.Claim, events ...ooo.Lifecycle) error {
	return w.write(c, func(u *ooo.User) {
		u.Lifecycle = slices.DeleteFunc(u.Lifecycle, func(e ooo.Lifecycle) bool { return slices.Contains(events, e) })
	})
}

func (w *world) Forget(_ context.Context, c ooo.Claim) error {
	return w.write(c, func(u *ooo.User) { delete(w.users, u.Key) })
}

func (w *world) Mark(_ context.Context, q ooo.Queue, marks ...ooo.Mark) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	w.ring()
	for _, m := range marks {
		if q == ooo.ReadQueue {
			w.reads = append(w.reads, m)
		} else {
			w.mark(m.Key, time.Now())
		}
	}
	return len(marks), nil
}

func (w *world) Heard(_ context.Context, key ooo.Key, events ...ooo.Lifecycle) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if u := w.users[key]; u != nil && w.err == nil {
		u.Lifecycle = append(u.Lifecycle, events...)
		w.mark(key, time.Now())
		w.ring()
	}
	return w.err
}

func (w *world) Hold(_ context.Context, until time.Time, _ ...ooo.Queue) error {
	w.set(func() { w.hold = until })
	return nil
}

func (w *world) Now(context.Context) (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now(), w.err
}

func (w *world) SpendWrite(context.Context, float64) (time.Duration, error) {
	w.set(func() { w.spent++ })
	return 0, nil
}

func (w *world) Lock(context.Context, string, time.Duration) (func(context.Context) error, error) {
	return func(context.Context) error { return nil }, nil
}

func (w *world) Stamp(_ context.Context, name string) (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stamps[name], w.err
}

func (w *world) SetStamp(_ context.Context, name string) error {
	w.set(func() { w.stamps[name] = time.Now() })
	return nil
}

// story returns the calls since the last look.
func (w *world) story() string {
	calls, _ := w.timed()
	return strings.Join(calls, ", ")
}

// timed returns the calls since the last look and when they came.
func (w *world) timed() ([]string, []time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls, at := w.calls, w.at
	w.calls, w.at = nil, nil
	return calls, at
}

// sub returns a user's first subscription as it is recorded.
func (w *world) sub(key ooo.Key) ooo.Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	if u := w.users[key]; u != nil && len(u.Subscriptions) > 0 {
		return u.Subscriptions[0]
	}
	return ooo.Subscription{}
}

// read counts the read marks of a user since the last look.
func (w *world) read(key ooo.Key) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, m := range w.reads {
		if m.Key == key && m.Source == ooo.SourceSubscription {
			n++
		}
	}
	w.reads = nil
	return n
}

// start covers the users until the returned stop, which waits for it.
func (w *world) start(t *testing.T, edits ...func(*subscribe.Config)) (stop func()) {
	t.Helper()
	cfg := subscribe.Config{
		Queue: w, Store: w, Graph: w, Settings: want, Lifetime: 72 * time.Hour, SweepEvery: 100_000 * time.Hour,
		Keys: func(context.Context) (ooo.ClientStateKeys, error) { return keys, nil },
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	s, err := subscribe.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	return func() { cancel(); running.Wait() }
}

// pass lets time pass, and what it set off come to rest: what the test reads then
// nobody changes meanwhile.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
