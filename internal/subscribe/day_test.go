package subscribe_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

// day is Redis and Graph in memory for a day of many users. Graph grants each
// user another life, fails some calls, and takes some subscriptions away.
type day struct {
	mu      sync.Mutex
	random  *rand.Rand // guarded by mu, as all below
	users   map[ooo.Key]*ooo.User
	due     map[ooo.Key]time.Time
	held    map[ooo.Key]bool
	again   map[ooo.Key]bool
	lives   map[ooo.ObjectID]time.Duration
	subs    map[ooo.SubscriptionID]*daySub
	calls   int
	failed  int
	made    int
	gaps    map[ooo.ObjectID]time.Duration // uncovered through our fault
	until   map[ooo.ObjectID]time.Time     // covered at least until then; zero: Graph took it, or not yet
	taken   int
	expired int
}

type daySub struct {
	ooo.GraphSubscription
	user ooo.ObjectID
}

const failing = 0.05

func newDay(users int) *day {
	d := &day{
		random: rand.New(rand.NewPCG(1, 2)), users: map[ooo.Key]*ooo.User{}, due: map[ooo.Key]time.Time{},
		held: map[ooo.Key]bool{}, again: map[ooo.Key]bool{}, lives: map[ooo.ObjectID]time.Duration{},
		subs: map[ooo.SubscriptionID]*daySub{}, gaps: map[ooo.ObjectID]time.Duration{}, until: map[ooo.ObjectID]time.Time{},
	}
	lives := []time.Duration{45 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour}
	for i := range users {
		key, id := ooo.KeyOf(fmt.Sprintf("user%d@contoso.example", i)), ooo.ObjectID(fmt.Sprintf("id-%d", i))
		d.users[key] = &ooo.User{Key: key, Active: true, Person: ooo.Person{ID: id}}
		d.due[key] = time.Now()
		d.lives[id] = lives[i%len(lives)]
	}
	return d
}

func (d *day) Claim(_ context.Context, _ ooo.Queue, n int, _ time.Duration) (ooo.Batch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	b := ooo.Batch{Now: now}
	for key, at := range d.due {
		switch {
		case d.held[key]:
		case at.After(now):
			if b.Next.IsZero() || at.Before(b.Next) {
				b.Next = at
			}
		case len(b.Claims) < n:
			d.held[key] = true
			b.Claims = append(b.Claims, ooo.Claim{Queue: ooo.SubscribeQueue, Key: key, Due: at})
		}
	}
	return b, nil
}

func (d *day) Extend(context.Context, ooo.Queue, []ooo.Claim, time.Duration) ([]ooo.Claim, error) {
	return nil, nil
}

func (d *day) Done(_ context.Context, _ ooo.Queue, finished []ooo.Finished) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range finished {
		delete(d.held, f.Claim.Key)
		d.due[f.Claim.Key] = f.Next
		if d.again[f.Claim.Key] {
			delete(d.again, f.Claim.Key)
			d.due[f.Claim.Key] = time.Now()
		}
		if d.due[f.Claim.Key].IsZero() {
			delete(d.due, f.Claim.Key)
		}
	}
	return nil
}

func (d *day) Next(ooo.Queue) (next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, at := range d.due {
		if !d.held[key] && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

func (d *day) Wake(ooo.Queue) <-chan struct{}      { return make(chan struct{}) }
func (d *day) Recall(ooo.Queue) <-chan struct{}    { return make(chan struct{}) }
func (d *day) Handed(ooo.Queue) <-chan ooo.Claim   { return nil }
func (d *day) Offer(ooo.Queue, int, time.Duration) {}

func (d *day) JoinMailbox(_ context.Context, _ ooo.Claim, u ooo.User) (ooo.Mailbox, error) {
	return ooo.Mailbox{Owner: u.Key}, nil
}

func (d *day) PartMailbox(context.Context, ooo.User) (ooo.Mailbox, error) { return ooo.Mailbox{}, nil }
func (d *day) LeaveMailbox(context.Context, ooo.User) error               { return nil }

func (d *day) User(_ context.Context, key ooo.Key) (ooo.User, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *d.users[key], nil
}

func (d *day) Users(context.Context, int, string) ([]ooo.User, string, error) { return nil, "", nil }

func (d *day) SaveSubscription(_ context.Context, c ooo.Claim, s ooo.Subscription) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[c.Key].Subscriptions = []ooo.Subscription{s}
	return nil
}

func (d *day) DropSubscription(_ context.Context, c ooo.Claim, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[c.Key].Subscriptions = nil
	return nil
}

func (d *day) ClearLifecycle(_ context.Context, c ooo.Claim, _ ...ooo.Lifecycle) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[c.Key].Lifecycle = nil
	return nil
}

