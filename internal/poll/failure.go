package poll

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Waits after a mailbox that can't be read, or an address that is not found.
const (
	firstWait      = 10 * time.Second
	mostWait       = 5 * time.Minute
	absentWait     = time.Minute // the first, if each try asks the directory too
	mostRetryAfter = time.Hour
	retryHint      = 3 * time.Second // a regular read mostly comes before
	mostRetryHint  = 30 * time.Second
	// patience is how many reads may fail for no fault of the mailbox before it is
	// shown as unknown.
	patience = 2
)

// Kinds of trouble that are [ooo.TroubleOther] in a record.
const (
	troubleThrottled    ooo.ReadTrouble = "throttled"
	troubleUnauthorized ooo.ReadTrouble = "unauthorized"
)

var (
	errAbsent   = fmt.Errorf("%w, though the directory has the user", ooo.ErrNoMailbox)
	errNotAsked = errors.New("the mailbox was not found, and the directory did not say whether the user is there")
)

// troubleOf returns the kind of trouble that an error stands for: failures of one kind
// are counted together.
func troubleOf(err error) ooo.ReadTrouble {
	if _, ok := errors.AsType[*ooo.Throttled](err); ok {
		return troubleThrottled
	}
	if errors.Is(err, ooo.ErrUnauthorized) {
		return troubleUnauthorized
	}
	return ooo.ReadTroubleOf(err)
}

// verdict is what a failure means for the mailbox.
type verdict struct {
	outcome   Outcome
	wait      time.Duration // until the next read; 0: it keeps its place
	throttled bool          // nothing cuts the wait short
	unknown   bool          // it is shown as unknown
}

// judge says what the failure of a read means that is the n-th of its kind in a row.
// othersRead says that other mailboxes were read since the first one.
func judge(err error, n int, othersRead bool, interval time.Duration) verdict {
	if wait, ok := errors.AsType[*ooo.Throttled](err); ok {
		return verdict{Throttled, wait.After, true, wait.After > 2*interval}
	}
	switch {
	case errors.Is(err, errAbsent):
		return verdict{Unreadable, schedule.Backoff(n, absentWait, mostWait), false, true}
	case errors.Is(err, errNotAsked):
		return verdict{Unavailable, schedule.Backoff(n, firstWait, mostWait), false, n > patience}
	}
	switch troubleOf(err) {
	case ooo.TroubleBadSetting: // read as usual: its owner may change it any time
		return verdict{Unreadable, 0, false, true}
	case ooo.TroubleNoMailbox, ooo.TroubleReadDenied, ooo.TroubleNotInDirectory, ooo.TroubleAmbiguous:
		return verdict{Unreadable, schedule.Backoff(n, firstWait, mostWait), false, true}
	case troubleUnauthorized:
		if othersRead { // with the same token
			return verdict{Unreadable, schedule.Backoff(n, firstWait, mostWait), false, true}
		}
	}
	// Graph is away or busy, and names no wait: reads keep their cadence.
	return verdict{Unavailable, 0, false, n > patience}
}

// failed says what it means that a mailbox gave no setting.
func (p *Poller) failed(ctx context.Context, j *job, err error, c call) Outcome {
	if ctx.Err() != nil { // stopping: not Graph's fault
		return Unavailable
	}
	if wait, ok := errors.AsType[*ooo.Throttled](err); ok && wait.Whole {
		p.hold(ctx, GraphWait, wait.After)
		p.mu.Lock()
		j.t.putBack(j.hints)
		j.t.urgent = cmp.Or(j.t.urgent, j.urgent)
		j.t.came = j.t.came || len(j.hints) > 0 || j.urgent != "" // read once the wait is over
		p.mu.Unlock()
		return Throttled
	}
	if errors.Is(err, ooo.ErrUserGone) {
		var left bool
		if left, err = p.ofPerson(ctx, j); left {
			return Unreadable
		}
	}
	v, n := p.note(j, err, c)
	if v.unknown || v.wait > p.cfg.Interval {
		p.saveFailure(ctx, j, err, v, n)
	} else if v.outcome == Unreadable {
		p.removing.add(j.hints...)
	}
	return v.outcome
}

