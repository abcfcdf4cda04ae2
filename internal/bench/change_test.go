package bench_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

const (
	changeUsers = 1000
	changeRate  = 500 // a second
	changeSpan  = 8 * time.Second
	changesRest = 200 // one after the other
)

// BenchmarkChange is part c: from a notification of a change until the mediator
// is told, and beside it the round trips that this needs, one after the other and
// with nothing between them.
func BenchmarkChange(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, plan{users: changeUsers})
		chain := w.newChain()
		heading(b, "c. from the notification of a change to the mediator, %d users polled", changeUsers)
		restFloor := atRest(chain.once)
		loadFloor := loaded(changeRate, changeSpan, chain.once)

		w.start()
		w.enrol()
		news := w.newNews()
		rest := atRest(news.once)
		var profiled sync.WaitGroup
		profiled.Go(func() { w.saveProfile("change", 7) })
		before := w.spent()
		load := loaded(changeRate, changeSpan, news.once)
		after := w.spent()
		profiled.Wait()

		row(b, figure{name: "one at a time, p50", value: quantile(rest, 0.5), unit: "ms", floor: quantile(restFloor, 0.5), goal: "≤ floor + 2 ms"})
		row(b, figure{name: "one at a time, p99", value: quantile(rest, 0.99), unit: "ms", floor: quantile(restFloor, 0.99)})
		row(b, figure{name: "500 a second, p50", value: quantile(load, 0.5), unit: "ms", floor: quantile(loadFloor, 0.5), goal: "≤ floor + 2 ms"})
		row(b, figure{name: "500 a second, p99", value: quantile(load, 0.99), unit: "ms", floor: quantile(loadFloor, 0.5), goal: "≤ p50 of floor + 15 ms"})
		row(b, figure{name: "500 a second, told", value: float64(len(load)), floor: changeRate * changeSpan.Seconds(), goal: "the floor is the changes made"})
		all := 0.0
		for i, who := range spenders {
			used := (after[i] - before[i]) / changeSpan.Seconds()
			all += used
			row(b, figure{name: "500 a second, cores busy with " + who, value: used})
		}
		row(b, figure{name: "500 a second, cores busy with all of these", value: all, floor: float64(runtime.NumCPU()), goal: "the floor is the cores there are"})
		b.ReportMetric(0, "ns/op")
		w.throughAnother(b, news)
	}
}

// throughAnother has a second replica, and sends it notifications about mailboxes of the
// first one.
func (w *world) throughAnother(b *testing.B, news *news) {
	first := maps.Keys(w.table().Beats)
	second := w.start()
	owners := func() (owned map[string]int) {
		owned = map[string]int{}
		for _, lease := range w.table().Leases {
			owned[lease.Life]++
		}
		return owned
	}
	w.eventually("the replicas share the partitions", func() bool {
		shares := slices.Collect(maps.Values(owners()))
		return len(shares) == 2 && shares[0] == shares[1]
	})
	time.Sleep(restTime)
	table := w.table()
	for life := range first {
		news.only(func(u graphsim.User) bool { return table.Leases[ooo.RecordID(u.ID).Partition()].Life == life })
	}
	through := func(r *replica) []float64 {
		news.to = r.base
		return atRest(news.once)
	}
	owner, another := through(w.replicas[0]), through(second)
	row(b, figure{name: "one at a time, through another replica, p50", value: quantile(another, 0.5), unit: "ms", floor: quantile(owner, 0.5), goal: "≤ 1 ms more than through the owner"})
}

// table returns the table of owners.
func (w *world) table() store.Owners {
	w.t.Helper()
	fields, err := w.redis[0].HGetAll(context.Background(), "om:{om}:owners").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	return store.ParseOwners(fields)
}

// spenders are the processes that share the machine.
var spenders = [...]string{"the program", "Redis", "the local Graph", "mediator and sender"}

// spent is the CPU seconds of each so far.
func (w *world) spent() (all [len(spenders)]float64) {
	w.t.Helper()
	for _, r := range w.replicas {
		all[0] += cpuOf(w.t, r.PID())
	}
	return [...]float64{all[0], infoOf(w.t, w.redis, "cpu", "used_cpu_user", "used_cpu_sys"), cpuOf(w.t, w.graph.PID()), ownCPU()}
}

