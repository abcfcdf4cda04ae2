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

const (
	// shortTime is how long a call may take; longer while all calls take long. longTime
	// is for a mailbox that is read alone because it is slow.
	shortTime = 1500 * time.Millisecond
	longTime  = 10 * time.Second
	// slowAnswer is what no answer takes that others may wait for.
	slowAnswer = time.Second
	// quickAnswers is how many a mailbox must give alone to be read with others again.
	quickAnswers = 3
)

// Hinted has a mailbox read because of a hint, which stays until it has been.
func (p *Poller) Hinted(h ooo.Hint) {
	if h.Kind != ooo.HintRead && h.Kind != ooo.HintCheck {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[h.ID]; t != nil {
		t.wanted, t.checked = true, t.checked || h.Kind == ooo.HintCheck
		p.hurry(t, time.Now())
	}
}

// ReadNow has a mailbox read at once, beside its regular reads.
func (p *Poller) ReadNow(id ooo.RecordID, why ooo.Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[id]; t != nil {
		t.urgent = why
		p.hurry(t, time.Now())
	}
}

// call is one call of Graph, and what is kept of it until it is known whether it is
// worth a trace.
type call struct {
	began, ended time.Time
	mailboxes    int
	graph        *graph.Calls // nil: not traced
	unanswered   bool         // it failed as a whole, by no fault that Graph names
	cut          bool         // it timed out before longTime
}

// read reads mailboxes with one call. If that gets no answer, one of them may be the
// cause: each is read alone.
func (p *Poller) read(ctx context.Context, l *lane, jobs []job) {
	limit := longTime
	if l != p.isolated {
		p.mu.Lock()
		limit = p.calls.timeout()
		p.mu.Unlock()
	}
	readings, c := p.ask(ctx, jobs, limit)
	if ctx.Err() == nil {
		p.learn(readings, c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.unanswered && len(jobs) > 1 && p.worthSplitting() {
		for i := range jobs {
			jobs[i].urgent = cmp.Or(jobs[i].urgent, ooo.SourcePoll)
			p.end(&jobs[i], time.Now())
		}
		return
	}
	p.concludeAll(ctx, jobs, readings, c)
}

// ask makes one call.
func (p *Poller) ask(ctx context.Context, jobs []job, limit time.Duration) ([]ooo.ReadResult, call) {
	ids, known := make([]ooo.ObjectID, len(jobs)), make([]ooo.Digest, len(jobs))
	for i := range jobs {
		ids[i], known[i] = jobs[i].id.ObjectID(), jobs[i].known
	}
	c := call{began: time.Now(), mailboxes: len(jobs)}
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if p.traced {
		asking, c.graph = graph.NoteCalls(asking)
	}
	readings := p.cfg.Graph.Read(asking, ids, known)
	c.ended = time.Now()
	c.unanswered = ctx.Err() == nil && unanswered(readings)
	c.cut = asking.Err() != nil && limit < longTime
	return readings, c
}

// unanswered reports whether a call failed as a whole, by no fault that Graph names.
func unanswered(readings []ooo.ReadResult) bool {
	first := readings[0].Err
	if !errors.Is(first, ooo.ErrUnavailable) && !errors.Is(first, ooo.ErrRejected) {
		return false
	}
	for i := range readings {
		if readings[i].Err != first { //nolint:errorlint // the very same error
			return false
		}
	}
	return true
}

// concludeAll says what the readings of one call mean. Most mean nothing new, and are
// done with at once. The others are each concluded alone, so that one whose save waits
// delays no other. The caller holds mu.
func (p *Poller) concludeAll(ctx context.Context, jobs []job, readings []ooo.ReadResult, c call) {
	took := c.ended.Sub(c.began)
	slow := took > slowAnswer && p.answered.After(c.began.Add(took/2)) // while others were not
	for i := range jobs {
		j, r := &jobs[i], &readings[i]
		p.isolate(j.t, c, slow)
		if !j.t.edge.IsZero() && !c.ended.Before(j.t.edge) { // the wall clock may have jumped
			p.windows.Set(j.t, c.ended)
		}
		if r.Err == nil {
			j.t.reader.Succeeded(c.ended)
		}
		if r.Err != nil || !r.Unchanged || len(j.hints) > 0 || j.urgent != "" {
			p.work.Go(func() { p.conclude(ctx, j, *r, c) })
			continue
		}
		j.t.recover()
		p.end(j, time.Time{})
		p.cfg.OnRead(Unchanged, j.late)
	}
}

// conclude says what one reading means.
func (p *Poller) conclude(ctx context.Context, j *job, r ooo.ReadResult, c call) {
	outcome, again := Stale, time.Time{}
	m, owned := p.cfg.Registry.Get(j.id)
	switch {
	case r.Err != nil:
		outcome, again = p.failed(ctx, j, r.Err, c)
	case owned && r.Unchanged && !p.understood(m): // the record changed while it was read
		j.urgent, again = cmp.Or(j.urgent, ooo.SourcePoll), time.Now()
	case owned:
		outcome = p.settle(ctx, j, m, r, c)
	}
	p.mu.Lock()
	p.end(j, again)
	p.mu.Unlock()
	p.cfg.OnRead(outcome, j.late)
}

// settle carries out what a setting that was read asks for.
func (p *Poller) settle(ctx context.Context, j *job, m *ooo.Mailbox, r ooo.ReadResult, c call) Outcome {
	outcome := Unchanged
	if setting := p.cfg.Policy.Apply(r.Setting); !r.Unchanged && !(p.understood(m) && m.Setting.Equal(setting)) {
		if m, outcome = p.decide(ctx, j, &setting, c); m == nil {
			return Stale
		}
	}
	source, hint := j.cause()
	p.mu.Lock()
	j.t.recover()
	if j.t.version == m.Version { // else what happened since may have other ideas of it
		j.t.digest = r.Digest
	}
	if outcome == Unchanged && source == ooo.SourceNotification {
		if late := hint.At.Sub(j.t.polled); late > 0 && late < announcedWithin {
			p.cfg.OnLateNotification(late)
		}
		j.t.polled = time.Time{}
	}
	p.mu.Unlock()
	if outcome == Unchanged {
		p.carriedOut(j.hints)
	}
	if outcome != Changed && hint.Trace != "" {
		p.traceNothing(ctx, j, c, outcome)
	}
	return outcome
}

// announcedWithin is how much later than the regular read a notification may come and
// still be taken for the one that announces its change.
const announcedWithin = 10 * time.Minute

// decide decides what a setting means for the mailbox as it stands now, and saves it
// with what it causes: the history, the delivery that begins, the hints that are carried
// out. A nil setting is the one that was read last: the clock alone may have changed
// what it means. It returns nil if the mailbox is not ours any more.
func (p *Poller) decide(ctx context.Context, j *job, setting *ooo.Setting, c call) (*ooo.Mailbox, Outcome) {
	source, hint := j.cause()
	outcome := Unchanged
	var spans changeSpans
	after := func(saved bool) {}
	m, err := p.update(j.id, func(d *mailbox.Draft) error {
		now := time.Now()
		read := cmp.Or(setting, d.Setting)
		if read == nil || len(d.Addresses) == 0 {
			return mailbox.ErrUnchanged
		}
		decision := p.cfg.Policy.Decide(d.State, *read, now)
		known := setting == nil || p.understood(d.Mailbox) && d.Setting.Equal(*setting)
		if known && !decision.Changed {
			return mailbox.ErrUnchanged
		}
		outcome = Updated
		if setting != nil {
			p.readable(d, setting, now)
			d.Done(j.hints...)
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
		after = p.cfg.BeginDelivery(d)
		return nil
	})
	spans.end(err)
	after(err == nil)
	if err != nil { // not ours, or not monitored any more
		return nil, Stale
	}
	if outcome == Changed {
		p.cfg.Log.InfoContext(ctx, "out of office changed", "mailbox", m.Person.ID, "away", m.State.Away, "source", source)
		p.cfg.OnChange(Change{Source: source, Took: since(hint.At), Lead: j.lead})
		p.mu.Lock()
		defer p.mu.Unlock()
		if j.t.polled = (time.Time{}); source == ooo.SourcePoll {
			j.t.polled = time.Now()
		}
	}
	return m, outcome
}

// readable notes in a draft that a setting was read.
func (p *Poller) readable(d *mailbox.Draft, setting *ooo.Setting, now time.Time) {
	if d.Condition == ooo.Unknown {
		d.EventAll(ooo.Event{At: now, Kind: ooo.EventKnown})
	}
	d.Setting, d.Policy, d.Condition, d.Reason, d.ErrorKind = setting, p.tag, ooo.Watching, "", ""
	d.ReadFailures, d.ReadRetryAt, d.ReadThrottled = 0, time.Time{}, false
}

// understood reports whether the record is what its setting means under the present
// policy, and nothing is wrong with it.
func (p *Poller) understood(m *ooo.Mailbox) bool {
	return m.Condition == ooo.Watching && m.Setting != nil && m.State != nil && m.Policy == p.tag &&
		m.ReadFailures == 0
}

// update is [mailbox.Registry.Update], bounded.
func (p *Poller) update(id ooo.RecordID, change func(d *mailbox.Draft) error) (*ooo.Mailbox, error) {
	p.saves <- struct{}{}
	defer func() { <-p.saves }()
	return p.cfg.Registry.Update(id, change)
}

func since(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return max(time.Since(at), 0)
}