func (d *day) Heard(_ context.Context, key ooo.Key, events ...ooo.Lifecycle) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[key].Lifecycle = append(d.users[key].Lifecycle, events...)
	d.due[key], d.again[key] = time.Now(), d.held[key]
	return nil
}

func (d *day) Forget(context.Context, ooo.Claim) error                    { return nil }
func (d *day) Mark(context.Context, ooo.Queue, ...ooo.Mark) (int, error)  { return 0, nil }
func (d *day) Hold(context.Context, time.Time, ...ooo.Queue) error        { return nil }
func (d *day) Now(context.Context) (time.Time, error)                     { return time.Now(), nil }
func (d *day) SpendWrite(context.Context, float64) (time.Duration, error) { return 0, nil }
func (d *day) Stamp(context.Context, string) (time.Time, error)           { return time.Time{}, nil }
func (d *day) SetStamp(context.Context, string) error                     { return nil }
func (d *day) Lock(context.Context, string, time.Duration) (func(context.Context) error, error) {
	return nil, ooo.ErrBusy
}

// call is what every call of Graph does first: it takes its time, and may fail
// before it did anything, or after.
func (d *day) call() (before, after error) {
	time.Sleep(200 * time.Millisecond)
	d.mu.Lock()
	d.calls++
	switch p := d.random.Float64(); {
	case p < failing/2:
		before = ooo.ErrUnavailable
		d.failed++
	case p < failing:
		after = fmt.Errorf("%w: %w", ooo.ErrNoAnswer, ooo.ErrUnavailable)
		d.failed++
	}
	return before, after
}

// covers notes that the user is covered until at, and for how long it was not.
func (d *day) covers(user ooo.ObjectID, at time.Time) {
	now := time.Now()
	if was := d.until[user]; !was.IsZero() && now.After(was) {
		d.gaps[user] += now.Sub(was)
		d.expired++
	}
	d.until[user] = at
}

func (d *day) CreateSubscription(_ context.Context, r ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	before, after := d.call()
	defer d.mu.Unlock()
	if before != nil {
		return ooo.GraphSubscription{}, before
	}
	var user ooo.ObjectID
	if _, err := fmt.Sscanf(r.Resource, "/users/%s", &user); err != nil {
		return ooo.GraphSubscription{}, ooo.ErrRejected
	}
	user = user[:len(user)-len("/events")]
	for id, s := range d.subs {
		if s.user == user && s.ExpiresAt.After(time.Now()) {
			return ooo.GraphSubscription{}, &ooo.Duplicate{ID: id}
		}
	}
	d.made++
	s := &daySub{ooo.GraphSubscription{
		ID: ooo.SubscriptionID(fmt.Sprintf("sub-%d", d.made)), Resource: r.Resource, NotificationURL: r.NotificationURL,
		LifecycleURL: r.LifecycleURL, ExpiresAt: time.Now().Add(d.lives[user]),
	}, user}
	d.subs[s.ID] = s
	d.covers(user, s.ExpiresAt)
	return s.GraphSubscription, after
}

func (d *day) PatchSubscription(_ context.Context, id ooo.SubscriptionID, _ ooo.SubscriptionPatch) (ooo.GraphSubscription, error) {
	before, after := d.call()
	defer d.mu.Unlock()
	s, ok := d.subs[id]
	switch {
	case before != nil:
		return ooo.GraphSubscription{}, before
	case !ok || !s.ExpiresAt.After(time.Now()):
		return ooo.GraphSubscription{}, ooo.ErrSubscriptionGone
	}
	s.ExpiresAt = time.Now().Add(d.lives[s.user])
	d.covers(s.user, s.ExpiresAt)
	return s.GraphSubscription, after
}

