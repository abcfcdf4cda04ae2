package watch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// read reads the mailboxes of one piece of work and concludes each.
func (w *Watcher) read(ctx context.Context, clock due.Clock, claims []ooo.Claim) []ooo.Finished {
	began := clock()
	ctx = w.looking(ctx, len(claims))
	if len(claims) == 1 && claims[0].ObjectID == "" {
		found, finished := w.find(ctx, clock, claims[0])
		if finished != nil {
			return finished
		}
		claims = []ooo.Claim{found}
	}
	ids, known := make([]ooo.ObjectID, len(claims)), make([]ooo.Digest, len(claims))
	w.memory.recall(claims, ids, known)
	readings := w.ask(ctx, ids, known)
	finished := make([]ooo.Finished, 0, len(claims))
	for i, c := range claims {
		f, outcome := w.conclude(ctx, clock, c, readings[i], began)
		w.cfg.Looked(outcome, began.Sub(c.Due))
		if outcome != Stale {
			finished = append(finished, f)
		}
	}
	return finished
}

// call is one call of Graph, which is allowed more at once the better it answers.
func (w *Watcher) call(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.Reading {
	_ = w.rate.WaitN(ctx, len(ids)) // if ctx ends, the call finds out
	began, ended := time.Now(), w.width.begin()
	readings := w.cfg.Graph.Read(ctx, ids, known)
	ended(time.Since(began), ctx.Err() == nil && refused(readings)) // what we broke off is not Graph's fault
	return readings
}

// refused says whether Graph was unable to answer, which a few broken mailboxes do
// not show, or wants the app to wait.
func refused(readings []ooo.Reading) bool {
	unable := 0
	for _, r := range readings {
		if wait, ok := errors.AsType[*ooo.Throttled](r.Err); ok && wait.Whole {
			return true
		}
		if errors.Is(r.Err, ooo.ErrUnavailable) {
			unable++
		}
	}
	return unable > 1 && unable > len(readings)/2
}

// find looks a user up in the directory. It returns the claim with the object
// id, or how the look ended without one.
func (w *Watcher) find(ctx context.Context, clock due.Clock, c ooo.Claim) (ooo.Claim, []ooo.Finished) {
	select { // those who are not found yet must not hold up the poll of the others
	case w.finds <- struct{}{}:
		defer func() { <-w.finds }()
	default:
		return c, []ooo.Finished{{Claim: c, Next: w.line.place(clock()), Again: true}}
	}
	began := time.Now()
	defer func() { w.line.served(time.Since(began)) }()
	user, err := w.cfg.Store.Standing(ctx, c.Key)
	if err != nil {
		return c, w.unstored(ctx, clock, c, err)
	}
	until, err := w.cfg.Store.Paused(ctx, ooo.DirectoryPause)
	if err != nil {
		return c, w.unstored(ctx, clock, c, err)
	}
	if until.After(clock()) {
		return c, []ooo.Finished{{Claim: c, Next: until.Add(rand.N(time.Second)), Again: true}}
	}
	person, err := w.cfg.Graph.Find(ctx, user.Address)
	if wait, ok := errors.AsType[*ooo.Throttled](err); ok {
		until = clock().Add(wait.After)
		if err := w.cfg.Store.Pause(ctx, ooo.DirectoryPause, until); err != nil {
			w.cfg.Log.WarnContext(ctx, "the wait that Graph asked for could not be shared", "err", err)
		}
		w.cfg.Looked(Throttled, 0)
		return c, []ooo.Finished{{Claim: c, Next: until, NotBefore: until, Failed: true}}
	}
	if err != nil {
		f, outcome := w.failed(ctx, clock, c, err)
		w.cfg.Looked(outcome, 0)
		return c, []ooo.Finished{f}
	}
	if err := w.cfg.Store.Identify(ctx, c, person); err != nil {
		return c, w.unstored(ctx, clock, c, err)
	}
	c.ObjectID = person.ID
	w.cfg.Log.InfoContext(ctx, "found in the directory", "user", c.Key, "object_id", person.ID)
	return c, nil
}

// unstored says when to look again after the store failed: never, if the user
// is no longer ours or no longer monitored.
func (w *Watcher) unstored(ctx context.Context, clock due.Clock, c ooo.Claim, err error) []ooo.Finished {
	switch {
	case errors.Is(err, ooo.ErrStale):
		return []ooo.Finished{}
	case errors.Is(err, ooo.ErrNotMonitored):
		return []ooo.Finished{{Claim: c}}
	}
	w.cfg.Log.WarnContext(ctx, "a look could not be recorded, will look again", "user", c.Key, "err", err)
	return []ooo.Finished{{Claim: c, Every: w.cfg.Interval, Failed: true}}
}

// again says when a user whose read began then is due again: at its place. While some
// are late, all come back to that by a small part of the interval at a time: to come
// back at once is an early read more, which would crowd out those who are late.
func (w *Watcher) again(c ooo.Claim, began time.Time) ooo.Finished {
	f := ooo.Finished{Claim: c, Read: true, Every: w.cfg.Interval}
	if began.Sub(c.Due) > w.cfg.Interval/smallPart {
		w.late.Store(began.UnixNano())
	}
	behind := began.Sub(time.Unix(0, w.late.Load())) < w.cfg.Interval
	if behind && c.Source == ooo.SourcePoll { // a look between keeps nobody from its place
		f.From = began.Add(w.cfg.Interval - w.cfg.Interval/smallPart)
	}
	return f
}

// smallPart is the part of the interval that nobody minds being read late, or early.
const smallPart = 32

// conclude says what one reading means.
func (w *Watcher) conclude(ctx context.Context, clock due.Clock, c ooo.Claim, r ooo.Reading, began time.Time) (ooo.Finished, Outcome) {
	if r.Err != nil {
		return w.failed(ctx, clock, c, r.Err)
	}
	f := w.again(c, began)
	outcome := Unchanged
	if !r.Same {
		fingerprint := r.Setting.Fingerprint() + w.cfg.Policy.Tag()
		if fingerprint != c.Fingerprint {
			var err error
			outcome, err = w.record(ctx, clock, c, r.Setting, fingerprint)
			if err != nil {
				if finished := w.unstored(ctx, clock, c, err); len(finished) == 1 {
					return finished[0], outcome
				}
				return ooo.Finished{}, Stale
			}
		}
		w.memory.keep(c.Key, fingerprint, r.Digest)
	}
	if outcome == Unchanged && c.Source == ooo.SourceNotification {
		if late, known, err := w.cfg.Store.Announced(ctx, c); err == nil && known {
			w.cfg.Late(late)
		}
	}
	w.tellNothing(ctx, c, outcome)
	return f, outcome
}

// record decides what setting means for the user as it stands now and records
// it. The window's edge may move the record meanwhile: then it decides anew.
func (w *Watcher) record(ctx context.Context, clock due.Clock, c ooo.Claim, setting ooo.Setting, fingerprint string) (Outcome, error) {
	for try := 1; ; try++ {
		user, err := w.cfg.Store.Standing(ctx, c.Key)
		if err != nil {
			return Stale, err
		}
		change := ooo.Change{
			Revision: user.Revision, Setting: setting, Fingerprint: fingerprint, At: clock(),
		}
		change.Decision = w.cfg.Policy.Decide(user.State, setting, change.At)
		sequence, err := w.put(ctx, c, change)
		if errors.Is(err, ooo.ErrStale) && try < 3 {
			continue
		}
		if err != nil {
			return Stale, err
		}
		if !change.Decision.Changed {
			return Updated, nil
		}
		w.notice(ctx, c, user, change, sequence)
		return Changed, nil
	}
}

// notice logs a change and tells it on. Who it is and what is said stay out.
func (w *Watcher) notice(ctx context.Context, c ooo.Claim, user ooo.User, change ooo.Change, sequence int64) {
	state := change.Decision.State
	w.cfg.Log.InfoContext(ctx, "out of office changed", "user", c.Key, "object_id", user.Person.ID,
		"away", state.Away, "source", c.Source, "sequence", sequence)
	w.cfg.Noticed(Noticed{Claim: c, Address: user.Address, State: state, Sequence: sequence, At: change.At})
}

// Waits after a mailbox, or an address, that can't be read.
const (
	firstWait = 10 * time.Second
	mostWait  = 5 * time.Minute
)

// failed says when to look again at a mailbox that gave no setting.
func (w *Watcher) failed(ctx context.Context, clock due.Clock, c ooo.Claim, err error) (ooo.Finished, Outcome) {
	now := clock()
	f := ooo.Finished{Claim: c, Failed: true, Every: w.cfg.Interval}
	if ctx.Err() != nil { // stopping, or the lease is lost: not Graph's fault
		return ooo.Finished{Claim: c, Next: c.Due, Again: true}, Unavailable
	}
	if wait, ok := errors.AsType[*ooo.Throttled](err); ok {
		f.Next = now.Add(wait.After)
		f.NotBefore = f.Next
		if !wait.Whole && wait.After > 2*w.cfg.Interval {
			w.unknown(ctx, c, err, now)
		}
		if wait.Whole {
			f.NotBefore = time.Time{} // the hold is enough, and ends for all at once
			if err := w.cfg.Store.Hold(ctx, f.Next, ooo.ReadQueue, ooo.SubscribeQueue); err != nil {
				w.cfg.Log.WarnContext(ctx, "the wait that Graph asked for could not be shared", "err", err)
				f.NotBefore = f.Next
			}
		}
		w.cfg.Log.DebugContext(ctx, "throttled", "user", c.Key, "whole_app", wait.Whole, "wait", wait.After)
		return f, Throttled
	}
	outcome := Unreadable
	switch {
	case errors.Is(err, ooo.ErrBadSetting): // read as usual: the owner may change it any time
	case errors.Is(err, ooo.ErrUserGone):
		// The address may have another mailbox by now: look it up again.
		if err := w.cfg.Store.Identify(ctx, c, ooo.Person{}); err != nil {
			w.cfg.Log.DebugContext(ctx, "the object id could not be forgotten", "user", c.Key, "err", err)
		}
		f.Next = now.Add(due.Backoff(c.Failures+1, w.cfg.Interval, mostWait))
	case errors.Is(err, ooo.ErrNoMailbox), errors.Is(err, ooo.ErrDenied),
		errors.Is(err, ooo.ErrNotInDirectory), errors.Is(err, ooo.ErrAmbiguous):
		f.Next = now.Add(due.Backoff(c.Failures+1, firstWait, mostWait))
	default:
		// Graph is away or busy, and names no wait: the poll keeps its cadence.
		if outcome = Unavailable; c.Failures < patience {
			return f, outcome
		}
	}
	w.unknown(ctx, c, err, now)
	return f, outcome
}

// patience is how many reads may fail for no fault of the mailbox before it is
// shown as unknown.
const patience = 2

// unknown records why a mailbox can't be read, and logs it the first time.
func (w *Watcher) unknown(ctx context.Context, c ooo.Claim, cause error, now time.Time) {
	if err := w.cfg.Store.Unknown(ctx, c, cause.Error(), now); err != nil && !errors.Is(err, ooo.ErrStale) {
		w.cfg.Log.WarnContext(ctx, "an unreadable mailbox could not be recorded", "user", c.Key, "err", err)
	}
	if c.Failures == 0 || c.Failures == patience {
		w.cfg.Log.WarnContext(ctx, "the mailbox can't be read, its last state stands", "user", c.Key,
			"object_id", c.ObjectID, "err", cause)
	}
}
