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
	changeUsers       = 1000
	changeRate        = 500 // a second
	changeTime        = 8 * time.Second
	sequentialChanges = 200
)

// BenchmarkChange is part c: the time from the notification of a change until the mediator
// receives it. The floor is the round trips that this needs, one after another.
func BenchmarkChange(b *testing.B) {
	for b.Loop() {
		tb := newTestbed(b, config{users: changeUsers})
		chain := tb.newFloorChain()
		heading("c. from the notification of a change to the mediator, %d users polled", changeUsers)
		restFloor := sequentially(chain.once)
		loadFloor := atRate(changeRate, changeTime, chain.once)

		tb.start()
		tb.enrol()
		probe := tb.newProbe()
		rest := sequentially(probe.once)
		var profiled sync.WaitGroup
		profiled.Go(func() { tb.saveProfile("change", 7) })
		before := tb.usage()
		load := atRate(changeRate, changeTime, probe.once)
		used := tb.usage().since(before)
		profiled.Wait()

		row(figure{name: "one at a time, p50", value: quantile(rest, 0.5), unit: "ms", floor: quantile(restFloor, 0.5), goal: "≤ floor + 2 ms"})
		row(figure{name: "one at a time, p99", value: quantile(rest, 0.99), unit: "ms", floor: quantile(restFloor, 0.99)})
		row(figure{name: "500 a second, p50", value: quantile(load, 0.5), unit: "ms", floor: quantile(loadFloor, 0.5), goal: "≤ floor + 2 ms"})
		row(figure{name: "500 a second, p99", value: quantile(load, 0.99), unit: "ms", floor: quantile(loadFloor, 0.5), goal: "≤ p50 of floor + 15 ms"})
		row(figure{name: "500 a second, delivered", value: float64(len(load)), floor: changeRate * changeTime.Seconds(), goal: "floor: all changes"})
		busy := func(who string, cpu float64) figure {
			return figure{name: "500 a second, cores busy " + who, value: cpu / changeTime.Seconds()}
		}
		row(busy("with the program", used.program))
		row(busy("with Redis", used.redis))
		row(busy("with the local Graph", used.graph))
		row(busy("with mediator and sender", used.own))
		all := busy("in all", used.program+used.redis+used.graph+used.own)
		all.floor, all.goal = float64(runtime.NumCPU()), "floor: all cores"
		row(all)
		tb.throughOtherReplica(probe)
	}
}

// throughOtherReplica sends the notifications for mailboxes of one replica to another.
func (tb *testbed) throughOtherReplica(probe *probe) {
	first := maps.Keys(tb.table().Beats)
	second := tb.start()
	owners := func() (owned map[string]int) {
		owned = map[string]int{}
		for _, lease := range tb.table().Leases {
			owned[lease.Life]++
		}
		return owned
	}
	tb.eventually("the replicas share the partitions", func() bool {
		shares := slices.Collect(maps.Values(owners()))
		return len(shares) == 2 && shares[0] == shares[1]
	})
	time.Sleep(idleTime)
	table := tb.table()
	for life := range first {
		probe.users = slices.DeleteFunc(slices.Clone(probe.users), func(u graphsim.User) bool {
			return table.Leases[ooo.RecordID(u.ID).Partition()].Life != life
		})
	}
	probe.items = notificationItems(probe.users)
	through := func(r *replica) []float64 {
		probe.replicaURL = r.base
		return sequentially(probe.once)
	}
	owner, another := through(tb.replicas[0]), through(second)
	row(figure{name: "one at a time, through another replica, p50", value: quantile(another, 0.5), unit: "ms", floor: quantile(owner, 0.5), goal: "≤ 1 ms more than through the owner"})
}

// table returns the owners table.
func (tb *testbed) table() store.Table {
	tb.t.Helper()
	fields, err := tb.redis[0].HGetAll(context.Background(), "om:{om}:owners").Result()
	if err != nil {
		tb.t.Fatal(err)
	}
	return store.ParseTable(fields)
}

