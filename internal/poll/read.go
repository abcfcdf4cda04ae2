package poll

import (
	"cmp"
	"context"
	"errors"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// maxNotificationDelay is how long after a regular read noticed a change a notification
// still counts as the late notification of that change.
const maxNotificationDelay = 10 * time.Minute

// call is one call to Graph. It keeps what a trace needs until it is known whether there will be
// one.
type call struct {
	began, ended time.Time
	mailboxes    int
	graph        *[]graph.Call // nil: not traced
	unanswered   bool          // it failed as a whole, with one error for all mailboxes
	cutShort     bool          // it timed out before isolatedTimeout
}

// read reads mailboxes with one call. If the call is not answered, one of them may be the
// cause, so each is read alone.
func (p *Poller) read(ctx context.Context, l *lane, jobs []job) {
	results, c := p.callGraph(ctx, jobs, p.timeout(l, jobs))
	if ctx.Err() == nil {
		p.observe(results, c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.unanswered && len(jobs) > 1 && p.worthSplitting() {
		for i := range jobs {
			jobs[i].retry = true
			p.end(&jobs[i], time.Now())
		}
		return
	}
	p.handleResults(ctx, jobs, results, c)
}

// callGraph makes one call.
func (p *Poller) callGraph(ctx context.Context, jobs []job, timeout time.Duration) ([]ooo.ReadResult, call) {
	ids, known := make([]ooo.ObjectID, len(jobs)), make([]ooo.Digest, len(jobs))
	for i := range jobs {
		ids[i], known[i] = jobs[i].t.id.ObjectID(), jobs[i].known
	}
	c := call{began: time.Now(), mailboxes: len(jobs)}
	callCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if p.traced {
		callCtx, c.graph = graph.RecordCalls(callCtx)
	}
	results := p.cfg.Graph.Read(callCtx, ids, known)
	c.ended = time.Now()
	c.unanswered = ctx.Err() == nil && unanswered(results)
	c.cutShort = callCtx.Err() != nil && timeout < isolatedTimeout
	return results, c
}

// unanswered reports whether a call failed as a whole: Graph did not answer for any mailbox.
func unanswered(results []ooo.ReadResult) bool {
	first := results[0].Err
	if !errors.Is(first, ooo.ErrUnavailable) && !errors.Is(first, ooo.ErrRejected) {
		return false
	}
	for i := range results {
		if results[i].Err != first { //nolint:errorlint // the very same error
			return false
		}
	}
	return true
}

// handleResults handles the results of one call. Most bring nothing new and are handled at
// once. Each of the others gets its own goroutine, so that a slow save delays no other mailbox.
// The caller must hold mu.
func (p *Poller) handleResults(ctx context.Context, jobs []job, results []ooo.ReadResult, c call) {
	took := c.ended.Sub(c.began)
	slow := took > slowAnswer && p.lastAnswered.After(c.began.Add(took/2)) // while others were not
	for i := range jobs {
		j, r := &jobs[i], &results[i]
		p.isolate(j.t, c, slow)
		if r.Err == nil {
			j.t.reader.Succeeded(c.ended)
		}
		if r.Err != nil || !r.Unchanged || j.requested() || j.retry {
			p.tasks.Go(func() { p.handleResult(ctx, j, *r, c) })
			continue
		}
		j.t.recover()
		p.end(j, time.Time{})
		p.cfg.OnRead(Unchanged, j.late)
	}
}

func (p *Poller) handleResult(ctx context.Context, j *job, r ooo.ReadResult, c call) {
	outcome, retryAt := Stale, time.Time{}
	m, owned := p.cfg.Registry.Get(j.t.id)
	switch {
	case r.Err != nil:
		outcome, retryAt = p.failed(ctx, j, r.Err, c)
		if retryAt.IsZero() { // the hint is carried out
			p.traceUndelivered(ctx, j, c, outcome)
		}
	case owned && r.Unchanged && !p.upToDate(m): // the record changed during the read
		j.retry = true
		retryAt = time.Now()
	case owned:
		outcome = p.handleSetting(ctx, j, m, r, c)
	}
	p.cfg.OnRead(outcome, j.late)
	p.finish(ctx, j, retryAt)
}

// handleSetting handles a result with a setting, or with the digest of the last one.
func (p *Poller) handleSetting(ctx context.Context, j *job, m *ooo.Mailbox, r ooo.ReadResult, c call) Outcome {
	outcome := Unchanged
	setting := p.cfg.Policy.Apply(r.Setting) // zero if r is unchanged
	if !r.Unchanged && !p.reflects(m, setting) {
		if m, outcome = p.decide(ctx, j, &setting, c); m == nil {
			return Stale
		}
	}
	source, hint := j.cause()
	p.mu.Lock()
	j.t.recover()
	if newest, _ := p.cfg.Registry.Get(j.t.id); newest == m && !r.Unchanged { // a later record may have another setting
		j.t.digest = r.Digest
	}
	if outcome == Unchanged && source == ooo.SourceNotification {
		if late := hint.At.Sub(j.t.polledAt); late > 0 && late < maxNotificationDelay {
			p.cfg.OnLateNotification(late)
		}
		j.t.polledAt = time.Time{}
	}
	p.mu.Unlock()
	if outcome == Unchanged {
		j.done = j.hints
	}
	if outcome != Changed {
		p.traceUndelivered(ctx, j, c, outcome)
	}
	return outcome
}

// decide decides what a setting means for the current record, and saves the record together
// with the history, the beginning of the delivery and the removal of the hints. A nil setting
// stands for the one that was read last, whose meaning may have changed with the time. decide
// returns nil if this replica no longer owns the mailbox or it is no longer monitored.
func (p *Poller) decide(ctx context.Context, j *job, setting *ooo.Setting, c call) (*ooo.Mailbox, Outcome) {
	source, hint := j.cause()
	outcome := Unchanged
	var spans changeSpans
	m, err := p.update(j.t.id, func(d *mailbox.Draft) error {
		now := time.Now()
		read := cmp.Or(setting, d.Setting)
		if read == nil || !d.Monitored() {
			return mailbox.ErrUnchanged
		}
		decision := p.cfg.Policy.Decide(d.State, *read, now)
		recorded := setting == nil || p.reflects(d.Mailbox, *setting)
		if recorded && !decision.Changed {
			return mailbox.ErrUnchanged
		}
		outcome = Updated
		if setting != nil {
			p.recordSetting(d, setting, now)
			d.RemoveHints(j.hints...)
		}
		if !decision.Changed {
			return nil
		}
		outcome = Changed
		if d.State == nil && source == ooo.SourcePoll {
			source = ooo.SourceRequest // the first state
		}
		d.State, d.ChangedAt = &decision.State, now.UTC()
		spans = p.traceChange(ctx, d, source, hint, c)
		hint.Trace = spans.parent
		d.QueueState(source, hint, now)
		p.cfg.BeginDelivery(d)
		return nil
	})
	spans.end(err)
	if err != nil {
		return nil, Stale
	}
	if outcome == Changed {
		p.reportChange(ctx, j, m, source, hint)
	}
	return m, outcome
}

// reportChange logs and counts a change that was saved, and remembers whether a notification of it may
// still come.
func (p *Poller) reportChange(ctx context.Context, j *job, m *ooo.Mailbox, source ooo.Source, hint ooo.Hint) {
	p.cfg.Log.InfoContext(ctx, "out of office changed", "mailbox", m.Person.ID, "away", m.State.Away, "source", source)
	change := Change{Source: source, Lead: j.lead}
	if !hint.At.IsZero() {
		change.Took = max(time.Since(hint.At), 0)
	}
	p.cfg.OnChange(change)
	p.mu.Lock()
	defer p.mu.Unlock()
	j.t.polledAt = time.Time{}
	if source == ooo.SourcePoll {
		j.t.polledAt = time.Now()
	}
}

// recordSetting records in a draft that a setting was read.
func (p *Poller) recordSetting(d *mailbox.Draft, setting *ooo.Setting, now time.Time) {
	if d.Condition == ooo.Unknown && !d.Unannounced {
		d.EventAll(ooo.Event{At: now, Kind: ooo.EventKnown})
	}
	d.Unannounced = false
	d.Setting, d.Policy, d.Condition, d.Reason, d.ErrorKind = setting, p.policyTag, ooo.Watching, "", ""
	d.ReadFailures, d.ReadRetryAt, d.ReadThrottled = 0, time.Time{}, false
}

// upToDate reports whether the state in a record follows from its setting under the current
// policy, and its last read succeeded.
func (p *Poller) upToDate(m *ooo.Mailbox) bool {
	return m.Condition == ooo.Watching && m.Setting != nil && m.State != nil && m.Policy == p.policyTag && m.ReadFailures == 0
}

// reflects reports whether a record is up to date with this setting.
func (p *Poller) reflects(m *ooo.Mailbox, setting ooo.Setting) bool {
	return p.upToDate(m) && m.Setting.Equal(setting)
}

// update is [mailbox.Registry.Update] with a limit on the updates in flight.
func (p *Poller) update(id ooo.RecordID, change func(d *mailbox.Draft) error) (*ooo.Mailbox, error) {
	p.saves <- struct{}{}
	defer func() { <-p.saves }()
	return p.cfg.Registry.Update(id, change)
}
