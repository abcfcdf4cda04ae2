package poll

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

const (
	// lookUpsAtOnce is how many look-ups all replicas have in flight together.
	lookUpsAtOnce = 24
	// Waits between look-ups while the directory is out of reach.
	awayWait     = 2 * time.Second
	mostAwayWait = 30 * time.Second
)

// scheduleLookUp has an address looked up: at once if it is new here or was asked for
// again. The caller holds mu.
func (p *Poller) scheduleLookUp(t *target, m *ooo.Mailbox, begins bool, now time.Time) {
	asked := t.nonce != m.Addresses[0].Nonce
	t.nonce = m.Addresses[0].Nonce
	switch {
	case t.inFlight:
	case begins && t.notBefore.After(now):
		p.lookups.Set(t, t.notBefore)
	case begins, asked && !t.throttled:
		p.lookups.Set(t, now)
	}
}

// lookUpSlot waits for a free look-up; nil: ctx ended.
func (p *Poller) lookUpSlot(ctx context.Context) (release func()) {
	for {
		most := max(lookUpsAtOnce/max(p.cfg.Replicas(), 1), 1)
		if p.looking.Add(1) <= int64(most) {
			return func() { p.looking.Add(-1) }
		}
		p.looking.Add(-1)
		if !schedule.Sleep(ctx, lookUpGap) {
			return nil
		}
	}
}

// lookUpGap is how long who finds no free look-up waits.
const lookUpGap = 20 * time.Millisecond

// lookUpAll looks addresses up as they are due, until ctx ends.
func (p *Poller) lookUpAll(ctx context.Context) error {
	for p.lookups.Wait(ctx) == nil {
		if wait := p.held(DirectoryWait); wait > 0 {
			schedule.Sleep(ctx, min(wait, 250*time.Millisecond))
			continue
		}
		release := p.lookUpSlot(ctx)
		if release == nil {
			return nil
		}
		due := p.lookups.Take(time.Now(), 1)
		if len(due) == 0 {
			release()
			continue
		}
		p.work.Go(func() {
			defer release()
			p.lookUp(ctx, due[0])
		})
	}
	return nil
}

// lookUp looks one address up.
func (p *Poller) lookUp(ctx context.Context, t *target) {
	m, owned := p.cfg.Registry.Get(t.id)
	p.mu.Lock()
	if t.dropped || !owned || len(m.Addresses) == 0 || t.inFlight {
		p.mu.Unlock()
		return
	}
	t.inFlight = true
	j := &job{t: t, id: t.id, hints: t.takeHints()}
	p.mu.Unlock()
	var ok bool
	if j.done, ok = p.cfg.Registry.Begin(t.id, mailbox.Read, ""); !ok {
		p.lookUpEnded(j, time.Now().Add(refusedGap+rand.N(refusedGap)))
		return
	}
	defer j.done()
	person, err := p.cfg.Graph.Find(ctx, m.Addresses[0].Spelling)
	if err != nil {
		p.lookUpEnded(j, p.notFound(ctx, j, err))
		return
	}
	// A wish that was written meanwhile wins; its hint follows.
	_, err = p.update(ctx, t.id, func(d *mailbox.Draft) error {
		d.Done(j.hints...)
		d.MoveAddresses(person)
		return nil
	})
	if err == nil {
		p.cfg.Log.InfoContext(ctx, "found in the directory", "mailbox", person.ID)
	}
}

// lookUpEnded schedules the next look-up.
func (p *Poller) lookUpEnded(j *job, next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j.t.inFlight = false
	if j.t.dropped {
		return
	}
	for _, h := range j.t.hints {
		if h.Kind == ooo.HintCheck && !j.t.throttled {
			next = time.Now()
		}
	}
	p.lookups.Set(j.t, next)
}

// notFound says what it means that an address was not found, and when it is looked up
// again.
func (p *Poller) notFound(ctx context.Context, j *job, err error) (next time.Time) {
	if ctx.Err() != nil {
		return time.Now().Add(awayWait)
	}
	if wait, ok := errors.AsType[*ooo.Throttled](err); ok {
		p.hold(ctx, DirectoryWait, wait.After)
		p.mu.Lock()
		defer p.mu.Unlock()
		j.t.putBack(j.hints)
		return time.Now().Add(wait.After)
	}
	p.mu.Lock()
	n := j.t.fail(troubleOf(err), time.Now()).times
	v := judge(err, n, false, p.cfg.Interval)
	if v.wait == 0 {
		v.wait = schedule.Backoff(n, awayWait, mostAwayWait)
	}
	next = time.Now().Add(v.wait)
	j.t.notBefore = next
	p.mu.Unlock()
	if v.unknown {
		p.saveFailure(ctx, j, err, v, n)
	} else {
		p.removing.add(j.hints...)
	}
	return next
}
