package poll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// lookUp looks up an address in the directory. If it is found, it moves to its mailbox, unless
// its wish was changed in the meantime: the hint of that wish follows.
func (p *Poller) lookUp(ctx context.Context, j *job) {
	var retryAt time.Time
	if m, owned := p.cfg.Registry.Get(j.t.id); owned && m.Monitored() {
		c := call{began: time.Now(), mailboxes: 1}
		person, err := p.cfg.Graph.Find(ctx, m.Addresses[0].Spelling)
		if err == nil {
			err = p.move(j, person)
		}
		if err != nil {
			_, retryAt = p.failed(ctx, j, err, c)
		} else {
			p.cfg.Log.InfoContext(ctx, "found in the directory", "mailbox", person.ID)
		}
	}
	p.finish(ctx, j, retryAt)
}

// move moves the addresses of a record, with their deliveries, to the mailbox of a person. A
// zero person makes them unresolved, so that they are looked up again.
func (p *Poller) move(j *job, to ooo.Person) error {
	_, err := p.update(j.t.id, func(d *mailbox.Draft) error {
		d.RemoveHints(j.hints...)
		d.MoveAddresses(to)
		return nil
	})
	return err
}

var errUnverified = errors.New("mailbox not found, and the directory did not answer whether the user still exists")

// checkDirectory asks the directory for the user of a mailbox that was not found. If the user
// no longer exists, it makes the addresses leave the mailbox, to be looked up again, and
// returns nil. Otherwise it returns why the mailbox can't be read.
func (p *Poller) checkDirectory(ctx context.Context, j *job) error {
	if !p.lookups.acquire(ctx) {
		return ctx.Err()
	}
	var err error
	wait := p.cfg.Wait(ooo.DirectoryWait) // it may have begun during acquire
	if wait <= 0 {
		_, err = p.cfg.Graph.FindByID(ctx, j.t.id.ObjectID())
	}
	p.lookups.release()
	throttled, isThrottled := errors.AsType[*ooo.Throttled](err)
	switch {
	case wait > 0:
		return &ooo.Throttled{After: wait}
	case isThrottled:
		p.cfg.SetWait(ctx, ooo.DirectoryWait, throttled.After)
		return &ooo.Throttled{After: throttled.After}
	case err == nil:
		return ooo.ErrMailboxAbsent
	case !errors.Is(err, ooo.ErrNotInDirectory):
		return fmt.Errorf("%w: %w", errUnverified, err)
	}
	if p.move(j, ooo.Person{}) == nil {
		p.cfg.Log.WarnContext(ctx, "user no longer in the directory, looking up the addresses again", "mailbox", j.t.id)
	}
	return nil
}
