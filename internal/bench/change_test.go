package bench_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
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
		chain := tb.floorChain()
		heading("c. from the notification of a change to the mediator, %d users polled", changeUsers)
		restFloor := sequentially(chain)
		loadFloor := atRate(changeRate, changeTime, chain)

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

		row("one at a time, p50", quantile(rest, 0.5), "ms", quantile(restFloor, 0.5), "≤ floor + 2 ms")
		row("one at a time, p99", quantile(rest, 0.99), "ms", quantile(restFloor, 0.99), "")
		row("500 a second, p50", quantile(load, 0.5), "ms", quantile(loadFloor, 0.5), "≤ floor + 2 ms")
		row("500 a second, p99", quantile(load, 0.99), "ms", quantile(loadFloor, 0.5), "≤ p50 of floor + 15 ms")
		row("500 a second, delivered", float64(len(load)), "", changeRate*changeTime.Seconds(), "floor: all changes")
		row("500 a second, cores busy with the program", used.program/changeTime.Seconds(), "", 0, "")
		all := used.program + used.redis + used.graph + used.own
		row("500 a second, cores busy in all", all/changeTime.Seconds(), "", float64(runtime.NumCPU()), "floor: all cores")
		tb.throughOtherReplica(probe)
	}
}

// throughOtherReplica sends the notifications for mailboxes of one replica to another.
func (tb *testbed) throughOtherReplica(probe *probe) {
	first := maps.Keys(tb.table().Beats)
	second := tb.start()
	tb.awaitEvenShares()
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
	row("one at a time, through another replica, p50", median(another), "ms", median(owner), "≤ 1 ms more than through the owner")
}

// table returns the owners table.
func (tb *testbed) table() store.Table {
	tb.t.Helper()
	fields, err := tb.redis[0].HGetAll(context.Background(), "om:{om}:owners").Result()
	must.NoError(tb.t, err)
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

// floorChain returns a function that makes only the round trips that a change needs:
// notification with one write to Redis, claim, record read, mailbox read, record written,
// delivery claimed, setstatus.
func (tb *testbed) floorChain() func(n int) (float64, error) {
	tb.t.Helper()
	graph, err := newBareClient(tb.graph.graphInfo, false)
	must.NoError(tb.t, err)
	in := startInbox(tb.t, "inbox floor", tb.redisURL)
	items := notificationItems(tb.graph.users)
	return func(n int) (float64, error) {
		ctx := context.Background()
		i := n % len(items)
		key := fmt.Sprintf("floor:%d", i)
		write := func() error { return tb.redis[0].HSet(ctx, key, "text", n).Err() }
		began := time.Now()
		for _, step := range []func() error{
			func() error { return post(in.url, collection(items[i:i+1]), http.StatusAccepted) },
			write,
			func() error { return graph.read(tb.graph.users[i].ID) },
			func() error { return tb.redis[0].HGetAll(ctx, key).Err() },
			write,
			write,
			func() error {
				state := []byte(`{"email":"floor","status":"True","message":"x"}`)
				return post(tb.mediator.URL+"/api/setstatus", state, http.StatusOK)
			},
		} {
			if err := step(); err != nil {
				return 0, err
			}
		}
		return ms(time.Since(began)), nil
	}
}

// probe makes changes and waits until the mediator receives them.
type probe struct {
	tb         *testbed
	replicaURL string // base URL of the replica that is notified; empty: none
	users      []graphsim.User
	items      []string
	changes    atomic.Int64
}

func (tb *testbed) newProbe() *probe {
	return &probe{tb: tb, replicaURL: tb.replicas[0].base, users: tb.graph.users, items: notificationItems(tb.graph.users)}
}

// once changes another user at each call and sends the notification.
func (n *probe) once(int) (float64, error) {
	change := int(n.changes.Add(1))
	user, text := change%len(n.users), fmt.Sprintf("Change %d", change)
	arrived := n.tb.mediator.arrival(text)
	if err := n.tb.graph.setReply(n.users[user].ID, text); err != nil {
		return 0, err
	}
	began := time.Now()
	if n.replicaURL != "" {
		if err := post(n.replicaURL+notificationPath, collection(n.items[user:user+1]), http.StatusAccepted); err != nil {
			return 0, err
		}
	}
	select {
	case at := <-arrived:
		return max(ms(at.Sub(began)), 0), nil // the poll may have been faster
	case <-time.After(20 * time.Second):
		return 0, fmt.Errorf("%q was not delivered", text)
	}
}
