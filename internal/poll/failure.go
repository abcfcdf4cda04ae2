package poll

import (
	"context"
	"errors"
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
	// While Graph is out of reach, between look-ups and between reads that hints ask for;
	// a regular read mostly comes before.
	awayWait     = 3 * time.Second
	mostAwayWait = 30 * time.Second
	// toleratedFailures is how many reads may fail for no fault of the mailbox before it
	// is shown as unknown.
	toleratedFailures = 2
)

// Kinds of error that a record does not tell apart.
const (
	readErrorThrottled    ooo.ReadErrorKind = "throttled"
	readErrorUnauthorized ooo.ReadErrorKind = "unauthorized"
	readErrorAbsent       ooo.ReadErrorKind = "absent"
	readErrorNotAsked     ooo.ReadErrorKind = "not_asked"
)

// errorKind returns the kind of error that an error stands for: failures of one kind
// are counted together.
func errorKind(err error) ooo.ReadErrorKind {
	_, throttled := errors.AsType[*ooo.Throttled](err)
	switch {
	case throttled:
		return readErrorThrottled
	case errors.Is(err, errAbsent):
		return readErrorAbsent
	case errors.Is(err, errNotAsked):
		return readErrorNotAsked
	case errors.Is(err, ooo.ErrUnauthorized):
		return readErrorUnauthorized
	}
	return ooo.ReadErrorKindOf(err)
}

// verdict is what a failure means for the mailbox.
type verdict struct {
	outcome Outcome
	wait    time.Duration // until the next read; 0: it keeps its phase
	unknown bool          // it is shown as unknown
}

// judge says what the failure of a read means that is the n-th of its kind in a row.
// othersRead says that other mailboxes were read since the first one.
func judge(err error, n int, othersRead bool, interval time.Duration) verdict {
	kind, wait := errorKind(err), schedule.Backoff(n, firstWait, mostWait)
	switch {
	case kind == readErrorThrottled:
		throttled, _ := errors.AsType[*ooo.Throttled](err)
		return verdict{Throttled, throttled.After, throttled.After > 2*interval}
	case kind == readErrorAbsent:
		return verdict{Unreadable, schedule.Backoff(n, absentWait, mostWait), true}
	case kind == readErrorNotAsked:
		return verdict{Unavailable, wait, n > toleratedFailures}
	case kind == ooo.ReadErrorBadSetting: // read as usual: its owner may change it any time
		return verdict{Unreadable, 0, true}
	case kind == ooo.ReadErrorOther, kind == readErrorUnauthorized && !othersRead:
		// Graph is away or busy, and names no wait: reads keep their cadence.
		return verdict{Unavailable, 0, n > toleratedFailures}
	}
	return verdict{Unreadable, wait, true} // a 401 too, if others are read with the same token
}

// failed says what it means that a mailbox gave no setting, or an address no person. Again
// is when what asked for that is tried again; zero: it is done with.
func (p *Poller) failed(ctx context.Context, j *job, err error, c call) (outcome Outcome, again time.Time) {
	if ctx.Err() != nil { // stopping: not Graph's fault
		return Unavailable, time.Time{}
	}
	throttled, _ := errors.AsType[*ooo.Throttled](err)
	switch {
	case throttled != nil && j.t.unresolved:
		p.hold(ctx, DirectoryWait, throttled.After)
	case throttled != nil && throttled.WholeApp:
		p.hold(ctx, GraphWait, throttled.After)
		return Throttled, time.Now()
	case errors.Is(err, ooo.ErrUserGone):
		if err = p.askDirectory(ctx, j); err == nil {
			return Unreadable, time.Time{}
		}
	}
	v, f, again := p.note(j, err, c)
	hints := j.hints
	if !again.IsZero() { // they want a read that says something
		hints = nil
	}
	if v.wait > p.cfg.Interval || v.unknown && !f.saved {
		p.saveFailure(ctx, j, err, v, f, hints)
	} else {
		p.carriedOut(hints)
	}
	return v.outcome, again
}

// note notes a failure in memory and schedules the next read after it. Again is as of
// failed; f is what it was before it is saved.
func (p *Poller) note(j *job, err error, c call) (v verdict, f failure, again time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, t := time.Now(), j.t
	failing := t.fail(errorKind(err), c.began)
	f = *failing
	v = judge(err, f.times, p.answered.After(f.since), p.cfg.Interval)
	away := schedule.Backoff(f.times, awayWait, mostAwayWait)
	if v.wait == 0 && j.t.unresolved {
		v.wait = away
	}
	failing.saved = f.saved || v.unknown
	if t.notBefore, t.throttled = (time.Time{}), v.outcome == Throttled; v.wait > 0 {
		t.notBefore = now.Add(v.wait)
		if !t.dropped && t.monitored {
			p.schedule(t, t.notBefore)
		}
	}
	switch {
	case v.outcome == Unreadable:
	case c.cut && t.alone > 0:
		again = now // with more time
	case len(j.hints) == 0 && j.urgent == ooo.SourcePoll:
		// Nobody asked: its batch was split, or its record changed. Its regular read is next.
	default:
		again = now.Add(max(v.wait, away))
	}
	return v, f, again
}

// saveFailure records why a mailbox can't be read, and for how long it is left alone.
// Of failures in a row the first is saved, and those with a wait over one interval.
func (p *Poller) saveFailure(ctx context.Context, j *job, cause error, v verdict, f failure, done []ooo.Hint) {
	first := false
	_, err := p.update(j.id, func(d *mailbox.Draft) error {
		now := time.Now()
		d.Done(done...)
		d.ReadFailures, d.ReadRetryAt, d.ReadThrottled = f.times, time.Time{}, v.outcome == Throttled
		if v.wait > p.cfg.Interval {
			d.ReadRetryAt = now.Add(v.wait).UTC()
		}
		if !v.unknown {
			return nil
		}
		if first = d.Condition != ooo.Unknown; first {
			d.EventAll(ooo.Event{At: now, Kind: ooo.EventUnknown, Detail: cause.Error()})
		}
		d.Condition, d.Reason, d.ErrorKind = ooo.Unknown, cause.Error(), ooo.ReadErrorKindOf(cause)
		return nil
	})
	if err == nil && first {
		p.cfg.Log.WarnContext(ctx, "mailbox not readable, its last state stands", "mailbox", j.id.ObjectID(), "err", cause)
	}
}
