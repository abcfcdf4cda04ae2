package poll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
)

// lookUp looks an address up. If it is found it moves to its mailbox, unless somebody
// wrote another wish meanwhile, whose hint follows.
func (p *Poller) lookUp(ctx context.Context, j *job) {
	var again time.Time
	if m, owned := p.cfg.Registry.Get(j.id); owned && len(m.Addresses) > 0 {
		c := call{began: time.Now(), mailboxes: 1}
		person, err := p.cfg.Graph.Find(ctx, m.Addresses[0].Spelling)
		if err != nil {
			_, again = p.failed(ctx, j, err, c)
		} else if p.move(ctx, j, person) == nil {
			p.cfg.Log.InfoContext(ctx, "found in the directory", "mailbox", person.ID)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(j, again)
}

// move hands the addresses of a record, with their deliveries, to the mailbox of a
// person, or has them looked up again if the person is a zero one.
func (p *Poller) move(ctx context.Context, j *job, to ooo.Person) error {
	_, err := p.update(j.id, func(d *mailbox.Draft) error {
		d.Done(j.hints...)
		d.MoveAddresses(to)
		return nil
	})
	return err
}

var (
	errAbsent   = fmt.Errorf("%w, though the directory has the user", ooo.ErrNoMailbox)
	errNotAsked = errors.New("the mailbox was not found, and the directory did not report whether the user is there")
)

// askDirectory asks for the user whose mailbox was not found. If the user is gone, each
// address leaves the mailbox, to be looked up again, and it returns nil. Otherwise it
// returns why the mailbox can't be read.
func (p *Poller) askDirectory(ctx context.Context, j *job) error {
	if wait := p.cfg.Wait(DirectoryWait); wait > 0 {
		return &ooo.Throttled{After: wait}
	}
	if !p.lookups.acquire(ctx) {
		return ctx.Err()
	}
	_, err := p.cfg.Graph.Lookup(ctx, j.id.ObjectID())
	p.lookups.release()
	if wait, ok := errors.AsType[*ooo.Throttled](err); ok {
		p.hold(ctx, DirectoryWait, wait.After)
		return &ooo.Throttled{After: wait.After}
	}
	switch {
	case err == nil:
		return errAbsent
	case !errors.Is(err, ooo.ErrNotInDirectory):
		return fmt.Errorf("%w: %w", errNotAsked, err)
	}
	if p.move(ctx, j, ooo.Person{}) == nil {
		p.cfg.Log.WarnContext(ctx, "user gone from the directory, addresses are looked up again", "mailbox", j.id.ObjectID())
	}
	return nil
}