// atRest does it once and once again, with a pause between.
func atRest(once func(n int) (float64, error)) (took []float64) {
	for n := range changesRest {
		if one, err := once(n); err == nil {
			took = append(took, one)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return took
}

// loaded does it so many times a second, whether the ones before are done or not.
func loaded(perSecond int, span time.Duration, once func(n int) (float64, error)) (took []float64) {
	var mu sync.Mutex
	var running sync.WaitGroup
	began := time.Now()
	for n := range int(float64(perSecond) * span.Seconds()) {
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(perSecond))))
		running.Go(func() {
			one, err := once(changesRest + n)
			if err != nil {
				return // is missing in the count
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, one)
		})
	}
	running.Wait()
	return took
}

// chain is the round trips that a change needs and nothing else: notification to
// 202 with one write to Redis, claim, record read, mailbox read, record written,
// delivery claimed, mediator told.
type chain struct {
	w       *world
	inbox   inbox
	bare    *bare
	store   *redis.Client
	notices []string
}

func (w *world) newChain() *chain {
	w.t.Helper()
	bare, err := newBare(w.graph.graphPlace, false)
	if err != nil {
		w.t.Fatal(err)
	}
	return &chain{
		w: w, bare: bare, store: w.redis[0], notices: noticesOf(w.graph.users),
		inbox: startInbox(w.t, "inbox floor", inboxOrder{RedisURL: w.redisURL}),
	}
}

func (c *chain) once(n int) (float64, error) {
	ctx := context.Background()
	i := n % len(c.notices)
	key := fmt.Sprintf("floor:%d", i)
	write := func() error { return c.store.HSet(ctx, key, "text", n).Err() }
	began := time.Now()
	if status := post(c.inbox.url, collection(c.notices[i:i+1])); status != http.StatusAccepted {
		return 0, fmt.Errorf("status %d", status)
	}
	for _, step := range []func() error{
		write,
		func() error { return c.bare.one(c.w.graph.users[i].ID) },
		func() error { return c.store.HGetAll(ctx, key).Err() },
		write,
		write,
	} {
		if err := step(); err != nil {
			return 0, err
		}
	}
	if status := post(c.w.mediator.URL+"/api/setstatus", []byte(`{"email":"floor","status":"True","message":"x"}`)); status != http.StatusOK {
		return 0, fmt.Errorf("status %d", status)
	}
	return ms(time.Since(began)), nil
}

// news makes changes and waits until the mediator knows them.
type news struct {
	w       *world
	to      string // base URL of the replica that is notified
	users   []graphsim.User
	notices []string

	mu      sync.Mutex
	made    int                       // changes; guarded by mu, as all below
	waiting map[string]chan time.Time // by text
}

func (w *world) newNews() *news {
	n := &news{w: w, to: w.replicas[0].base, users: w.graph.users, notices: noticesOf(w.graph.users), waiting: map[string]chan time.Time{}}
	w.mediator.listen(func(_ string, state told) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if arrived := n.waiting[state.message]; arrived != nil {
			arrived <- state.at
			delete(n.waiting, state.message)
		}
	})
	return n
}

// only leaves the users that are wanted.
func (n *news) only(wanted func(u graphsim.User) bool) {
	n.users = slices.DeleteFunc(slices.Clone(n.users), func(u graphsim.User) bool { return !wanted(u) })
	n.notices = noticesOf(n.users)
}

// once makes a change of another user each time, and announces it.
func (n *news) once(int) (float64, error) {
	return n.change(func(user int) error {
		if status := post(n.to+notificationPath, collection(n.notices[user:user+1])); status != http.StatusAccepted {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
}

// unannounced is once without a notification.
func (n *news) unannounced(int) (float64, error) {
	return n.change(func(int) error { return nil })
}

func (n *news) change(announce func(user int) error) (float64, error) {
	arrived := make(chan time.Time, 1)
	n.mu.Lock()
	user, text := n.made%len(n.users), fmt.Sprintf("Change %d", n.made)
	n.made++
	n.waiting[text] = arrived
	n.mu.Unlock()
	if err := n.w.graph.reply(n.users[user].ID, text); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := announce(user); err != nil {
		return 0, err
	}
	select {
	case at := <-arrived:
		return max(ms(at.Sub(began)), 0), nil // the poll may have seen it before we said so
	case <-time.After(20 * time.Second):
		return 0, fmt.Errorf("%q was not told", text)
	}
}
