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
	concurrency      = 48          // steps in flight: each takes Graph a second or two
	settingsInterval = time.Second // between checks of URLs, secrets and certificate
	planBatch        = 1000
	stopTimeout      = 8 * time.Second // for steps in flight when the replica stops
	startRetry       = 500 * time.Millisecond
)

// dispatcher plans the due tasks and starts their steps, urgent ones first, as the budget
// allows. Only its own goroutine uses it.
type dispatcher struct {
	*Subscriber
	settingsAt time.Time          // of the last check of the settings
	ready      [priorities][]task // in order; may contain a task more than once
	slots      chan struct{}      // one for each step in flight
	running    sync.WaitGroup
}

// dispatch runs until ctx ends and the steps in flight have ended.
func (s *Subscriber) dispatch(ctx context.Context) error {
	steps, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })
	d := &dispatcher{Subscriber: s, slots: make(chan struct{}, concurrency)}
	defer d.running.Wait()
	for ctx.Err() == nil {
		if !d.refreshSettings(ctx) {
			schedule.Sleep(ctx, settingsInterval)
			continue
		}
		for _, t := range s.queue.Take(time.Now(), planBatch) {
			if step, ok := d.plan(t); ok {
				d.ready[step.priority()] = append(d.ready[step.priority()], t)
			}
		}
		idle, stop := context.WithTimeout(ctx, d.startReady(steps))
		_ = s.queue.Wait(idle) // whether a task is due or the time is up, plan again
		stop()
	}
	return nil
}

// refreshSettings reads the settings, and schedules a plan of every mailbox if they
// changed. It returns false if they are not known.
func (d *dispatcher) refreshSettings(ctx context.Context) bool {
	urls := d.urls.Load()
	if urls == nil || time.Since(d.settingsAt) < settingsInterval {
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
	d.settingsAt = time.Now()
	before := d.want.Swap(&want)
	if before == nil || want.URLs != before.URLs || want.Keys.Tag() != before.Keys.Tag() || want.Certificate.ID != before.Certificate.ID {
		for m := range d.cfg.Registry.All() {
			d.planNow(task{id: m.ID})
		}
	}
	return true
}

// plan returns the step that t needs now. The step Nothing only saves, that hints were
// carried out or when the last notification came. If there is nothing to save either, plan
// returns false and schedules the next plan of t.
func (d *dispatcher) plan(t task) (step Step, ok bool) {
	now, want := time.Now(), *d.want.Load()
	if t.stray != "" {
		sub, hinted := d.strayOf(t)
		if !hinted {
			return Step{}, false
		}
		step = planRemoval(sub, want, Unrecorded, now)
	} else {
		m, owned := d.cfg.Registry.Get(t.id)
		if !owned {
			return Step{}, false
		}
		hints := d.cfg.Registry.Hints(t.id, ooo.HintSubscription)
		step = Plan(m, want, hints, now)
		d.mu.Lock()
		notified := d.notified[t.id] != nil
		d.mu.Unlock()
		ok = notified || carriedOut(hints, m, want, now)
	}
	if step.Action != Nothing || ok {
		return step, true
	}
	if !step.Next.IsZero() {
		d.queue.Sooner(t, step.Next) // a change may have scheduled it earlier since
	}
	return step, false
}

// startReady starts the steps that may begin now and returns how long to wait before
// the next one may.
func (d *dispatcher) startReady(ctx context.Context) time.Duration {
	for p := range d.ready {
		for len(d.ready[p]) > 0 {
			if wait := d.start(ctx, d.ready[p][0], priority(p)); wait > 0 {
				return min(wait, settingsInterval)
			}
			d.ready[p] = d.ready[p][1:]
		}
	}
	return settingsInterval
}

// start starts the step of a task, or returns how long to wait before it may start.
func (d *dispatcher) start(ctx context.Context, t task, p priority) (wait time.Duration) {
	if len(d.slots) == cap(d.slots) {
		return settingsInterval // at most: the end of a step wakes the queue
	}
	if wait := d.cfg.Owners.Wait(WaitName); wait > 0 {
		return wait
	}
	done, ok := d.cfg.Registry.Begin(t.id, mailbox.Subscription, "")
	if !ok { // in flight, or this replica must not start it now
		if _, ok := d.plan(t); ok {
			d.queue.Set(t, time.Now().Add(startRetry))
		}
		return 0
	}
	step, ok := d.plan(t) // again: from here on no other step changes the mailbox
	if ok && step.callsGraph() {
		wait = d.budget.take(p)
	}
	if !ok || wait > 0 {
		done()
		return wait
	}
	d.slots <- struct{}{}
	j := &job{Subscriber: d.Subscriber, task: t, want: *d.want.Load(), step: step, granted: step.callsGraph()}
	d.running.Go(func() {
		j.run(ctx)
		done()
		<-d.slots
		d.planNow(t)
	})
	return 0
}
