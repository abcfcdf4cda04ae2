package poll

import (
	"hash/fnv"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// target is what the poller knows of an owned mailbox, or of an address that is to be
// looked up. All of it is guarded by the poller's mu.
type target struct {
	id      ooo.RecordID
	reader  mailbox.Reader
	version int64     // of the record that it goes by
	phase   time.Time // one of the times at which it is in its phase
	due     time.Time // when the next regular read is due
	hinted  time.Time // when the last read beside the regular ones began
	// digest is that of the answer that the setting of the record was decoded from;
	// zero if that is not known.
	digest    ooo.Digest
	edge      time.Time  // of a scheduled window, by the wall clock; zero: none
	urgent    ooo.Source // to be read at once for this reason, without a hint; empty: it is not
	polled    time.Time  // when the regular read noticed a change that nothing had announced
	failure   *failure   // what failed last; nil if nothing did
	notBefore time.Time  // the next read

	// Small ones together: there is a target for each mailbox.
	unresolved bool  // an address to be looked up
	monitored  bool  // under some address
	inFlight   bool  // a read, its result saved
	dropped    bool  // this replica no longer has it
	wanted     bool  // the registry has a hint that no read has begun for
	checked    bool  // one of them cuts the wait after an error short
	throttled  bool  // notBefore is a Retry-After
	alone      uint8 // quick answers until it is read together with others again
	seen       bool  // presence has said something
	away       bool  // and what it said last
}

// failure is what failed last, several times in a row maybe.
type failure struct {
	kind  ooo.ReadErrorKind
	times int       // of this kind, in a row
	since time.Time // the first of them
	saved bool      // the record shows it
}

// asked reports whether a read is asked for beside the regular ones.
func (t *target) asked() bool { return t.wanted || t.urgent != "" }

// waits reports whether a mailbox must not be read yet at a time. A check cuts the wait
// after an error short, nothing cuts a Retry-After.
func (t *target) waits(at time.Time) bool {
	return t.notBefore.After(at) && (t.throttled || !t.checked)
}

// phaseOf is when in the interval a mailbox is read: a multiple of 100 ms, or of a
// twentieth of a short interval; of twice that where few are read. So what is read at
// one time fills batches, which is what reads cost: 100 mailboxes, each at a time of its
// own, would take ten times the calls. The bars for the CPU of a read fail without it.
func phaseOf(id ooo.RecordID, interval time.Duration, mailboxes int) time.Duration {
	step := min(100*time.Millisecond, max(interval/20, 1))
	h := fnv.New64a()
	h.Write([]byte(id))
	mixed := h.Sum64() // short ids differ in few of its bits
	mixed = (mixed ^ mixed>>33) * 0xff51afd7ed558ccd
	phase := time.Duration((mixed>>33)%uint64(max(interval/step, 1))) * step
	if mailboxes < 500 {
		phase -= phase % (2 * step)
	}
	return phase
}

// firstRead is the first time after now at which a mailbox is in its phase, by the wall
// clock, so that all replicas mean the same. The time that it returns is monotonic.
func firstRead(phase, interval time.Duration, now time.Time) time.Time {
	wait := (phase - time.Duration(now.UnixNano()%int64(interval))) % interval
	if wait <= 0 {
		wait += interval
	}
	return now.Add(wait)
}

// inPhaseAfter returns when it is next in its phase after now.
func (t *target) inPhaseAfter(now time.Time, interval time.Duration) time.Time {
	if now.Before(t.phase) {
		return t.phase
	}
	return t.phase.Add((now.Sub(t.phase)/interval + 1) * interval)
}

// smallPart is by how much of the interval a read may be late, or early.
const smallPart = 32

// next returns when a mailbox is due again whose regular read begins now: in its phase.
// One that is late comes back to its phase by a small part of the interval at a time: to
// come back at once is an early read more, which would crowd out others that are late.
func (t *target) next(now time.Time, interval time.Duration) time.Time {
	at := t.inPhaseAfter(now, interval)
	if small := interval / smallPart; now.Sub(t.due) > small {
		if step := now.Add(interval - small); step.After(at) {
			return step
		}
	}
	return at
}

// fail notes one more failure. A new kind of error starts from one, whatever failed
// before it.
func (t *target) fail(kind ooo.ReadErrorKind, now time.Time) *failure {
	if t.failure == nil || t.failure.kind != kind {
		t.failure = &failure{kind: kind, since: now}
	}
	t.failure.times++
	return t.failure
}

// recover notes that nothing is wrong.
func (t *target) recover() { t.failure, t.notBefore, t.throttled = nil, time.Time{}, false }

// load takes over what the record says of failures. A stored time is cut at now and
// its own longest wait: the clock that it was written by may have been wrong.
func (t *target) load(m *ooo.Mailbox, now time.Time) {
	t.recover()
	if saved := m.Condition == ooo.Unknown; saved || m.ReadFailures > 0 {
		t.failure = &failure{kind: m.ErrorKind, times: m.ReadFailures, saved: saved}
	}
	if !m.ReadRetryAt.After(now) {
		return
	}
	most := mostWait
	if m.ReadThrottled {
		most = mostRetryAfter
	}
	t.notBefore, t.throttled = now.Add(min(m.ReadRetryAt.Sub(now), most)), m.ReadThrottled
}
