package poll

import (
	"context"
	"errors"
	"slices"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Waits after failed reads and look-ups, shortened by up to a fifth at random, see
// [schedule.Backoff].
const (
	firstWait     = 10 * time.Second
	maxReadWait   = 5 * time.Minute
	absentWait    = time.Minute // the first wait if each retry also asks the directory
	maxRetryAfter = time.Hour
	// While Graph is unavailable: between look-ups, and between reads that hints request.
	// Usually the next regular read comes first.
	unavailableWait    = 3 * time.Second
	maxUnavailableWait = 30 * time.Second
	// toleratedFailures is how many reads in a row may fail through no fault of the mailbox
	// before it is shown as unknown; twice as many if their kind changes.
	toleratedFailures = 2
	// announceThrottled is how long Graph must throttle a mailbox before its history says so. Graph may
	// throttle each second read for hours, whose events would replace all others.
	announceThrottled = time.Minute
	// reasonAge is from which age on a reason is replaced by that of the next failure; before, only by
	// that of the first one of a kind that is not tolerated. The kinds or the texts of errors may change
	// with each read, and 26,000 mailboxes may fail at once.
	reasonAge = 8 * time.Minute
)

// Kinds of error that a record does not distinguish: it has absent as no_mailbox, unauthorized as
// denied or other, and the rest as other. So a new owner counts their failures from the start.
const (
	readErrorThrottled    ooo.ReadErrorKind = "throttled"
	readErrorUnauthorized ooo.ReadErrorKind = "unauthorized"
	readErrorAbsent       ooo.ReadErrorKind = "absent"
	readErrorUnverified   ooo.ReadErrorKind = "unverified"
)

// errorKind returns the kind of an error. Failures of one kind are counted together.
func errorKind(err error) ooo.ReadErrorKind {
	_, throttled := errors.AsType[*ooo.Throttled](err)
	switch {
	case throttled:
		return readErrorThrottled
	case errors.Is(err, ooo.ErrMailboxAbsent):
		return readErrorAbsent
	case errors.Is(err, errUnverified):
		return readErrorUnverified
	case errors.Is(err, ooo.ErrUnauthorized):
		return readErrorUnauthorized
	}
	return ooo.ReadErrorKindOf(err)
}

// effect is what a failure means for the mailbox.
type effect struct {
	outcome Outcome
	wait    time.Duration // until the next read; 0: the mailbox keeps its phase
	unknown bool          // the mailbox is shown as unknown
}

// effectOf returns the effect of a failure that is the last one of f. othersRead reports whether
// other mailboxes have been read since the first of them.
func effectOf(err error, f failure, othersRead bool, interval time.Duration) effect {
	persists := f.times > toleratedFailures || f.total > 2*toleratedFailures || !f.reasonAt.IsZero()
	busy := effect{Unavailable, 0, persists} // Graph is unreachable or asks for no wait: reads keep their cadence
	wait := schedule.Backoff(f.times, firstWait, maxReadWait)
	switch errorKind(err) {
	case readErrorThrottled:
		throttled, _ := errors.AsType[*ooo.Throttled](err)
		return effect{Throttled, throttled.After, persists || throttled.After > 2*interval}
	case readErrorAbsent:
		return effect{Unreadable, schedule.Backoff(f.times, absentWait, maxReadWait), true}
	case readErrorUnverified:
		return effect{Unavailable, wait, persists}
	case ooo.ReadErrorBadSetting: // keep reading: the user may change it at any time
		return effect{Unreadable, 0, true}
	case ooo.ReadErrorOther:
		return busy
	case readErrorUnauthorized: // about this mailbox, if the token works for others
		if !othersRead || f.times <= toleratedFailures {
			return busy
		}
		return effect{Unreadable, schedule.Backoff(f.times-toleratedFailures, firstWait, maxReadWait), true}
	}
	return effect{Unreadable, wait, true}
}

// failed handles a read that returned no setting, or a look-up that found no person. retryAt
// is when to repeat an expedited read; it is zero if the next regular read is soon enough.
func (p *Poller) failed(ctx context.Context, j *job, err error, c call) (outcome Outcome, retryAt time.Time) {
	if ctx.Err() != nil { // the poller is stopping: not Graph's fault
		return Unavailable, time.Time{}
	}
	throttled, _ := errors.AsType[*ooo.Throttled](err)
	switch {
	case throttled != nil && j.t.unresolved:
		p.cfg.SetWait(ctx, ooo.DirectoryWait, throttled.After)
	case throttled != nil && throttled.WholeApp:
		p.cfg.SetWait(ctx, ooo.GraphWait, throttled.After)
		return Throttled, time.Now()
	case errors.Is(err, ooo.ErrUserGone):
		if err = p.checkDirectory(ctx, j); err == nil {
			return Unreadable, time.Time{}
		}
	}
	e, f, retryAt := p.countFailure(j, err, c)
	if e.outcome == Unreadable && errors.Is(err, ooo.ErrUnauthorized) {
		err = ooo.ErrMailboxUnauthorized
	}
	var done []ooo.Hint
	if retryAt.IsZero() { // otherwise they stay until a read is answered
		done = j.hints
	}
	if e.wait > p.cfg.Interval || e.unknown && p.outdated(j, f, err) {
		p.saveFailure(ctx, j, err, e, f, done)
	} else {
		j.done = done
	}
	return e.outcome, retryAt
}

// outdated reports whether the record of an unknown mailbox must be saved now: it does not show the
// mailbox as unknown, the history must say so by now, or the reason differs and is due to be compared.
func (p *Poller) outdated(j *job, f failure, cause error) bool {
	check := slices.ContainsFunc(j.hints, func(h ooo.Hint) bool { return h.Kind == ooo.HintCheck })
	m, owned := p.cfg.Registry.Get(j.t.id)
	switch {
	case !owned || m.Condition != ooo.Unknown, m.Unannounced && time.Since(f.began) >= announceThrottled:
		return true
	case check, f.times == toleratedFailures+1, time.Since(f.reasonAt) >= reasonAge:
		return m.Reason != cause.Error()
	}
	return false
}

// countFailure records a failure in memory and schedules the next read. For retryAt see
// [Poller.failed].
func (p *Poller) countFailure(j *job, err error, c call) (e effect, f failure, retryAt time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, t := time.Now(), j.t
	f = *t.fail(errorKind(err), c.began)
	e = effectOf(err, f, p.lastAnswered.After(f.since), p.cfg.Interval)
	unavailable := schedule.Backoff(f.times, unavailableWait, maxUnavailableWait)
	if e.wait == 0 && t.unresolved {
		e.wait = unavailable
	}
	t.notBefore, t.throttled = time.Time{}, e.outcome == Throttled
	if e.wait > 0 {
		t.notBefore = now.Add(e.wait)
		// While Graph goes on throttling a mailbox, short waits don't add reads to the regular ones.
		inPhase := t.throttled && f.times > 1 && t.due.After(t.notBefore)
		if !t.dropped && !inPhase {
			p.schedule(t, t.notBefore)
		}
	}
	switch {
	case e.outcome == Unreadable:
	case c.cutShort && t.isolated > 0:
		retryAt = now // alone, and with the longer timeout from the second time on
	case j.requested(): // otherwise the next regular read is soon enough
		retryAt = now.Add(max(e.wait, unavailable))
	}
	return e, f, retryAt
}

// saveFailure saves why a mailbox can't be read and when it is read next.
func (p *Poller) saveFailure(ctx context.Context, j *job, cause error, e effect, f failure, done []ooo.Hint) {
	announce := false
	_, err := p.update(j.t.id, func(d *mailbox.Draft) error {
		now := time.Now()
		d.RemoveHints(done...)
		d.ReadFailures, d.ReadRetryAt, d.ReadThrottled = f.times, time.Time{}, e.outcome == Throttled
		if e.wait > p.cfg.Interval {
			d.ReadRetryAt = now.Add(e.wait).UTC()
		}
		if !e.unknown {
			return nil
		}
		if announced := d.Condition == ooo.Unknown && !d.Unannounced; !announced {
			tooSoon := e.outcome == Throttled && now.Add(e.wait).Sub(f.began) < announceThrottled
			announce, d.Unannounced = !tooSoon, tooSoon
		}
		if announce {
			d.EventAll(ooo.Event{At: now, Kind: ooo.EventUnknown, Detail: cause.Error()})
		}
		d.Condition, d.Reason, d.ErrorKind = ooo.Unknown, cause.Error(), ooo.ReadErrorKindOf(cause)
		return nil
	})
	if err != nil || !e.unknown {
		return
	}
	p.mu.Lock()
	if j.t.failure != nil {
		j.t.failure.reasonAt = time.Now()
	}
	p.mu.Unlock()
	if announce {
		p.cfg.Log.WarnContext(ctx, "mailbox unreadable, keeping its last state", "mailbox", j.t.id, "err", cause)
	}
}
