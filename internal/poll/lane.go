package poll

import (
	"cmp"
	"context"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// lane is a queue of reads with what limits how many are in flight: regular reads in
// batches, mailboxes for which a hint came, and those that are read alone because
// they were slow.
type lane struct {
	queue   *schedule.Queue[*target]
	most    int // in one call
	acquire func(ctx context.Context) (release func())
}

const (
	isolatedCalls = 64
	// hintGap is the least time between two reads of a mailbox because of hints.
	hintGap = 200 * time.Millisecond
	// refusedGap is when to try again what the registry does not let begin: the
	// partition is given away, or Redis has not answered of late.
	refusedGap = 50 * time.Millisecond
)

// job is a mailbox that is being read.
type job struct {
	t      *target
	id     ooo.RecordID
	due    time.Time     // of a regular read
	lead   time.Duration // until the next regular read; 0: this is it
	known  ooo.Digest
	hints  []ooo.Hint // that were there before it began
	urgent ooo.Source // why, if not for a hint or because it is due
	done   func()     // for the registry
}

// serve begins the reads of a lane as they are due, until ctx ends.
func (p *Poller) serve(ctx context.Context, l *lane) error {
	for l.queue.Wait(ctx) == nil {
		if wait := p.held(GraphWait); wait > 0 { // in steps: it may get longer
			schedule.Sleep(ctx, min(wait, 250*time.Millisecond))
			continue
		}
		release := l.acquire(ctx)
		if release == nil {
			break
		}
		jobs, refused := p.begin(l, l.queue.Take(time.Now(), l.most))
		if len(jobs) == 0 {
			release()
			if refused {
				schedule.Sleep(ctx, refusedGap)
			}
			continue
		}
		p.work.Go(func() { p.read(ctx, jobs, l, release) })
	}
	return nil
}

// begin begins the reads of what is due. What is being read already, or has to wait,
// is left out; refused says that the registry let something not begin.
func (p *Poller) begin(l *lane, due []*target) (jobs []job, refused bool) {
	jobs = make([]job, 0, len(due))
	now := time.Now()
	p.mu.Lock()
	for _, t := range due {
		switch {
		case t.dropped || !t.monitored:
		case t.notBefore.After(now):
			p.schedule(t, t.notBefore)
		case t.inFlight:
			if l != p.hinted { // what is in flight reads it in its place
				p.schedule(t, t.placeAfter(now, p.cfg.Interval))
			}
		case l == p.hinted && len(t.hints) == 0 && t.urgent == "": // served by a regular read
		default:
			t.inFlight = true
			j := job{t: t, id: t.id, due: t.due, known: t.digest, hints: t.takeHints(), urgent: t.urgent}
			if t.due.After(now) {
				j.lead = t.due.Sub(now)
			}
			t.urgent, t.came = "", false
			jobs = append(jobs, j)
		}
	}
	p.mu.Unlock()
	n := 0
	for _, j := range jobs {
		var ok bool
		if j.done, ok = p.cfg.Registry.Begin(j.id, mailbox.Read, ""); ok {
			jobs[n] = j
			n++
			continue
		}
		refused = true
		p.refused(l, j)
	}
	return jobs[:n], refused
}

// refused schedules again what must not begin now, and forgets what is not owned any
// more.
func (p *Poller) refused(l *lane, j job) {
	_, owned := p.cfg.Registry.Get(j.id)
	p.mu.Lock()
	defer p.mu.Unlock()
	j.t.inFlight = false
	switch {
	case j.t.dropped:
	case !owned:
		p.forget(j.t)
	default:
		j.t.putBack(j.hints)
		j.t.urgent = cmp.Or(j.t.urgent, j.urgent)
		l.queue.Set(j.t, time.Now().Add(refusedGap))
	}
}

// schedule sets when a mailbox is due for its regular read. The caller holds mu.
func (p *Poller) schedule(t *target, at time.Time) {
	t.due = at
	if t.alone > 0 {
		p.regular.queue.Remove(t)
		p.isolated.queue.Set(t, at)
		return
	}
	p.isolated.queue.Remove(t)
	p.regular.queue.Set(t, at)
}

// hurry has a mailbox read as soon as it may be, beside its regular reads. The caller
// holds mu.
func (p *Poller) hurry(t *target, now time.Time) {
	at := now
	if soonest := t.hinted.Add(hintGap); soonest.After(at) {
		at = soonest
	}
	switch {
	case t.inFlight:
		t.came = true
	case !t.monitored || t.notBefore.After(at): // a later read sees the hint
	case t.alone > 0:
		if due, ok := p.isolated.queue.At(t); !ok || at.Before(due) {
			p.isolated.queue.Set(t, at)
		}
	default:
		p.hinted.queue.Set(t, at)
	}
}

// forget drops a mailbox. The caller holds mu.
func (p *Poller) forget(t *target) {
	t.dropped = true
	delete(p.targets, t.id)
	p.unschedule(t)
}

func (p *Poller) unschedule(t *target) {
	for _, l := range []*lane{p.regular, p.hinted, p.isolated} {
		l.queue.Remove(t)
	}
	p.windows.Remove(t)
	p.lookups.Remove(t)
}

// free lets the next read of a mailbox begin, at once if hints came meanwhile. The
// caller holds mu.
func (p *Poller) free(j *job) {
	j.t.inFlight = false
	if j.t.came && !j.t.dropped {
		p.hurry(j.t, time.Now())
	}
	j.t.came = false
}