func (d *day) DeleteSubscription(_ context.Context, id ooo.SubscriptionID) error {
	before, after := d.call()
	defer d.mu.Unlock()
	if before != nil {
		return before
	}
	if s, ok := d.subs[id]; ok {
		d.until[s.user] = time.Now() // nothing covers until another is made
		delete(d.subs, id)
	}
	return after
}

func (d *day) Subscriptions(context.Context) iter.Seq2[ooo.GraphSubscription, error] {
	return func(func(ooo.GraphSubscription, error) bool) {}
}

// take takes a subscription away, as Graph sometimes does, and says so.
func (d *day) take() {
	d.mu.Lock()
	var key ooo.Key
	var event ooo.Lifecycle
	for id, s := range d.subs {
		for k, u := range d.users {
			if u.Person.ID == s.user && len(u.Subscriptions) == 1 && u.Subscriptions[0].ID == id {
				key, event = k, ooo.Lifecycle{SubscriptionID: id, Kind: ooo.SubscriptionWasRemoved, At: time.Now()}
			}
		}
		if key != "" {
			d.until[s.user] = time.Time{} // not our fault
			d.taken++
			delete(d.subs, id)
			break
		}
	}
	d.mu.Unlock()
	if key != "" {
		_ = d.Heard(context.Background(), key, event)
	}
}

// A thousand users for a day: lives of 45 minutes to 7 days, one call in twenty
// failing, and a subscription taken away by Graph every ten minutes. But for
// those, nobody is uncovered for a second.
func TestADayWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users = 1000
		d := newDay(users)
		s, err := subscribe.New(subscribe.Config{
			Queue: d, Store: d, Graph: d, Settings: subscribe.Settings{Resources: []string{events}, NotificationURL: hook, LifecycleURL: want.LifecycleURL},
			Lifetime: 7 * 24 * time.Hour, Keys: func(context.Context) (ooo.ClientStateKeys, error) { return keys, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
		for range 24 * 6 {
			time.Sleep(10 * time.Minute)
			d.take()
		}
		time.Sleep(10 * time.Minute)
		stop()
		running.Wait()
		var gap time.Duration
		for _, g := range d.gaps {
			gap += g
		}
		covered := 0
		for _, at := range d.until {
			if at.After(time.Now()) {
				covered++
			}
		}
		t.Logf("%d users, %d calls, %d failed, %d taken by Graph, %d made: %v uncovered through our fault, %d covered at the end",
			users, d.calls, d.failed, d.taken, d.made, gap, covered)
		if gap > 0 || d.expired > 0 {
			t.Errorf("uncovered for %v in %d gaps, want never", gap, d.expired)
		}
		if covered != users {
			t.Errorf("%d covered at the end, want %d", covered, users)
		}
	})
}

// Ten thousand users who are covered within minutes must not be renewed within
// minutes two days later.
func TestRenewalsNeverBunchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users = 10_000
		d := newDay(users)
		for id := range d.lives {
			d.lives[id] = 4200 * time.Minute
		}
		s, err := subscribe.New(subscribe.Config{
			Queue: d, Store: d, Graph: d, Settings: subscribe.Settings{Resources: []string{events}, NotificationURL: hook, LifecycleURL: want.LifecycleURL},
			Lifetime: 4200 * time.Minute, Keys: func(context.Context) (ooo.ClientStateKeys, error) { return keys, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
		time.Sleep(10 * time.Minute)
		stop()
		running.Wait()
		perMinute := map[int]int{}
		first, last := time.Time{}, time.Time{}
		for _, u := range d.users {
			at := u.Subscriptions[0].RenewAt
			if first.IsZero() || at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
			perMinute[int(at.Unix()/60)]++
		}
		most := 0
		for _, n := range perMinute {
			most = max(most, n)
		}
		t.Logf("%d renewals over %v, at most %d in a minute", users, last.Sub(first).Round(time.Minute), most)
		if most > 100 || len(d.users) != users {
			t.Errorf("%d renewals in one minute, want them spread over hours", most)
		}
	})
}
