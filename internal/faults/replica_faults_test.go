package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// Faults of the program's own processes.

// crash kills a replica.
func (tb *testbed) crash(r *replica) {
	r.Kill()
	tb.kills++
}

func (tb *testbed) crashAll() {
	for _, r := range tb.replicas {
		tb.crash(r)
	}
}

// crashAndRestart kills a replica and restarts it after a while.
func (tb *testbed) crashAndRestart(r *replica) {
	tb.crash(r)
	hold(time.Second, 5*time.Second)
	r.start()
}

// awaitTarget waits up to 10 seconds for the target of a fault.
func (tb *testbed) awaitTarget(reached func() bool) {
	tb.aims++
	if eventually(reached) {
		tb.hits++
	}
}

// slowReads delays Graph's answers to reads of mailboxes.
func (tb *testbed) slowReads(by time.Duration) {
	tb.t.Helper()
	for _, operation := range []string{"read", "batch"} {
		tb.sim.SetFault(graphsim.Fault{Operation: operation, Kind: "latency", Delay: graphsim.Duration(by)})
	}
}

// awaitReads waits until every mailbox has been read once more.
func (tb *testbed) awaitReads() {
	tb.t.Helper()
	now := time.Now()
	tb.await("after a fault", func() bool { return tb.allReadSince(now) })
}

// terminate stops a replica with SIGTERM.
func (tb *testbed) terminate(r *replica) {
	tb.t.Helper()
	tb.kills++
	if code := r.Stop(); code != 0 {
		tb.t.Errorf("exit code after SIGTERM = %d, want 0", code)
	}
}

// crashAt kills all replicas when one of them sends a matching request to Redis: before
// the request arrives, or, with forward, after it arrived and before its answer does.
func (tb *testbed) crashAt(target match, forward bool) {
	var first sync.Once
	var caught atomic.Bool
	killed := make(chan struct{})
	tb.intercept(func(request []byte, pass func()) (cut bool) {
		if !target(request) {
			return false
		}
		first.Do(func() { // others wait here, too
			cut = true
			if forward {
				pass()
			}
			caught.Store(true)
			<-killed
		})
		return cut
	}, func() {
		tb.awaitTarget(caught.Load)
		tb.crashAll()
	})
	close(killed)
	tb.restartDead()
}

// intercept lets an interceptor see the requests to Redis while do runs.
func (tb *testbed) intercept(i interceptor, do func()) {
	tb.redis.relay.intercept.Store(&i)
	do()
	tb.redis.relay.intercept.Store(nil)
}

// Each matches one kind of request to Redis.
var (
	changeSaved   = contains(`"kind":"changed"`)   // a save of a new state
	deliverySaved = contains(`"kind":"delivered"`) // a save of a successful delivery
	hintWritten   = contains("\r\nread\t")         // the hint of a notification
	stopSaved     = contains(`"kind":"stopped"`)   // a save that removes an address
)

// partitionTaken matches taking a partition from a dead replica, which also removes its beat.
func partitionTaken(request []byte) bool {
	return contains("\r\nlease:")(request) && contains("\r\nbeat:")(request)
}

var created = regexp.MustCompile(`"createdAt":"([^"]+)"`)

// subscriptionSaved matches the save of a subscription that Graph has just created.
func subscriptionSaved(request []byte) bool {
	for _, found := range created.FindAllSubmatch(request, -1) {
		if at, err := time.Parse(time.RFC3339Nano, string(found[1])); err == nil && time.Since(at) < time.Second {
			return true
		}
	}
	return false
}

