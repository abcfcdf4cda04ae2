package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"syscall"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// What befalls the program's own processes.

// crash ends a replica as a crash would.
func (w *world) crash(r *replica) {
	r.Kill()
	w.kills++
}

// crashAll ends all replicas and starts them again.
func (w *world) crashAll() {
	for _, r := range w.replicas {
		w.crash(r)
	}
	w.revive()
}

// killed ends a replica as a crash would and starts it again after a while.
func (w *world) killed(r *replica) {
	w.crash(r)
	last(time.Second, 5*time.Second)
	r.start()
}

// met waits for the moment that a cell aims at.
func (w *world) met(moment func() bool) {
	w.aims++
	if soon(moment) {
		w.hits++
	}
}

// slowReads has Graph take its time for mailboxes.
func (w *world) slowReads(by time.Duration) {
	w.t.Helper()
	for _, operation := range []string{"read", "batch"} {
		w.fault(graphsim.Fault{Operation: operation, Kind: "latency", Delay: graphsim.Duration(by)})
	}
}

// read waits until every mailbox has been read from now on.
func (w *world) read() {
	w.t.Helper()
	now := time.Now()
	w.await("after a fault", func() bool { return w.allReadSince(now) })
}

// terminate ends a replica as an operator would.
func (w *world) terminate(r *replica) {
	w.t.Helper()
	w.kills++
	if code := r.Stop(); code != 0 {
		w.t.Errorf("exit code after SIGTERM = %d, want 0", code)
	}
}

// crashAt kills all replicas at the moment when one of them sends Redis a request
// that is aimed at: before it arrives, or, if it passes, before it is answered.
func (w *world) crashAt(aims aim, passes bool) {
	t := &trap{aims: aims, passes: passes, sprung: make(chan struct{}), gone: make(chan struct{})}
	w.store.way.trap.Store(t)
	w.await10(t.sprung)
	for _, r := range w.replicas {
		w.crash(r)
	}
	w.store.way.trap.Store(nil)
	close(t.gone)
	w.revive()
}

// await10 waits for the moment that a cell aims at, if it comes within 10 s.
func (w *world) await10(moment <-chan struct{}) {
	w.aims++
	select {
	case <-moment:
		w.hits++
	case <-time.After(10 * time.Second):
	}
}

// What only one kind of request to Redis is.
var (
	changeSaved    = bears(`"kind":"changed"`)   // a record with a new state
	deliverySaved  = bears(`"kind":"delivered"`) // a record, of which an attempt ended well
	hintLeft       = bears("\r\nread\t")         // a notification
	stopCarriedOut = bears(`"kind":"stopped"`)   // a record that an address has left
)

// partitionTaken aims at a take from a dead replica, whose beat is removed.
func partitionTaken(piece []byte) bool {
	return bears("\r\nlease:")(piece) && bears("\r\nbeat:")(piece)
}

var created = regexp.MustCompile(`"createdAt":"([^"]+)"`)

// coverSaved aims at a record with a subscription that Graph has just made.
func coverSaved(piece []byte) bool {
	for _, found := range created.FindAllSubmatch(piece, -1) {
		if at, err := time.Parse(time.RFC3339Nano, string(found[1])); err == nil && time.Since(at) < time.Second {
			return true
		}
	}
	return false
}

