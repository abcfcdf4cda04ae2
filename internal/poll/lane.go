package poll

import (
	"cmp"
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// lane is a queue of targets with a limit on the calls in flight.
type lane struct {
	queue *schedule.Queue[*target]
	batch int           // the most targets in one call
	wait  string        // name of the wait of the whole app that pauses the lane
	calls chan struct{} // capacity: the limit; calls in flight
}

func newLane(batch int, wait string, limit int) *lane {
	return &lane{queue: schedule.New[*target](), batch: batch, wait: wait, calls: make(chan struct{}, limit)}
}

// acquire waits until a call may begin. It returns false if ctx ends first.
func (l *lane) acquire(ctx context.Context) bool {
	select {
	case l.calls <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *lane) release() { <-l.calls }

const (
	// expediteGap is the minimum time between two expedited reads of a mailbox.
	expediteGap = 200 * time.Millisecond
	// inTimeRetry is the wait before the next try while the ownership is not confirmed.
	inTimeRetry = 50 * time.Millisecond
	// refusedRetry is the wait before the next try of a read that the registry did not allow to
	// begin: usually its partition drains.
	refusedRetry = 250 * time.Millisecond
)

// job is one read of a mailbox, or one look-up of an address.
type job struct {
	t      *target
	late   time.Duration // how long after it was due it began; 0 for an expedited read
	lead   time.Duration // until the next regular read; 0 for a regular read
	known  ooo.Digest
	hints  []ooo.Hint // present when it began
	urgent ooo.Source // why it was expedited; empty: by hints, by retry or not at all
	retry  bool       // read again although nothing requests it
	done   []ooo.Hint // carried out without a save
}

// cause returns what caused the read, and the hint if one did.
func (j *job) cause() (ooo.Source, ooo.Hint) {
	switch {
	case len(j.hints) == 0:
		return cmp.Or(j.urgent, ooo.SourcePoll), ooo.Hint{}
	case j.hints[0].Kind == ooo.HintCheck:
		return cmp.Or(j.hints[0].Source, ooo.SourceRequest), j.hints[0]
	}
	return cmp.Or(j.hints[0].Source, ooo.SourceNotification), j.hints[0]
}

// requested reports whether something requested the job.
func (j *job) requested() bool { return len(j.hints) > 0 || j.urgent != "" }

// runLane starts the due reads or look-ups of a lane until ctx ends.
func (p *Poller) runLane(ctx context.Context, l *lane) error {
	for l.queue.Wait(ctx) == nil {
		if !p.cfg.InTime() {
			schedule.Sleep(ctx, inTimeRetry)
			continue
		}
		if p.paused(ctx, l.wait) {
			continue
		}
		if !l.acquire(ctx) {
			break
		}
		if l != p.lookups && p.pace(ctx) != nil {
			break
		}
		jobs := p.begin(l, l.queue.Take(time.Now(), p.batchSize(l)))
		if len(jobs) == 0 {
			l.release()
			continue
		}
		p.tasks.Go(func() {
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

// slowRound is how long a round of a batch takes while Graph is slow.
const slowRound = 150 * time.Millisecond

// batchSize returns how many targets the next call of a lane takes at most. While Graph is slow
// and few calls are in flight that is one round, because a full batch is answered only after
// five. Otherwise mailboxes are read too late after kill -9 of a replica while a read takes 300 ms.
func (p *Poller) batchSize(l *lane) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.round > slowRound && len(l.calls) <= cap(l.calls)/2 {
		return min(l.batch, batchConcurrency)
	}
	return l.batch
}

// begin makes jobs of the due targets that may begin now, and reschedules the others.
func (p *Poller) begin(l *lane, due []*target) []job {
	jobs := make([]job, 0, len(due))
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range due {
		switch {
		case t.dropped:
		case t.waits(now):
			p.schedule(t, t.notBefore)
		case l == p.expedited && t.inFlight: // end expedites it again
		case l == p.expedited && !t.requested(): // another read served the request
		case t.inFlight: // that read is enough
			p.schedule(t, t.inPhaseAfter(now, p.cfg.Interval))
		case t.reader.Begin():
			jobs = append(jobs, p.newJob(t, now))
		default:
			t.reader = p.cfg.Registry.Reader(t.id) // the partition may have been acquired again
			l.queue.Set(t, now.Add(refusedRetry))
		}
	}
	if len(jobs) > 1 {
		p.rate.ReserveN(now, len(jobs)-1) // pace has admitted only one
	}
	return jobs
}

// newJob marks a target as in flight and schedules its next regular read. The caller must hold
// mu.
func (p *Poller) newJob(t *target, now time.Time) job {
	j := job{t: t, known: t.digest, urgent: t.urgent, retry: t.retry}
	if t.hinted {
		j.hints = p.hints(t.id)
	}
	t.inFlight, t.urgent, t.retry, t.hinted, t.checked = true, "", false, false, false
	if t.unresolved { // the result decides about the next look-up
		return j
	}
	due, regular := t.due, !t.due.After(now)
	if regular {
		j.late = now.Sub(due)
	} else {
		j.lead, t.expeditedAt = due.Sub(now), now
	}
	if regular || j.lead > p.cfg.Interval { // this read replaces that at the end of a wait after a failure
		due = t.next(now, p.cfg.Interval)
	}
	p.schedule(t, due)
	return j
}

// hints returns the hints that request a read of a mailbox.
func (p *Poller) hints(id ooo.RecordID) []ooo.Hint {
	return append(p.cfg.Registry.Hints(id, ooo.HintRead), p.cfg.Registry.Hints(id, ooo.HintCheck)...)
}

// finish ends a job, and then removes the hints that it carried out without a save: the next
// read does not wait for Redis. If the poller stops first, the next owner carries them out again.
func (p *Poller) finish(ctx context.Context, j *job, retryAt time.Time) {
	p.mu.Lock()
	p.end(j, retryAt)
	p.mu.Unlock()
	schedule.Retry(ctx, 100*time.Millisecond, time.Second, func(int) error { return p.cfg.Registry.RemoveHints(ctx, j.done...) })
}

// end ends a job. If a read was requested while it was in flight, that read begins at once.
// retryAt is when to retry what requested this one; it is zero if nothing needs a retry. The
// caller must hold mu.
func (p *Poller) end(j *job, retryAt time.Time) {
	t := j.t
	t.reader.End()
	t.inFlight = false
	if t.dropped {
		p.remove(t)
		p.refresh(t.id) // it may be monitored again
		return
	}
	meanwhile := t.requested()
	if !retryAt.IsZero() { // request it again
		t.hinted, t.urgent, t.retry = t.hinted || len(j.hints) > 0, cmp.Or(t.urgent, j.urgent), j.retry
	}
	switch {
	case meanwhile:
		p.expedite(t, time.Now())
	case t.requested():
		p.expedite(t, retryAt)
	}
}

// schedule sets when a mailbox is due for its regular read, or an address for its look-up.
// The caller must hold mu.
func (p *Poller) schedule(t *target, at time.Time) {
	t.due = at
	p.laneOf(t, p.regular).queue.Set(t, at)
}

// laneOf returns the lane of a target. Mailboxes that are not isolated are in the shared lane.
// The caller must hold mu.
func (p *Poller) laneOf(t *target, shared *lane) *lane {
	switch {
	case t.unresolved:
		return p.lookups
	case t.isolated > 0:
		return p.isolated
	}
	return shared
}

// expedite schedules a read in addition to the regular ones, or an earlier look-up. The caller
// must hold mu.
func (p *Poller) expedite(t *target, at time.Time) {
	if earliest := t.expeditedAt.Add(expediteGap); earliest.After(at) {
		at = earliest
	}
	if t.inFlight || t.waits(at) { // a later read serves the request
		return
	}
	p.laneOf(t, p.expedited).queue.Sooner(t, at)
}

// unschedule removes a target from all queues. The caller must hold mu.
func (p *Poller) unschedule(t *target) {
	for _, l := range p.lanes() {
		l.queue.Remove(t)
	}
	p.edges.Remove(t)
}