var processCells = []cell{
	{name: "kill -9 at any time", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.crashAndRestart(tb.anyReplica())
	}},
	{name: "kill -9 while mailboxes are read", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.slowReads(time.Second)
		tb.awaitTarget(func() bool { return tb.sim.Faults()[0].Hits+tb.sim.Faults()[1].Hits > 0 })
		tb.crashAll()
		tb.sim.ClearFaults()
		hold(time.Second, 5*time.Second)
		tb.restartDead()
	}},
	{name: "kill -9 between read and save", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.crashAt(changeSaved, false)
	}},
	{name: "kill -9 between save and delivery", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.crashAt(changeSaved, true)
	}},
	{name: "kill -9 between delivery and its save", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.crashAt(deliverySaved, false)
	}},
	{name: "kill -9 after a delivery's save", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.crashAt(deliverySaved, true)
	}},
	{name: "kill -9 before the mediator's answer", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		var called atomic.Bool
		tb.mediator.Answer(func(mediatorsim.Call) mediatorsim.Reaction {
			called.Store(true)
			return mediatorsim.Reaction{Delay: 300 * time.Millisecond}
		})
		tb.awaitTarget(called.Load)
		tb.crashAll()
		tb.mediator.Answer(nil)
		tb.restartDead()
	}},
	{name: "kill -9 between POST subscription and save", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.removeSubscriptions(false)
		tb.crashAt(subscriptionSaved, false)
	}},
	{name: "kill -9 while POST subscription is open", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.sim.SetFault(graphsim.Fault{Operation: "subscription-create", Kind: "latency", Delay: graphsim.Duration(500 * time.Millisecond)})
		tb.removeSubscriptions(false)
		tb.awaitTarget(func() bool { return tb.sim.Faults()[0].Hits > 0 })
		time.Sleep(tb.randomPart(time.Second)) // Graph has created some by then
		tb.sim.ClearFaults()
		tb.crashAll()
		tb.restartDead()
	}},
	{name: "kill -9 between hint and 202", duplicates: afterLostAnswer, inject: func(tb *testbed) { tb.crashAt(hintWritten, true) }},
	{name: "kill -9 while a dead replica's partitions are taken", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		for _, forward := range []bool{false, true} {
			tb.crash(tb.anyReplica())
			tb.crashAt(partitionTaken, forward)
			tb.awaitReads()
		}
	}},
	{name: "kill -9 before a stop is carried out", duplicates: afterLostAnswer, inject: crashDuringStop(false)},
	{name: "kill -9 after a stop is carried out", duplicates: afterLostAnswer, inject: crashDuringStop(true)},
	{name: "rapid starts and stops", inject: func(tb *testbed) {
		tb.toggleMonitoring(tb.leaver, 21) // the last one is a stop
		tb.toggleMonitoring(tb.monitored[0], 20)
	}},
	{name: "kill -9 of one replica, then of the other", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		for range 3 {
			for _, r := range tb.replicas {
				tb.crashAndRestart(r)
				time.Sleep(tb.randomPart(2 * time.Second))
			}
		}
	}},
	{name: "kill -9 of all replicas, six times", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		for range 6 {
			tb.crashAll()
			tb.restartDead()
			time.Sleep(time.Second + tb.randomPart(2*time.Second))
		}
	}},
	{name: "SIGTERM", short: true, inject: func(tb *testbed) {
		r := tb.anyReplica()
		tb.terminate(r)
		hold(time.Second, 5*time.Second)
		r.start()
	}},
	{name: "SIGTERM of all replicas", inject: func(tb *testbed) {
		for _, r := range tb.replicas {
			tb.terminate(r)
		}
		hold(time.Second, 5*time.Second)
		tb.restartDead()
	}},
	{name: "SIGSTOP until its partitions are taken", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		r := tb.anyReplica()
		r.signal(syscall.SIGSTOP)
		hold(12*time.Second, 25*time.Second)
		r.signal(syscall.SIGCONT)
	}},
	{name: "SIGSTOP between read and save", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		for _, r := range tb.replicas {
			tb.slowReads(500 * time.Millisecond)
			tb.awaitTarget(func() bool { return tb.sim.Faults()[0].Hits+tb.sim.Faults()[1].Hits > 3 })
			r.signal(syscall.SIGSTOP)
			time.Sleep(tb.randomPart(time.Second)) // the answers are stale when the replica resumes
			tb.sim.ClearFaults()
			time.Sleep(10 * time.Second)
			r.signal(syscall.SIGCONT)
			time.Sleep(time.Second)
		}
	}},
	{name: "SIGSTOP between save and delivery", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		for _, r := range tb.replicas {
			// Slow Redis, so that answers are under way, and stale when the replica resumes.
			tb.redis.relay.delay.Store(int64(300 * time.Millisecond))
			time.Sleep(2*time.Second + tb.randomPart(time.Second))
			r.signal(syscall.SIGSTOP)
			tb.redis.relay.delay.Store(0)
			time.Sleep(12 * time.Second)
			r.signal(syscall.SIGCONT)
		}
	}},
	{name: "SIGSTOP of one until the other has taken over and left", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		paused, other := tb.replicas[0], tb.replicas[1]
		paused.signal(syscall.SIGSTOP)
		hold(10*time.Second, 15*time.Second) // its memory is stale by then
		tb.terminate(other)
		paused.signal(syscall.SIGCONT)
		time.Sleep(5 * time.Second)
		other.start()
	}},
	{name: "SIGSTOP of each replica in turn", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		for range 2 {
			for _, r := range tb.replicas {
				r.signal(syscall.SIGSTOP)
				time.Sleep(11*time.Second + tb.randomPart(2*time.Second))
				r.signal(syscall.SIGCONT)
			}
		}
	}},
	{name: "clock of one replica 5 s ahead", extraBuild: skewed, inject: skewClock(5, 0)},
	{name: "clock of one replica 5 s behind", extraBuild: skewed, inject: skewClock(-5, 0)},
	{name: "clock of one replica jumps 10 min ahead", extraBuild: skewed, duplicates: afterLostAnswer, inject: skewClock(600, 7)},
	{name: "clock of one replica jumps 10 min back", extraBuild: skewed, duplicates: afterLostAnswer, inject: skewClock(-600, 7)},
}

