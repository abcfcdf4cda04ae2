package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// join compares whose data is in Redis, and gets the number of this replica's
// settings. It tries until Redis answers. The error is [ErrForeign] or ctx's.
func (o *Owners) join(ctx context.Context) (err error) {
	joined := schedule.Retry(ctx, 50*time.Millisecond, time.Second, func(failures int) error {
		if err = o.tryJoin(ctx); errors.Is(err, ErrForeign) {
			return nil
		}
		if failures == 2 && err != nil {
			o.log.WarnContext(ctx, "can't join the other replicas, retrying", "err", err)
		}
		return err
	})
	if !joined {
		return ctx.Err()
	}
	return err
}

func (o *Owners) tryJoin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*roundTime)
	defer cancel()
	if mine, err := o.cfg.Store.SwapOwners(ctx, o.fingerprint()); err != nil {
		return err
	} else if !mine {
		return ErrForeign
	}
	o.round.number++
	table, err := o.cfg.Store.Round(ctx, o.cfg.Life, store.Beat{Number: o.round.number, Answered: -1})
	if err != nil {
		return err
	}
	number, digest := parseSettings(table.Settings)
	if digest == o.cfg.Settings {
		o.settings = number
		return nil
	}
	for _, b := range table.Beats {
		number = max(number, b.Settings)
	}
	o.settings = number + 1
	numbered, err := o.cfg.Store.SwapOwners(ctx, o.numbered(table.Settings))
	if err == nil && !numbered {
		err = errors.New("another replica numbered its settings at the same time")
	}
	return err
}

func (o *Owners) fingerprint() store.Swap {
	return store.Swap{Field: store.FieldFingerprint, New: o.cfg.Fingerprint}
}

// numbered replaces the settings in the table by this replica's.
func (o *Owners) numbered(old string) store.Swap {
	return store.Swap{Field: store.FieldSettings, Old: old, New: fmt.Sprintf("%d %s", o.settings, o.cfg.Settings)}
}

func parseSettings(text string) (number int64, digest string) {
	fmt.Sscanf(text, "%d %s", &number, &digest) //nolint:errcheck // what can't be read is replaced
	return number, digest
}

// leave removes this replica from the table: its beat, and what is left of its leases.
func (o *Owners) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	o.round.number++
	beat := store.Beat{Number: o.round.number, Answered: -1, Stopping: true}
	table, err := o.cfg.Store.Round(ctx, o.cfg.Life, beat)
	if err == nil {
		swaps := []store.Swap{{Field: store.BeatField(o.cfg.Life), Old: beat.String()}}
		for p, lease := range table.Leases {
			if lease.Life == o.cfg.Life {
				swaps = append(swaps, store.Swap{Field: store.LeaseField(p), Old: lease.String(), New: lease.Released().String()})
			}
		}
		_, err = o.cfg.Store.SwapOwners(ctx, swaps...)
	}
	if err != nil {
		o.log.WarnContext(ctx, "no answer from redis while leaving, other replicas take over in a few seconds", "err", err)
	}
}
