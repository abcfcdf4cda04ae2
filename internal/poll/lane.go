package poll

import (
	"cmp"
	"context"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// lane is a queue of mailboxes to be read, with a limit of the calls in flight. There
// are four: regular reads in batches, mailboxes for which a hint came, those that are
// read alone because they were slow, and addresses to be looked up.
type lane struct {
	queue *schedule.Queue[*target]
	most  int        // in one call
	wait  string     // name of the wait that stops it
	limit func() int // calls in flight, at least 1

	mu       sync.Mutex
	inFlight int           // guarded by mu
	freed    chan struct{} // capacity 1
}

func newLane(most int, wait string, limit func() int) *lane {
	return &lane{queue: schedule.New[*target](), most: most, wait: wait, limit: limit, freed: make(chan struct{}, 1)}
}

// acquire waits until a call may begin; it returns false if ctx ends before.
func (l *lane) acquire(ctx context.Context) bool {
	for {
		l.mu.Lock()
		free := l.inFlight < l.limit()
		if free {
			l.inFlight++
		}
		l.mu.Unlock()
		if free {
			return true
		}
		select {
		case <-l.freed:
		case <-ctx.Done():
			return false
		}
	}
}

func (l *lane) release() {
	l.mu.Lock()
	l.inFlight--
	l.mu.Unlock()
	select {
	case l.freed <- struct{}{}:
	default: // a wake-up is already waiting
	}
}

const (
	// hintGap is the least time between two reads of a mailbox because of hints.
	hintGap = 200 * time.Millisecond
	// refusedGap is when to try again what the registry does not let begin: the
	// partition is given away, or Redis has not answered of late.
	refusedGap = 50 * time.Millisecond
)

// job is a mailbox that is being read, or an address that is being looked up.
type job struct {
	t      *target
	id     ooo.RecordID
	late   time.Duration // after it was due; 0 beside the regular reads
	lead   time.Duration // until the next regular read; 0: this is it
	known  ooo.Digest
	hints  []ooo.Hint // that were there before it began
	urgent ooo.Source // why, if not for a hint or because it is due
}

// cause is what made us read the mailbox, with the hint that did; zero if none did.
func (j *job) cause() (ooo.Source, ooo.Hint) {
	switch {
	case len(j.hints) == 0:
		return cmp.Or(j.urgent, ooo.SourcePoll), ooo.Hint{}
	case j.hints[0].Kind == ooo.HintCheck:
		return cmp.Or(j.hints[0].Source, ooo.SourceRequest), j.hints[0]
	}
	return cmp.Or(j.hints[0].Source, ooo.SourceNotification), j.hints[0]
}

// serve begins what is due in a lane, until ctx ends.
func (p *Poller) serve(ctx context.Context, l *lane) error {
	for l.queue.Wait(ctx) == nil {
		if wait := p.cfg.Wait(l.wait); wait > 0 { // in steps: it may get longer
			schedule.Sleep(ctx, min(wait, 250*time.Millisecond))
			continue
		}
		if !l.acquire(ctx) || l != p.lookups && p.pace(ctx) != nil {
			break
		}
		jobs, refused := p.begin(l, l.queue.Take(time.Now(), l.most))
		if len(jobs) == 0 {
			l.release()
			if refused {
				schedule.Sleep(ctx, refusedGap)
			}
			continue
		}
		p.work.Go(func() {
			defer l.release()
			if l == p.lookups {
				p.lookUp(ctx, &jobs[0])
				return
			}
			p.read(ctx, l, jobs)
		})
	}
	return nil
}

// begin begins the reads of what is due. What is being read already, or has to wait,
// is left out; refused says that the registry let something not begin.
func (p *Poller) begin(l *lane, due []*target) (jobs []job, refused bool) {
	jobs = make([]job, 0, len(due))
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range due {
		switch {
		case t.dropped || !t.monitored:
		case t.waits(now):
			p.schedule(t, t.notBefore)
		case l == p.hinted && (t.inFlight || !t.asked()): // or a regular read has served it
		case t.inFlight: // that read serves
			p.schedule(t, t.inPhaseAfter(now, p.cfg.Interval))
		default:
			if t.reader.Begin() {
				jobs = append(jobs, p.job(l, t, now))
				continue
			}
			refused = true
			l.queue.Set(t, now.Add(refusedGap))
		}
	}
	if l != p.lookups && len(jobs) > 1 {
		p.rate.ReserveN(now, len(jobs)-1) // the next one waits for them too
	}
	return jobs, refused
}

// job notes that a read begins, and schedules the next regular one. The caller holds mu.
func (p *Poller) job(l *lane, t *target, now time.Time) job {
	j := job{t: t, id: t.id, known: t.digest, urgent: t.urgent}
	if t.wanted {
		j.hints = p.hints(t.id)
	}
	t.inFlight, t.urgent, t.wanted, t.checked = true, "", false, false
	if l == p.lookups {
		return j
	}
	if j.lead = t.due.Sub(now); j.lead <= 0 {
		j.lead, j.late = 0, -j.lead
	} else {
		t.hinted = now
	}
	due := t.due
	if j.lead == 0 || j.lead > p.cfg.Interval { // it waited after a failure
		due = t.next(now, p.cfg.Interval)
	}
	p.schedule(t, due)
	return j
}

// hints returns the hints that ask for a read of a mailbox.
func (p *Poller) hints(id ooo.RecordID) []ooo.Hint {
	return append(p.cfg.Registry.Hints(id, ooo.HintRead), p.cfg.Registry.Hints(id, ooo.HintCheck)...)
}

// end lets the next read of a mailbox begin, at once if it was asked for meanwhile.
// again is when to retry if this read failed; zero if it succeeded. The caller holds mu.
func (p *Poller) end(j *job, again time.Time) {
	t, at := j.t, again
	t.reader.End()
	t.inFlight = false
	if t.asked() {
		at = time.Now()
	}
	if !again.IsZero() {
		t.wanted, t.urgent = t.wanted || len(j.hints) > 0, cmp.Or(t.urgent, j.urgent)
	}
	if t.asked() {
		p.hurry(t, at)
	}
}

// schedule sets when a mailbox is due for its regular read, or an address for its
// look-up. The caller holds mu.
func (p *Poller) schedule(t *target, at time.Time) {
	t.due = at
	switch {
	case t.unresolved:
		p.lookups.queue.Set(t, at)
	case t.alone > 0:
		p.isolated.queue.Set(t, at)
	default:
		p.regular.queue.Set(t, at)
	}
}

// hurry has a mailbox read beside its regular reads. The caller holds mu.
func (p *Poller) hurry(t *target, at time.Time) {
	if soonest := t.hinted.Add(hintGap); soonest.After(at) {
		at = soonest
	}
	switch {
	case t.dropped, !t.monitored, t.inFlight, t.waits(at): // a later read sees what was asked
	case t.unresolved:
		p.lookups.queue.Sooner(t, at)
	case t.alone > 0:
		p.isolated.queue.Sooner(t, at)
	default:
		p.hinted.queue.Sooner(t, at)
	}
}

// unschedule takes a mailbox out of all queues. The caller holds mu.
func (p *Poller) unschedule(t *target) {
	for _, l := range p.lanes() {
		l.queue.Remove(t)
	}
	p.windows.Remove(t)
}
