package faults_test

import (
	"fmt"
	"syscall"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// What befalls the program's own processes.

// crash ends a replica as a crash would.
func (w *world) crash(r *replica) {
	r.kill()
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

// terminate ends a replica as an operator would.
func (w *world) terminate(r *replica) {
	w.t.Helper()
	w.kills++
	if code := r.stop(); code != 0 {
		w.t.Errorf("exit code after SIGTERM = %d, want 0", code)
	}
}

// crashAt kills all replicas at the moment when one of them sends Redis a request
// that bears word: before it arrives, or, if it passes, before it is answered.
func (w *world) crashAt(word string, passes bool) {
	t := &trap{word: []byte(word), passes: passes, sprung: make(chan struct{}), gone: make(chan struct{})}
	w.store.way.trap.Store(t)
	select {
	case <-t.sprung:
		w.hits++
	case <-time.After(10 * time.Second):
	}
	for _, r := range w.replicas {
		w.crash(r)
	}
	w.store.way.trap.Store(nil)
	close(t.gone)
	w.revive()
}

// What only one kind of request to Redis bears.
const (
	recordWord    = "Change "           // the setting that a record keeps
	deliveredWord = "\r\ndelivered\r\n" // how an attempt ended
	coveredWord   = `"State":"live"`    // a subscription that Graph has made
)

var processCells = []cell{
	{name: "kill -9 at any time", short: true, allowed: unanswered, apply: func(w *world) {
		w.killed(w.one())
	}},
	{name: "kill -9 between claim and read", allowed: unanswered, apply: func(w *world) {
		w.slowReads(time.Second)
		w.met(func() bool { return w.sim.Faults()[0].Hits+w.sim.Faults()[1].Hits > 0 })
		for _, r := range w.replicas {
			w.crash(r)
		}
		w.sim.ClearFaults()
		last(time.Second, 5*time.Second)
		w.revive()
	}},
	{name: "kill -9 between read and record", short: true, allowed: unanswered, apply: func(w *world) {
		w.crashAt(recordWord, false)
	}},
	{name: "kill -9 between record and delivery", short: true, allowed: unanswered, apply: func(w *world) {
		w.crashAt(recordWord, true)
	}},
	{name: "kill -9 between delivery and its record", short: true, allowed: unanswered, apply: func(w *world) {
		w.crashAt(deliveredWord, false)
	}},
	{name: "kill -9 after a delivery's record", allowed: unanswered, apply: func(w *world) {
		w.crashAt(deliveredWord, true)
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
		select {
		case <-sent:
			w.hits++
		case <-time.After(10 * time.Second):
		}
		for _, r := range w.replicas {
			w.crash(r)
		}
		w.mediator.Answer(nil)
		w.revive()
	}},
	{name: "kill -9 between POST subscription and record", short: true, allowed: unanswered, apply: func(w *world) {
		w.uncover(false)
		w.crashAt(coveredWord, false)
	}},
	{name: "kill -9 while POST subscription is open", allowed: unanswered, apply: func(w *world) {
		w.fault(graphsim.Fault{Operation: "subscription-create", Kind: "latency", Delay: graphsim.Duration(500 * time.Millisecond)})
		w.uncover(false)
		w.met(func() bool { return w.sim.Faults()[0].Hits > 0 })
		time.Sleep(w.part(time.Second)) // some are made by then
		w.sim.ClearFaults()
		w.crashAll()
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
	{name: "SIGSTOP for longer than every lease", short: true, allowed: unanswered, apply: func(w *world) {
		r := w.one()
		r.signal(syscall.SIGSTOP)
		last(12*time.Second, 25*time.Second)
		r.signal(syscall.SIGCONT)
	}},
	{name: "SIGSTOP between read and record", short: true, allowed: unanswered, apply: func(w *world) {
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
	{name: "SIGSTOP between record and delivery", short: true, allowed: unanswered, apply: func(w *world) {
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
	{name: "SIGSTOP in turns", allowed: unanswered, apply: func(w *world) {
		for range 2 {
			for _, r := range w.replicas {
				r.signal(syscall.SIGSTOP)
				time.Sleep(11*time.Second + w.part(2*time.Second))
				r.signal(syscall.SIGCONT)
			}
		}
	}},
	{name: "clock of one replica 5 s ahead", needs: skewed, apply: askew(5)},
	{name: "clock of one replica 5 s behind", needs: skewed, apply: askew(-5)},
}

// askew sets a replica's clock seconds off for a while.
func askew(seconds int) func(*world) {
	return func(w *world) {
		w.t.Helper()
		r := w.one()
		w.terminate(r)
		usual := r.program
		r.program = skewed
		r.start(fmt.Sprintf("CLOCK_SKEW=%d", seconds))
		time.Sleep(15 * time.Second)
		w.terminate(r)
		r.program = usual
		r.start()
	}
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
		select {
		case <-r.exited:
			r.start()
		default:
		}
	}
}

// part is a random part of d.
func (w *world) part(d time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(d))) }
