package poll

import (
	"cmp"
	"context"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// concludeAll says what the readings of one call mean. Most mean nothing new, and are
// done with at once. The others are each concluded alone, so that one whose save waits
// delays no other.
func (p *Poller) concludeAll(ctx context.Context, jobs []job, readings []ooo.Reading, c call) {
	slow := p.outlier(c)
	same := make([]bool, len(jobs))
	p.mu.Lock()
	for i := range jobs {
		j, r := &jobs[i], &readings[i]
		if j.t.dropped {
			continue
		}
		p.isolate(j.t, r, c, slow)
		at := j.t.due
		if j.lead == 0 {
			at = j.t.next(c.began, c.ended, p.cfg.Interval, c.behind)
		} else if at.Sub(c.ended) > p.cfg.Interval { // it waited after a failure
			at = j.t.placeAfter(c.ended, p.cfg.Interval)
		}
		p.schedule(j.t, at)
		if !j.t.edge.IsZero() && !c.ended.Before(j.t.edge) {
			p.windows.Set(j.t, c.ended)
		}
		if same[i] = r.Err == nil && r.Same && len(j.hints) == 0 && j.urgent == ""; same[i] {
			j.t.recover()
			p.free(j)
		}
	}
	p.mu.Unlock()
	for i := range jobs {
		j := &jobs[i]
		if !same[i] {
			p.work.Go(func() {
				outcome := p.conclude(ctx, j, readings[i], c)
				p.mu.Lock()
				p.free(j)
				p.mu.Unlock()
				j.done()
				p.cfg.OnRead(outcome, j.late(c))
			})
			continue
		}
		p.cfg.Registry.WasRead(j.id, c.ended)
		j.done()
		p.cfg.OnRead(Unchanged, j.late(c))
	}
}

// late is how long after it was due a regular read began.
func (j *job) late(c call) time.Duration {
	if j.lead > 0 {
		return 0
	}
	return max(c.began.Sub(j.due), 0)
}

// source is what made us read the mailbox, with the hint that did; zero if none did.
func (j *job) source() (ooo.Source, ooo.Hint) {
	for _, kind := range []ooo.HintKind{ooo.HintRead, ooo.HintCheck} {
		for _, h := range j.hints {
			if h.Kind != kind {
				continue
			}
			switch {
			case h.Source != "":
				return h.Source, h
			case kind == ooo.HintRead:
				return ooo.SourceNotification, h
			}
			return ooo.SourceRequest, h
		}
	}
	return cmp.Or(j.urgent, ooo.SourcePoll), ooo.Hint{}
}

// outlier says whether a call took long while others of the time did not.
func (p *Poller) outlier(c call) bool {
	took := c.ended.Sub(c.began)
	return took > slowAnswer && (p.answersSince(c.began.Add(took/2)) || p.calls.unusual(took))
}

// isolate has a mailbox read alone that was slow while others were not, or gave no
// answer alone, and with others again once it has answered quickly a few times. The
// caller holds mu.
func (p *Poller) isolate(t *target, r *ooo.Reading, c call, slow bool) {
	single := c.mailboxes == 1
	noAnswer := single && r.Err != nil && (c.timedOut || c.suspect) && failedTogether([]ooo.Reading{*r})
	switch {
	case noAnswer, slow:
		t.alone = quickAnswers
	case single && t.alone > 0:
		t.alone--
	}
}

// conclude says what one reading means.
func (p *Poller) conclude(ctx context.Context, j *job, r ooo.Reading, c call) Outcome {
	if r.Err != nil {
		return p.failed(ctx, j, r.Err, c)
	}
	p.cfg.Registry.WasRead(j.id, c.ended)
	m, owned := p.cfg.Registry.Get(j.id)
	if !owned {
		return Stale
	}
	outcome := Unchanged
	if r.Same && !p.understood(m) { // the record changed while it was read
		p.again(j)
		return Stale
	}
	if !r.Same {
		setting := p.cfg.Policy.Apply(r.Setting)
		if !p.understood(m) || !m.Setting.Equal(setting) {
			if m, outcome = p.save(ctx, j, setting, c); m == nil {
				return outcome
			}
		}
	}
	p.mu.Lock()
	j.t.recover()
	if j.t.version == m.Version { // else what happened since may have other ideas of it
		j.t.digest = r.Digest
	}
	p.mu.Unlock()
	if outcome == Unchanged {
		p.nothingNew(ctx, j, c)
	}
	return outcome
}

// again has a mailbox read once more, for the same reasons.
func (p *Poller) again(j *job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j.t.digest = ooo.Digest{}
	j.t.putBack(j.hints)
	j.t.urgent, j.t.came = cmp.Or(j.urgent, ooo.SourcePoll), true
}

// nothingNew ends what hints asked for that announced nothing.
func (p *Poller) nothingNew(ctx context.Context, j *job, c call) {
	p.removing.add(j.hints...)
	source, hint := j.source()
	if hint.Trace != "" {
		p.traceNothing(ctx, j, hint, c, Unchanged)
	}
	if source != ooo.SourceNotification {
		return
	}
	p.mu.Lock()
	polled := j.t.polled
	j.t.polled = time.Time{}
	p.mu.Unlock()
	if by := hint.At.Sub(polled); !polled.IsZero() && by > 0 && by < announcedWithin {
		p.cfg.OnLateNotification(by)
	}
}

// announcedWithin is how much later than the regular read a notification may come and
// still be taken for the one that announces its change.
const announcedWithin = 10 * time.Minute

// save decides what a setting means for the mailbox as it stands now, and saves it
// with what it causes. It returns nil if the mailbox is not ours any more.
func (p *Poller) save(ctx context.Context, j *job, setting ooo.Setting, c call) (*ooo.Mailbox, Outcome) {
	source, hint := j.source()
	outcome := Unchanged
	span := p.newSpan(ctx, j, source, hint, c)
	after := func(saved bool) {}
	m, err := p.update(ctx, j.id, func(d *mailbox.Draft) error {
		now := time.Now()
		decision := p.cfg.Policy.Decide(d.State, setting, now)
		if p.understood(d.Mailbox) && d.Setting.Equal(setting) && !decision.Changed || len(d.Addresses) == 0 {
			return mailbox.ErrUnchanged
		}
		outcome = Updated
		if d.Condition == ooo.Unknown {
			d.EventAll(ooo.Event{At: now, Kind: ooo.EventKnown})
		}
		d.Setting, d.Policy, d.Condition, d.Reason, d.Trouble = &setting, p.tag, ooo.Watching, "", ""
		d.ReadFailures, d.ReadRetryAt, d.ReadThrottled = 0, time.Time{}, false
		d.Done(j.hints...)
		if decision.Changed {
			outcome = Changed
			if d.State == nil && source == ooo.SourcePoll {
				source = ooo.SourceRequest // the first state
			}
			after = p.queue(d, decision.State, source, hint, span, now)
		}
		return nil
	})
	span.end(err)
	after(err == nil)
	if err != nil { // not ours, or not monitored any more
		return nil, Stale
	}
	switch outcome {
	case Changed:
		p.changed(ctx, m, Change{Source: source, Took: since(hint.At), Lead: j.lead})
		p.mu.Lock()
		if j.t.polled = (time.Time{}); source == ooo.SourcePoll {
			j.t.polled = time.Now()
		}
		p.mu.Unlock()
	case Updated:
		if hint.Trace != "" {
			p.traceNothing(ctx, j, hint, c, Updated)
		}
	}
	return m, outcome
}

// update is [mailbox.Registry.Update], bounded.
func (p *Poller) update(ctx context.Context, id ooo.RecordID, change func(d *mailbox.Draft) error) (*ooo.Mailbox, error) {
	p.saves <- struct{}{}
	defer func() { <-p.saves }()
	return p.cfg.Registry.Update(ctx, id, change)
}

// queue notes a new state in a draft, with the delivery that begins.
func (p *Poller) queue(d *mailbox.Draft, state ooo.State, source ooo.Source, hint ooo.Hint, span *changeSpan, now time.Time) (after func(saved bool)) {
	d.State, d.ChangedAt = &state, now.UTC()
	hint.Trace = span.begin(d, source)
	d.QueueState(source, hint, now)
	return p.cfg.BeginDelivery(d)
}

// changed tells of a change that was saved. Who it is and what is said stay out.
func (p *Poller) changed(ctx context.Context, m *ooo.Mailbox, ch Change) {
	ch.Mailbox, ch.State = m.Person.ID, *m.State
	p.cfg.Log.InfoContext(ctx, "out of office changed", "mailbox", ch.Mailbox, "away", ch.State.Away, "source", ch.Source)
	p.cfg.OnChange(ch)
}

func since(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return max(time.Since(at), 0)
}
