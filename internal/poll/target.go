package poll

import (
	"hash/fnv"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// target is what the poller knows about an owned mailbox, or about an unresolved address that
// is to be looked up. id and unresolved never change; the other fields are guarded by the poller's mu.
type target struct {
	id          ooo.RecordID
	reader      mailbox.Reader
	phase       time.Time  // one of the times at which it is in phase
	due         time.Time  // when the next regular read is due
	expeditedAt time.Time  // when the last expedited read began
	digest      ooo.Digest // of the answer with the setting in the record; zero: not compared with this record yet
	urgent      ooo.Source // why to read it at once, other than by a hint; empty: no need
	polledAt    time.Time  // when a regular read noticed the last change; zero: none, or it was announced
	failure     *failure   // the last one in a row; nil: the last read succeeded
	notBefore   time.Time  // when it may be read next

	// Small fields are grouped to save memory: there is one target per mailbox.
	unresolved    bool  // id.Unresolved(): to compare the id costs the read benchmark another access to memory
	inFlight      bool  // it is being read, or the result is being saved
	dropped       bool  // it is no longer monitored, or this replica no longer owns it
	hinted        bool  // a hint requests a read that has not begun
	retry         bool  // read it again although nothing requests it
	checked       bool  // such a hint is a check, which cuts the wait after an error short
	throttled     bool  // notBefore is a Retry-After
	isolated      uint8 // reads until it returns to the batches; 0: it is not isolated
	presenceKnown bool
	presenceAway  bool // as of the last sweep
}

// failure is the last of several failures of one kind in a row.
type failure struct {
	kind  ooo.ReadErrorKind
	times int
	since time.Time // when the call of the first one began
	total int       // failures of all kinds in a row
	began time.Time // when the call of the first of these began
	// reasonAt is when the reason of an unknown mailbox was saved, or loaded if it was saved before
	// that; zero: the mailbox is not shown as unknown.
	reasonAt time.Time
}

// requested reports whether a read is to be made in addition to the regular ones.
func (t *target) requested() bool { return t.hinted || t.urgent != "" || t.retry }

// waits reports whether a target must not be read at a time. A check cuts the wait after an
// error short, but not a Retry-After.
func (t *target) waits(at time.Time) bool {
	return t.notBefore.After(at) && (t.throttled || !t.checked)
}

// phaseOf returns when in the interval a mailbox is read: a multiple of 100 ms, or of a
// twentieth of a short interval, and of twice that if there are few mailboxes. Mailboxes with
// the same phase fill batches: 100 mailboxes with a phase each would take ten times the calls,
// and exceed the CPU limits of the read benchmarks.
func phaseOf(id ooo.RecordID, interval time.Duration, mailboxes int) time.Duration {
	step := min(100*time.Millisecond, max(interval/20, 1))
	h := fnv.New64a()
	h.Write([]byte(id))
	mixed := h.Sum64() // the hashes of short ids differ in few bits
	mixed = (mixed ^ mixed>>33) * 0xff51afd7ed558ccd
	phase := time.Duration((mixed>>33)%uint64(max(interval/step, 1))) * step
	if mailboxes < 500 {
		phase -= phase % (2 * step)
	}
	return phase
}

// scheduleFirst schedules the first read or look-up by this replica. The caller must hold mu.
func (p *Poller) scheduleFirst(t *target, m *ooo.Mailbox, now time.Time) {
	t.loadFailure(m, now)
	if until, _ := p.throttled.Get(t.id); until.After(t.notBefore) {
		t.notBefore, t.throttled = until, true
	}
	t.phase = firstInPhase(phaseOf(t.id, p.cfg.Interval, len(p.targets)), p.cfg.Interval, now)
	at := t.phase
	if t.hinted || m.Condition == ooo.Pending || p.missed(t) || t.unresolved {
		at = now
	}
	if t.notBefore.After(at) {
		at = t.notBefore
	}
	p.schedule(t, at)
}

// usualLateness is by how much reads may begin late while a replica is not overloaded.
const usualLateness = 100 * time.Millisecond

// missed reports whether the previous owner of a mailbox may not have begun its last regular read:
// the mailbox was in phase after the owner's last reads, or shortly before.
func (p *Poller) missed(t *target) bool {
	until := p.cfg.Registry.ReadUntil(t.id.Partition())
	return !until.IsZero() && t.phase.Add(-p.cfg.Interval).Round(0).After(until.Add(-usualLateness))
}

// firstInPhase returns the first time after now at which a mailbox is in phase. It follows the
// wall clock, so that replicas agree on it, but carries a monotonic reading.
func firstInPhase(phase, interval time.Duration, now time.Time) time.Time {
	wait := (phase - time.Duration(now.UnixNano()%int64(interval))) % interval
	if wait <= 0 {
		wait += interval
	}
	return now.Add(wait)
}

// inPhaseAfter returns when the mailbox is next in phase after now.
func (t *target) inPhaseAfter(now time.Time, interval time.Duration) time.Time {
	if now.Before(t.phase) {
		return t.phase
	}
	return t.phase.Add((now.Sub(t.phase)/interval + 1) * interval)
}

// next returns when a mailbox whose regular read begins now is due again. A late mailbox
// returns to its phase by a thirty-second of the interval at a time: returning at once would
// take an additional read, at the expense of other late mailboxes.
func (t *target) next(now time.Time, interval time.Duration) time.Time {
	at := t.inPhaseAfter(now, interval)
	if step := interval / 32; now.Sub(t.due) > step {
		if earliest := now.Add(interval - step); earliest.After(at) {
			return earliest
		}
	}
	return at
}

// fail counts a failure. The count starts again with each new kind of error.
func (t *target) fail(kind ooo.ReadErrorKind, now time.Time) *failure {
	if t.failure == nil {
		t.failure = &failure{began: now}
	}
	f := t.failure
	if f.kind != kind {
		f.kind, f.times, f.since = kind, 0, now
	}
	f.times++
	f.total++
	return f
}

// recover forgets all failures.
func (t *target) recover() { t.failure, t.notBefore, t.throttled = nil, time.Time{}, false }

// loadFailure restores the failures from a record. The stored wait is limited to the longest
// wait of its kind, because the clock that it was stored by may have been wrong.
func (t *target) loadFailure(m *ooo.Mailbox, now time.Time) {
	t.recover()
	if m.Condition == ooo.Unknown || m.ReadFailures > 0 {
		t.failure = &failure{kind: m.ErrorKind, times: m.ReadFailures, began: now}
		if m.Condition == ooo.Unknown {
			t.failure.reasonAt = now
		}
	}
	limit := maxReadWait
	if m.ReadThrottled {
		limit = maxRetryAfter
	}
	t.notBefore, t.throttled = now.Add(min(m.ReadRetryAt.Sub(now), limit)), m.ReadThrottled
}