// note notes a failure in memory and schedules the next read after it.
func (p *Poller) note(j *job, err error, c call) (verdict, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := j.t.fail(troubleOf(err), c.began)
	v := judge(err, f.times, p.answersSince(f.since), p.cfg.Interval)
	if v.outcome != Unreadable { // the hints want a read that says something
		j.t.putBack(j.hints)
		j.hints = nil
	}
	if j.t.notBefore, j.t.throttled = (time.Time{}), v.throttled; v.wait > 0 {
		j.t.notBefore = time.Now().Add(v.wait)
		p.schedule(j.t, j.t.notBefore)
	} else if len(j.t.hints) > 0 {
		p.retryHints(j, f.times, c)
	}
	return v, f.times
}

// retryHints has a mailbox read again whose hints got no answer: at once, with more
// time, if it was slow, and otherwise before its regular read if that is far away. The
// caller holds mu.
func (p *Poller) retryHints(j *job, n int, c call) {
	if c.timedOut && c.short && c.mailboxes == 1 {
		j.t.came = true
		return
	}
	if at := time.Now().Add(schedule.Backoff(n, retryHint, mostRetryHint)); at.Before(j.t.due) {
		p.hinted.queue.Set(j.t, at)
	}
}

// saveFailure records why a mailbox can't be read, and for how long it is left alone.
// Of failures in a row the first is saved, and those with a wait over one interval.
func (p *Poller) saveFailure(ctx context.Context, j *job, cause error, v verdict, n int) {
	p.mu.Lock()
	saved, retryAt := j.t.failure != nil && j.t.failure.saved, j.t.notBefore
	p.mu.Unlock()
	if saved && v.wait <= p.cfg.Interval {
		p.removing.add(j.hints...)
		return
	}
	first := false
	_, err := p.update(ctx, j.id, func(d *mailbox.Draft) error {
		d.Done(j.hints...)
		d.ReadFailures, d.ReadRetryAt, d.ReadThrottled = n, time.Time{}, v.throttled
		if v.wait > p.cfg.Interval {
			d.ReadRetryAt = retryAt.UTC()
		}
		if !v.unknown {
			return nil
		}
		if first = d.Condition != ooo.Unknown; first {
			d.EventAll(ooo.Event{At: time.Now(), Kind: ooo.EventUnknown, Detail: cause.Error()})
		}
		d.Condition, d.Reason, d.Trouble = ooo.Unknown, cause.Error(), ooo.ReadTroubleOf(cause)
		return nil
	})
	if err != nil { // not ours, or not monitored any more
		return
	}
	p.mu.Lock()
	if j.t.failure != nil {
		j.t.failure.saved = true
	}
	p.mu.Unlock()
	if first {
		p.cfg.Log.WarnContext(ctx, "mailbox not readable, its last state stands", "mailbox", j.id.ObjectID(), "err", cause)
	}
}

// ofPerson asks the directory for the user whose mailbox was not found. If the user is
// gone, each address leaves the mailbox, to be looked up again. Otherwise it returns
// why the mailbox can't be read.
func (p *Poller) ofPerson(ctx context.Context, j *job) (left bool, err error) {
	if wait := p.held(DirectoryWait); wait > 0 {
		return false, &ooo.Throttled{After: wait}
	}
	release := p.lookUpSlot(ctx)
	if release == nil {
		return false, ctx.Err()
	}
	_, err = p.cfg.Graph.Lookup(ctx, j.id.ObjectID())
	release()
	if wait, ok := errors.AsType[*ooo.Throttled](err); ok {
		p.hold(ctx, DirectoryWait, wait.After)
		return false, &ooo.Throttled{After: wait.After}
	}
	switch {
	case err == nil:
		return false, errAbsent
	case !errors.Is(err, ooo.ErrNotInDirectory):
		return false, fmt.Errorf("%w: %w", errNotAsked, err)
	}
	_, err = p.update(ctx, j.id, func(d *mailbox.Draft) error {
		d.Done(j.hints...)
		d.MoveAddresses(ooo.Person{})
		return nil
	})
	if err == nil {
		p.cfg.Log.WarnContext(ctx, "user gone from the directory, addresses are looked up again", "mailbox", j.id.ObjectID())
	}
	return true, nil
}
