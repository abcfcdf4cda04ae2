package faults_test

import (
	"sync/atomic"
	"syscall"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// What befalls the program's own processes.

// killed ends a replica as a crash would and starts it again after a while.
func (w *world) killed(r *replica) {
	r.kill()
	last(time.Second, 5*time.Second)
	r.start()
}

var processCells = []cell{
	{name: "kill -9 at any time", short: true, allowed: unanswered, apply: func(w *world) {
		w.killed(w.one())
	}},
	{name: "kill -9 between claim and read", allowed: unanswered, apply: func(w *world) {
		for _, operation := range []string{"read", "batch"} {
			w.fault(graphsim.Fault{Operation: operation, Kind: "latency", Delay: graphsim.Duration(time.Second)})
		}
		time.Sleep(2*time.Second + w.part(time.Second))
		w.one().kill()
		w.sim.ClearFaults()
		last(time.Second, 5*time.Second)
		w.revive()
	}},
	{name: "kill -9 between read, record and delivery", short: true, allowed: unanswered, apply: func(w *world) {
		w.store.way.delay.Store(int64(300 * time.Millisecond)) // Redis has done it, the program doesn't know yet
		time.Sleep(time.Second + w.part(2*time.Second))
		for _, r := range w.replicas {
			r.kill()
		}
		w.store.way.delay.Store(0)
		w.revive()
	}},
	{name: "kill -9 between delivery and its record", allowed: unanswered, apply: func(w *world) {
		var killed atomic.Bool
		w.mediator.Answer(func(mediatorsim.Call) mediatorsim.Reaction {
			if killed.CompareAndSwap(false, true) {
				for _, r := range w.replicas {
					r.signal(syscall.SIGSTOP) // the answer below is on its way and nobody reads it
				}
			}
			return mediatorsim.Reaction{}
		})
		soon(killed.Load)
		time.Sleep(200 * time.Millisecond)
		for _, r := range w.replicas {
			r.kill()
		}
		w.mediator.Answer(nil)
		w.revive()
	}},
	{name: "kill -9 between POST subscription and record", allowed: unanswered, apply: func(w *world) {
		old := map[string]bool{}
		for _, sub := range w.sim.Subscriptions() {
			old[sub.ID] = true
			if err := w.sim.RemoveSubscription(sub.ID, false); err != nil {
				w.t.Error(err)
			}
		}
		soon(func() bool {
			for _, sub := range w.sim.Subscriptions() {
				if !old[sub.ID] {
					return true
				}
			}
			return false
		})
		for _, r := range w.replicas {
			r.kill()
		}
		w.revive()
	}},
	{name: "kill -9 of one replica, then of the other", allowed: unanswered, apply: func(w *world) {
		for range 3 {
			for _, r := range w.replicas {
				w.killed(r)
				time.Sleep(w.part(2 * time.Second))
			}
		}
	}},
	{name: "SIGTERM", short: true, apply: func(w *world) {
		r := w.one()
		if code := r.stop(); code != 0 {
			w.t.Errorf("exit code after SIGTERM = %d, want 0", code)
		}
		last(time.Second, 5*time.Second)
		r.start()
	}},
	{name: "SIGTERM of all", apply: func(w *world) {
		for _, r := range w.replicas {
			if code := r.stop(); code != 0 {
				w.t.Errorf("exit code after SIGTERM = %d, want 0", code)
			}
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
