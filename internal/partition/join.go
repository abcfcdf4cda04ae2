package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

// join checks that the data in Redis belongs to this service, and finds the number of this
// replica's settings. It retries until Redis answers. It returns [store.ErrForeign] or the error
// of ctx.
func (o *Owners) join(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		err := o.tryJoin(ctx)
		if err == nil || errors.Is(err, store.ErrForeign) {
			return err
		}
		if attempt == 2 {
			o.cfg.Log.WarnContext(ctx, "can't join the other replicas, retrying", "err", err)
		}
		if !schedule.Sleep(ctx, schedule.Backoff(attempt, 50*time.Millisecond, time.Second)) {
			return ctx.Err()
		}
	}
}

func (o *Owners) tryJoin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*roundTime)
	defer cancel()
	ours := store.Swap{Field: store.FieldFingerprint, New: o.cfg.Fingerprint} // if the table has none
	if ok, err := o.cfg.Store.SwapTable(ctx, ours); err != nil {
		return err
	} else if !ok {
		return store.ErrForeign
	}
	table, err := o.cfg.Store.Round(ctx, o.cfg.Life, store.Beat{Answered: -1})
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
	swapped, err := o.cfg.Store.SwapTable(ctx, o.numberSettings(table.Settings))
	if err == nil && !swapped {
		err = errors.New("another replica numbered its settings at the same time")
	}
	return err
}

// numberSettings returns a swap that replaces the settings in the table by this replica's.
func (o *Owners) numberSettings(old string) store.Swap {
	return store.Swap{Field: store.FieldSettings, Old: old, New: fmt.Sprintf("%d %s", o.settings, o.cfg.Settings)}
}

func parseSettings(text string) (number int64, digest string) {
	fmt.Sscanf(text, "%d %s", &number, &digest) //nolint:errcheck // an unreadable text is replaced
	return number, digest
}

// leave removes this replica's beat and its remaining leases from the table.
func (o *Owners) leave(ctx context.Context) {
	const unanswered = "no answer from redis while leaving, other replicas take over in a few seconds"
	if o.round.failed {
		o.cfg.Log.WarnContext(ctx, unanswered)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roundTime)
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
		_, err = o.cfg.Store.SwapTable(ctx, swaps...)
		if err == nil && len(swaps) > 1 {
			o.cfg.Store.AnnounceTable(ctx)
		}
	}
	if err != nil {
		o.cfg.Log.WarnContext(ctx, unanswered, "err", err)
	}
}