var processCells = []cell{
	{name: "kill -9 at any time", short: true, allowed: unanswered, apply: func(w *world) {
		w.killed(w.one())
	}},
	{name: "kill -9 while mailboxes are read", allowed: unanswered, apply: func(w *world) {
		w.slowReads(time.Second)
		w.met(func() bool { return w.sim.Faults()[0].Hits+w.sim.Faults()[1].Hits > 0 })
		for _, r := range w.replicas {
			w.crash(r)
		}
		w.sim.ClearFaults()
		last(time.Second, 5*time.Second)
		w.revive()
	}},
	{name: "kill -9 between read and save", short: true, allowed: unanswered, apply: func(w *world) {
		w.crashAt(changeSaved, false)
	}},
	{name: "kill -9 between save and delivery", short: true, allowed: unanswered, apply: func(w *world) {
		w.crashAt(changeSaved, true)
	}},
	{name: "kill -9 between delivery and its save", short: true, allowed: unanswered, apply: func(w *world) {
		w.crashAt(deliverySaved, false)
	}},
	{name: "kill -9 after a delivery's save", allowed: unanswered, apply: func(w *world) {
		w.crashAt(deliverySaved, true)
	}},
	{name: "kill -9 before the mediator's answer", allowed: unanswered, apply: func(w *world) {
		sent := make(chan struct{}, 1)
		w.mediator.Answer(func(mediatorsim.Call) mediatorsim.Reaction {
			select {
			case sent <- struct{}{}:
			default:
			}
			return mediatorsim.Reaction{Delay: 300 * time.Millisecond}
		})
		w.await10(sent)
		for _, r := range w.replicas {
			w.crash(r)
		}
		w.mediator.Answer(nil)
		w.revive()
	}},
	{name: "kill -9 between POST subscription and save", short: true, allowed: unanswered, apply: func(w *world) {
		w.uncover(false)
		w.crashAt(coverSaved, false)
	}},
	{name: "kill -9 while POST subscription is open", allowed: unanswered, apply: func(w *world) {
		w.fault(graphsim.Fault{Operation: "subscription-create", Kind: "latency", Delay: graphsim.Duration(500 * time.Millisecond)})
		w.uncover(false)
		w.met(func() bool { return w.sim.Faults()[0].Hits > 0 })
		time.Sleep(w.part(time.Second)) // some are made by then
		w.sim.ClearFaults()
		w.crashAll()
	}},
	{name: "kill -9 between hint and 202", allowed: unanswered, apply: func(w *world) { w.crashAt(hintLeft, true) }},
	{name: "kill -9 while a dead replica's partitions are taken", allowed: unanswered, apply: func(w *world) {
		for _, passes := range []bool{false, true} {
			w.crash(w.one())
			w.crashAt(partitionTaken, passes)
			w.read()
		}
	}},
	{name: "kill -9 before a stop is carried out", allowed: unanswered, apply: stopped(false)},
	{name: "kill -9 once a stop is carried out", allowed: unanswered, apply: stopped(true)},
	{name: "starts and stops within milliseconds", apply: func(w *world) {
		w.flip(w.left, 21) // the last one is a stop
		w.flip(w.people[0], 20)
	}},
	{name: "kill -9 of one replica, then of the other", allowed: unanswered, apply: func(w *world) {
		for range 3 {
			for _, r := range w.replicas {
				w.killed(r)
				time.Sleep(w.part(2 * time.Second))
			}
		}
	}},
	{name: "kill -9 of all, again and again", allowed: unanswered, apply: func(w *world) {
		for range 6 {
			w.crashAll()
			time.Sleep(time.Second + w.part(2*time.Second))
		}
	}},
	{name: "SIGTERM", short: true, apply: func(w *world) {
		r := w.one()
		w.terminate(r)
		last(time.Second, 5*time.Second)
		r.start()
	}},
	{name: "SIGTERM of all", apply: func(w *world) {
		for _, r := range w.replicas {
			w.terminate(r)
		}
		last(time.Second, 5*time.Second)
		w.revive()
	}},
	{name: "SIGSTOP until its partitions are taken", short: true, allowed: unanswered, apply: func(w *world) {
		r := w.one()
		r.signal(syscall.SIGSTOP)
		last(12*time.Second, 25*time.Second)
		r.signal(syscall.SIGCONT)
	}},
	{name: "SIGSTOP between read and save", short: true, allowed: unanswered, apply: func(w *world) {
		for _, r := range w.replicas {
			w.slowReads(500 * time.Millisecond)
			w.met(func() bool { return w.sim.Faults()[0].Hits+w.sim.Faults()[1].Hits > 3 })
			r.signal(syscall.SIGSTOP)
			time.Sleep(w.part(time.Second)) // the answers are there when it wakes up, and out of date
			w.sim.ClearFaults()
			time.Sleep(10 * time.Second)
			r.signal(syscall.SIGCONT)
			time.Sleep(time.Second)
		}
	}},
	{name: "SIGSTOP between save and delivery", short: true, allowed: unanswered, apply: func(w *world) {
		for _, r := range w.replicas {
			// What it asked Redis for is there when it wakes up, and out of date.
			w.store.way.delay.Store(int64(300 * time.Millisecond))
			time.Sleep(2*time.Second + w.part(time.Second))
			r.signal(syscall.SIGSTOP)
			w.store.way.delay.Store(0)
			time.Sleep(12 * time.Second)
			r.signal(syscall.SIGCONT)
		}
	}},
	{name: "SIGSTOP of one until the other has taken over and left", short: true, allowed: unanswered, apply: func(w *world) {
		paused, other := w.replicas[0], w.replicas[1]
		paused.signal(syscall.SIGSTOP)
		last(10*time.Second, 15*time.Second) // what it has in memory is out of date by then
		w.terminate(other)
		paused.signal(syscall.SIGCONT)
		time.Sleep(5 * time.Second)
		other.start()
	}},
	{name: "SIGSTOP in turns", allowed: unanswered, apply: func(w *world) {
		for range 2 {
			for _, r := range w.replicas {
				r.signal(syscall.SIGSTOP)
				time.Sleep(11*time.Second + w.part(2*time.Second))
				r.signal(syscall.SIGCONT)
			}
		}
	}},
	{name: "clock of one replica 5 s ahead", needs: skewed, apply: askew(5, 0)},
	{name: "clock of one replica 5 s behind", needs: skewed, apply: askew(-5, 0)},
	{name: "clock of one replica leaps 10 min ahead", needs: skewed, allowed: unanswered, apply: askew(600, 7)},
	{name: "clock of one replica leaps 10 min back", needs: skewed, allowed: unanswered, apply: askew(-600, 7)},
}