// crashDuringStop kills all replicas while one of them carries out a stop.
func crashDuringStop(forward bool) func(*testbed) {
	return func(tb *testbed) {
		tb.startLeaver()
		tb.awaitReads()
		tb.monitored = tb.monitored[1:]
		var stopping sync.WaitGroup
		stopping.Go(func() {
			tb.await("the stop is acknowledged", func() bool {
				status, err := tb.mediator.Monitor(context.Background(), tb.leaver.UserPrincipalName, false)
				return err == nil && status == http.StatusOK
			})
		})
		tb.crashAt(stopSaved, forward)
		stopping.Wait()
	}
}

// skewClock shifts the clock of a replica by some seconds, once it has run for after seconds.
func skewClock(seconds, after int) func(*testbed) {
	return func(tb *testbed) {
		tb.t.Helper()
		r := tb.anyReplica()
		tb.terminate(r)
		program := r.program
		r.program = skewed
		r.start(fmt.Sprintf("CLOCK_SKEW=%d", seconds), fmt.Sprintf("CLOCK_SKEW_AFTER=%d", after))
		time.Sleep(15 * time.Second)
		tb.terminate(r)
		r.program = program
		r.start()
	}
}

// toggleMonitoring stops and starts monitoring of a user in turn, each time at another
// replica and without waiting in between. The last request decides.
func (tb *testbed) toggleMonitoring(u graphsim.User, times int) {
	tb.restarted[u.ID] = true
	for i := range times {
		tb.mediator.SetMonitorURL("http://" + tb.replicas[i%len(tb.replicas)].addr)
		tb.monitor(u, i%2 == 1)
	}
	tb.mediator.SetMonitorURL("http://" + tb.proxy.Addr())
}

// removeSubscriptions makes Graph remove all subscriptions, with or without notifications.
func (tb *testbed) removeSubscriptions(silent bool) {
	tb.t.Helper()
	for _, sub := range tb.sim.Subscriptions() {
		if err := tb.sim.RemoveSubscription(sub.ID, silent); err != nil {
			tb.t.Error(err)
		}
	}
}

// restartDead starts the replicas that are not running.
func (tb *testbed) restartDead() {
	for _, r := range tb.replicas {
		if !r.Alive() {
			r.start()
		}
	}
}

// randomPart returns a random duration below d.
func (tb *testbed) randomPart(d time.Duration) time.Duration {
	return time.Duration(tb.random.Int64N(int64(d)))
}