// sequentially calls once repeatedly, with pauses.
func sequentially(once func(n int) (float64, error)) (took []float64) {
	for n := range sequentialChanges {
		if one, err := once(n); err == nil {
			took = append(took, one)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return took
}

// atRate calls once at a fixed rate, without waiting for earlier calls.
func atRate(perSecond int, duration time.Duration, once func(n int) (float64, error)) (took []float64) {
	var mu sync.Mutex
	var running sync.WaitGroup
	began := time.Now()
	for n := range int(float64(perSecond) * duration.Seconds()) {
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(perSecond))))
		running.Go(func() {
			one, err := once(sequentialChanges + n)
			if err != nil {
				return // not counted
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, one)
		})
	}
	running.Wait()
	return took
}

// floorChain makes only the round trips that a change needs: notification with one write to
// Redis, claim, record read, mailbox read, record written, delivery claimed, setstatus.
type floorChain struct {
	tb     *testbed
	inbox  inbox
	client *bareClient
	store  *redis.Client
	items  []string
}

func (tb *testbed) newFloorChain() *floorChain {
	tb.t.Helper()
	bare, err := newBareClient(tb.graph.graphInfo, false)
	if err != nil {
		tb.t.Fatal(err)
	}
	return &floorChain{
		tb: tb, client: bare, store: tb.redis[0], items: notificationItems(tb.graph.users),
		inbox: startInbox(tb.t, "inbox floor", tb.redisURL),
	}
}

func (c *floorChain) once(n int) (float64, error) {
	ctx := context.Background()
	i := n % len(c.items)
	key := fmt.Sprintf("floor:%d", i)
	write := func() error { return c.store.HSet(ctx, key, "text", n).Err() }
	began := time.Now()
	if status := post(c.inbox.url, collection(c.items[i:i+1])); status != http.StatusAccepted {
		return 0, fmt.Errorf("status %d", status)
	}
	for _, step := range []func() error{
		write,
		func() error { return c.client.read(c.tb.graph.users[i].ID) },
		func() error { return c.store.HGetAll(ctx, key).Err() },
		write,
		write,
	} {
		if err := step(); err != nil {
			return 0, err
		}
	}
	if status := post(c.tb.mediator.URL+"/api/setstatus", []byte(`{"email":"floor","status":"True","message":"x"}`)); status != http.StatusOK {
		return 0, fmt.Errorf("status %d", status)
	}
	return ms(time.Since(began)), nil
}

// probe makes changes and waits until the mediator receives them.
type probe struct {
	tb         *testbed
	replicaURL string // base URL of the replica that is notified; empty: none
	users      []graphsim.User
	items      []string

	mu      sync.Mutex
	changes int                       // guarded by mu
	waiting map[string]chan time.Time // by text; guarded by mu
}

func (tb *testbed) newProbe() *probe {
	n := &probe{tb: tb, replicaURL: tb.replicas[0].base, users: tb.graph.users, items: notificationItems(tb.graph.users), waiting: map[string]chan time.Time{}}
	tb.mediator.setOnState(func(message string, at time.Time) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if arrived := n.waiting[message]; arrived != nil {
			arrived <- at
			delete(n.waiting, message)
		}
	})
	return n
}

// once changes another user at each call and sends the notification.
func (n *probe) once(int) (float64, error) {
	arrived := make(chan time.Time, 1)
	n.mu.Lock()
	user, text := n.changes%len(n.users), fmt.Sprintf("Change %d", n.changes)
	n.changes++
	n.waiting[text] = arrived
	n.mu.Unlock()
	if err := n.tb.graph.setReply(n.users[user].ID, text); err != nil {
		return 0, err
	}
	began := time.Now()
	if n.replicaURL != "" {
		if status := post(n.replicaURL+notificationPath, collection(n.items[user:user+1])); status != http.StatusAccepted {
			return 0, fmt.Errorf("status %d", status)
		}
	}
	select {
	case at := <-arrived:
		return max(ms(at.Sub(began)), 0), nil // the poll may have been faster
	case <-time.After(20 * time.Second):
		return 0, fmt.Errorf("%q was not delivered", text)
	}
}