// stopped crashes all replicas while one of them carries out a stop.
func stopped(passes bool) func(*world) {
	return func(w *world) {
		w.enter()
		w.read()
		w.people = w.people[1:]
		acknowledged := make(chan struct{})
		go func() { w.stop(w.left); close(acknowledged) }()
		w.crashAt(stopCarriedOut, passes)
		<-acknowledged
	}
}

// askew sets a replica's clock seconds off for a while, once it has run for some.
func askew(seconds, after int) func(*world) {
	return func(w *world) {
		w.t.Helper()
		r := w.one()
		w.terminate(r)
		usual := r.program
		r.program = skewed
		r.start(fmt.Sprintf("CLOCK_SKEW=%d", seconds), fmt.Sprintf("CLOCK_SKEW_AFTER=%d", after))
		time.Sleep(15 * time.Second)
		w.terminate(r)
		r.program = usual
		r.start()
	}
}

// flip asks for stops and starts of a user, in turn, each of another replica, as
// soon as the one before is answered. The last one holds.
func (w *world) flip(u graphsim.User, times int) {
	w.t.Helper()
	w.started[u.ID] = true
	for i := range times {
		on := i%2 == 1
		w.mediator.SetMonitorURL("http://" + w.replicas[i%len(w.replicas)].addr)
		if status, err := w.mediator.Monitor(context.Background(), u.UserPrincipalName, on); err != nil || status != http.StatusOK {
			w.violate(covers, "start or stop of user %s was answered %d, %v", u.ID, status, err)
		}
	}
	w.mediator.SetMonitorURL("http://" + w.front.addr())
}

// uncover takes all subscriptions away, with or without a word.
func (w *world) uncover(silent bool) {
	w.t.Helper()
	for _, sub := range w.sim.Subscriptions() {
		if err := w.sim.RemoveSubscription(sub.ID, silent); err != nil {
			w.t.Error(err)
		}
	}
}

// revive starts the replicas that have ended.
func (w *world) revive() {
	for _, r := range w.replicas {
		if !r.Alive() {
			r.start()
		}
	}
}

// part is a random part of d.
func (w *world) part(d time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(d))) }
