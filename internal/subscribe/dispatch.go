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
	workers    = 48 // Graph takes a second or two for each step
	planAtOnce = 1000
	// settingsEvery is how often the secrets and the certificate are looked at.
	settingsEvery = time.Second
	// tidyAtOnce bounds what is done without a call of Graph.
	tidyAtOnce = 4 * workers
	// most bounds the steps in a row of one mailbox: more would mean that plan and
	// record disagree.
	most = 16
	// stopTime is how long steps in flight may take when the replica stops.
	stopTime = 8 * time.Second
	// idleTime bounds how long nothing is looked at.
	idleTime = time.Minute
)

// dispatcher plans what is due and starts the steps, the urgent ones first, as the
// budget allows. Only its own goroutine uses it.
type dispatcher struct {
	*Subscriber
	want    Settings
	fresh   time.Time // when want was looked at
	level   map[task]priority
	ready   [priorities][]task // in order; those that level does not name there are over
	running sync.WaitGroup
}

// dispatch runs until ctx ends and the steps in flight have ended.
func (s *Subscriber) dispatch(ctx context.Context) error {
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, cancel) })
	d := &dispatcher{Subscriber: s, level: map[task]priority{}}
	defer d.running.Wait()
	for ctx.Err() == nil {
		if !d.refresh(ctx) {
			continue
		}
		for _, t := range s.queue.Take(time.Now(), planAtOnce) {
			d.consider(calls, t)
		}
		idle, stop := context.WithTimeout(ctx, d.start(calls))
		_ = s.queue.Wait(idle) // whatever ends it, it is time to look
		stop()
	}
	return nil
}

// refresh looks at the settings, and waits if there are none.
func (d *dispatcher) refresh(ctx context.Context) bool {
	if d.urls.Load() == nil {
		select {
		case <-d.known:
		case <-ctx.Done():
		}
		return false
	}
	select {
	case <-d.known:
	default:
		if time.Since(d.fresh) < settingsEvery {
			return true
		}
	}
	want, err := d.settings(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.cfg.Log.WarnContext(ctx, "settings of subscriptions not readable, retrying", "err", err)
		}
		schedule.Sleep(ctx, settingsEvery)
		return false
	}
	changed := !d.fresh.IsZero() && (want.Keys.Tag() != d.want.Keys.Tag() || want.Certificate.ID != d.want.Certificate.ID)
	d.want, d.fresh = want, time.Now()
	if changed {
		d.planAll()
	}
	return true
}

// plan says what a mailbox needs next.
func (d *dispatcher) plan(m *ooo.Mailbox) Step {
	_, since, _ := d.examination(m.ID)
	return Plan(m, d.want, since, time.Now())
}

// consider plans a task that is due, and makes it ready if there is a step to take.
func (d *dispatcher) consider(ctx context.Context, t task) {
	delete(d.level, t)
	d.mu.Lock()
	busy, steps, inFlight := d.inFlight[t], d.rows[t.id], len(d.inFlight)
	_, waiting := d.strays[t]
	d.mu.Unlock()
	switch {
	case busy: // it is set again when that ends
		return
	case t.stray != "":
		if waiting {
			d.add(t, tidy)
		}
		return
	}
	m, ok := d.cfg.Registry.Get(t.id)
	if !ok {
		return
	}
	step := d.plan(m)
	if step.Action != Nothing {
		if steps >= most {
			d.cfg.Log.ErrorContext(ctx, "subscriptions of a mailbox do not settle", "mailbox", t.id, "action", step.Action, "reason", step.Reason)
			d.row(t.id, 0)
			d.queue.Set(t, time.Now().Add(time.Minute))
			return
		}
		d.add(t, step.priority())
		return
	}
	d.row(t.id, 0)
	_, since, hinted := d.examination(t.id)
	switch {
	case !(hinted && examined(m, d.want, since) || d.unsaved(m)):
		if !step.Next.IsZero() {
			d.queue.Set(t, step.Next)
		}
	case inFlight >= tidyAtOnce:
		d.queue.Set(t, time.Now().Add(time.Second))
	default:
		d.run(t, &work{Subscriber: d.Subscriber, id: t.id, want: d.want}, func(w *work) time.Time { return w.tidyUp(ctx, m) })
	}
}

func (d *dispatcher) add(t task, p priority) {
	d.level[t] = p
	d.ready[p] = append(d.ready[p], t)
}

// first returns the task that is to go next.
func (d *dispatcher) first() (t task, p priority, ok bool) {
	for p := range d.ready {
		for len(d.ready[p]) > 0 {
			t := d.ready[p][0]
			if level, ok := d.level[t]; ok && level == priority(p) {
				return t, level, true
			}
			d.ready[p] = d.ready[p][1:]
		}
	}
	return t, p, false
}

// start starts the steps that may begin now and returns how long to wait before the
// next one may; the end of a step wakes the queue.
func (d *dispatcher) start(ctx context.Context) time.Duration {
	for {
		t, p, ok := d.first()
		d.mu.Lock()
		full := len(d.inFlight) >= workers
		d.mu.Unlock()
		if !ok || full {
			return idleTime
		}
		if wait := d.cfg.Wait(WaitName); wait > 0 {
			return min(wait, 5*time.Second)
		}
		if wait := d.budget.take(p); wait > 0 {
			return wait
		}
		delete(d.level, t)
		if !d.begin(ctx, t) {
			d.budget.giveBack()
		}
	}
}

// begin starts the step of a task, for which the budget has granted one write.
func (d *dispatcher) begin(ctx context.Context, t task) bool {
	w := &work{Subscriber: d.Subscriber, id: t.id, want: d.want, paid: true}
	do := func(w *work) time.Time { w.do(ctx); return time.Now() }
	if t.stray == "" {
		m, ok := d.cfg.Registry.Get(t.id)
		if !ok {
			return false
		}
		if w.step = d.plan(m); w.step.Action == Nothing {
			d.queue.Set(t, time.Now())
			return false
		}
	} else {
		w.step = Step{Action: Delete, Reason: Unlisted}
		do = func(w *work) time.Time { return w.doStray(ctx, t) }
	}
	done, ok := d.cfg.Registry.Begin(t.id, mailbox.Subscription, "")
	if !ok {
		if t.stray != "" && len(d.cfg.Registry.Hints(t.id, ooo.HintStray)) == 0 { // not ours any more
			d.endStray(t, d.strayOf(t).hint)
			return false
		}
		d.queue.Set(t, time.Now().Add(500*time.Millisecond))
		return false
	}
	d.row(t.id, 1)
	d.run(t, w, func(w *work) time.Time {
		defer done()
		again := do(w)
		if w.paid { // there was no call to make
			d.budget.giveBack()
		}
		return again
	})
	return true
}

// run runs work for a task in a goroutine. Nothing else is done for the task
// meanwhile. What is returned is when to plan again; zero: never.
func (d *dispatcher) run(t task, w *work, do func(*work) (again time.Time)) {
	d.mu.Lock()
	d.inFlight[t] = true
	d.mu.Unlock()
	d.running.Go(func() {
		again := do(w)
		d.mu.Lock()
		delete(d.inFlight, t)
		d.mu.Unlock()
		if !again.IsZero() {
			d.queue.Set(t, again)
		}
	})
}

// row counts the steps in a row of a mailbox: by adds to them, 0 ends it.
func (d *dispatcher) row(id ooo.RecordID, by int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if by == 0 {
		delete(d.rows, id)
	} else {
		d.rows[id] += by
	}
}
