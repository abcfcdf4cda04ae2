package subscribe

import (
	"context"
	"sync"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

const (
	workers       = 48          // steps in flight: Graph takes a second or two for each
	settingsEvery = time.Second // how often URLs, secrets and certificate are checked
	planAtOnce    = 1000
	stopTime      = 8 * time.Second // for steps in flight when the replica stops
)

// dispatcher plans what is due and starts the steps, the urgent ones first, as the
// budget allows. Only its own goroutine uses it.
type dispatcher struct {
	*Subscriber
	fresh   time.Time          // when the settings were checked
	ready   [priorities][]task // in order; a task may be there more than once
	slots   chan struct{}      // one for each step in flight
	running sync.WaitGroup
}

// dispatch runs until ctx ends and the steps in flight have ended.
func (s *Subscriber) dispatch(ctx context.Context) error {
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, cancel) })
	d := &dispatcher{Subscriber: s, slots: make(chan struct{}, workers)}
	defer d.running.Wait()
	for ctx.Err() == nil {
		if !d.refresh(ctx) {
			schedule.Sleep(ctx, settingsEvery)
			continue
		}
		for _, t := range s.queue.Take(time.Now(), planAtOnce) {
			if step, ok := d.next(t); ok {
				d.ready[step.priority()] = append(d.ready[step.priority()], t)
			}
		}
		idle, stop := context.WithTimeout(ctx, d.start(calls))
		_ = s.queue.Wait(idle) // whatever ends it, it is time to plan
		stop()
	}
	return nil
}

// refresh checks the settings, and has all mailboxes planned if they changed. It
// returns false if they can't be known.
func (d *dispatcher) refresh(ctx context.Context) bool {
	urls := d.urls.Load()
	if urls == nil || time.Since(d.fresh) < settingsEvery {
		return urls != nil
	}
	want := Settings{URLs: *urls, Resources: d.cfg.Resources}
	var err error
	if want.Keys, err = d.cfg.Keys(ctx); err == nil {
		want.Certificate, err = d.cfg.Certificate()
	}
	if err != nil {
		if ctx.Err() == nil {
			d.cfg.Log.WarnContext(ctx, "subscription settings not readable, retrying", "err", err)
		}
		return false
	}
	d.fresh = time.Now()
	before := d.want.Swap(&want)
	if before == nil || want.URLs != before.URLs || want.Keys.Tag() != before.Keys.Tag() || want.Certificate.ID != before.Certificate.ID {
		for m := range d.cfg.Registry.All() {
			d.planNow(task{id: m.ID})
		}
	}
	return true
}

// next says what to do for a task now; Nothing is to save that hints were carried out or
// when a notification came last. If not even that is to be done ok is false, and the task
// is due when it may be.
func (d *dispatcher) next(t task) (step Step, ok bool) {
	now := time.Now()
	if t.stray != "" {
		sub, listed := d.strayOf(t)
		if !listed {
			return Step{}, false
		}
		step = end(sub, *d.want.Load(), Unlisted, now)
	} else {
		m, owned := d.cfg.Registry.Get(t.id)
		if !owned {
			return Step{}, false
		}
		hints := d.cfg.Registry.Hints(t.id, ooo.HintSubscription)
		step = Plan(m, *d.want.Load(), hints, now)
		d.mu.Lock()
		notified := d.notified[t.id] != nil
		d.mu.Unlock()
		ok = notified || carriedOut(hints, m, *d.want.Load(), now)
	}
	if step.Action != Nothing || ok {
		return step, true
	}
	if !step.Next.IsZero() {
		d.queue.Sooner(t, step.Next) // what changed meanwhile may have made it due before
	}
	return step, false
}

// start starts the steps that may begin now and returns how long to wait before the
// next one may.
func (d *dispatcher) start(ctx context.Context) time.Duration {
	for p := range d.ready {
		for len(d.ready[p]) > 0 {
			if wait := d.begin(ctx, d.ready[p][0], priority(p)); wait > 0 {
				return min(wait, settingsEvery)
			}
			d.ready[p] = d.ready[p][1:]
		}
	}
	return settingsEvery
}

// begin starts the step of a task, or returns how long to wait before it may start.
func (d *dispatcher) begin(ctx context.Context, t task, p priority) (wait time.Duration) {
	if len(d.slots) == cap(d.slots) {
		return settingsEvery // or less: the end of a step wakes the queue
	}
	if wait := d.cfg.Owners.Wait(WaitName); wait > 0 {
		return wait
	}
	done, ok := d.cfg.Registry.Begin(t.id, mailbox.Subscription, "")
	if !ok { // in flight, or not ours to start now
		if _, ok := d.next(t); ok {
			d.queue.Set(t, time.Now().Add(500*time.Millisecond))
		}
		return 0
	}
	step, ok := d.next(t) // as nothing changes it any more
	if ok && step.calls() {
		wait = d.budget.take(p)
	}
	if !ok || wait > 0 {
		done()
		return wait
	}
	d.slots <- struct{}{}
	w := &work{Subscriber: d.Subscriber, task: t, want: *d.want.Load(), step: step, paid: step.calls()}
	d.running.Go(func() {
		w.do(ctx)
		done()
		<-d.slots
		d.planNow(t)
	})
	return 0
}
