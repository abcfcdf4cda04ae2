package partition

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// Run owns partitions until ctx ends: it joins, and then takes, shares out and gives
// up. When ctx ends it takes nothing more, has everything drained, releases it and
// removes its beat, which takes 10 s at most. It must be called once.
func (o *Owners) Run(ctx context.Context, holder Holder) error {
	if err := o.Join(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	o.holder = holder
	o.log.InfoContext(ctx, "joined replicas", "life", o.cfg.Life, "settings", o.settings)
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	tick, timer, stop := time.NewTicker(roundTime), time.NewTimer(roundTime), ctx.Done()
	defer func() {
		tick.Stop()
		timer.Stop()
		close(o.ended)
		end()
		o.tasks.Wait()
	}()
	o.startRound(work)
	for {
		select {
		case <-stop:
			stop, o.stopping, o.stopped = nil, true, time.Now().Add(stopTime)
			o.startRound(work)
		case <-tick.C:
			o.round.hurried = false
			o.startRound(work)
		case event := <-o.events:
			event()
		case <-timer.C:
		}
		if next := o.act(work); next > 0 {
			timer.Reset(next)
		}
		if o.stopping && o.Owned() == 0 && o.swapping == 0 && !o.round.inFlight {
			o.leave(work)
			return nil
		}
	}
}

// act takes, releases and drains what is due now. It returns when it is to be called
// again if nothing happens; 0: never.
func (o *Owners) act(ctx context.Context) time.Duration {
	now := time.Now()
	defer o.giveUp(ctx)
	if o.stopping {
		for p, h := range o.held {
			switch {
			case h == nil:
			case !now.Before(o.stopped):
				o.drop(p)
				o.disowned[p] = h.lease
			case !h.draining:
				o.drain(ctx, p, true)
			}
		}
		return o.stopped.Sub(now)
	}
	s := &o.sight
	s.refresh(false, now)
	beats := s.counted(o.round.beat, now)
	o.measure(beats)
	if !o.taking && !o.refused && s.settled(now) && o.InTime() {
		if take, _ := plan(o.view(beats, now)); len(take) > 0 {
			o.take(ctx, take)
		}
	}
	next, ok := s.next(now)
	if !ok {
		return 0
	}
	return next.Sub(now)
}

func (o *Owners) view(beats map[string]store.Beat, now time.Time) view {
	v := view{me: o.cfg.Life, now: now, beats: beats, leases: o.sight.table.Leases, free: o.sight.free, busy: o.holder.Busy}
	for p, h := range o.held {
		v.held[p] = h != nil && !h.draining
		if h != nil {
			v.free[p] = time.Time{} // acquired since the last table
		}
	}
	return v
}

// shareOut releases what this replica has over its share, some in each round, and
// removes the beats of the dead that have no partitions left.
func (o *Owners) shareOut(ctx context.Context) {
	now := time.Now()
	s := &o.sight
	if o.stopping || !s.settled(now) {
		return
	}
	_, release := plan(o.view(s.counted(o.round.beat, now), now))
	for _, p := range release {
		o.drain(ctx, p, false)
	}
	named := map[string]bool{}
	for _, lease := range s.table.Leases {
		named[lease.Life] = true
	}
	for life := range s.beats {
		if !named[life] && s.dead(life, now) {
			o.swap(ctx, func(bool, error) {}, replace(&s.table, store.BeatField(life), ""))
		}
	}
}

// measure notes how the work is divided.
func (o *Owners) measure(beats map[string]store.Beat) {
	replicas := max(len(able(beats)), 1)
	all := 0
	for life, b := range beats {
		if life != o.cfg.Life {
			all += b.Mailboxes
		}
	}
	mine := o.holder.Mailboxes()
	share := 1 / float64(replicas)
	if all += mine; all > 0 {
		share = max(float64(mine)/float64(all), share/2)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.replicas, o.share = replicas, share
}

// sent is a round in flight.
type sent struct {
	beat   store.Beat
	moment int64                 // what was acquired later, its table may not know
	saves  [ooo.Partitions]int64 // that Redis must have seen by then
	at     time.Time
	wall   time.Time
}

// startRound sends a round; if one is in flight, as soon as that ends.
func (o *Owners) startRound(ctx context.Context) {
	r := &o.round
	if r.due = r.inFlight; r.due || o.stopping && o.Owned() == 0 {
		return
	}
	r.inFlight = true
	r.number++
	r.beat = store.Beat{Number: r.number, Mailboxes: o.holder.Mailboxes(), Settings: o.settings, Answered: o.cfg.Answered(), Leaving: o.stopping}
	s := &sent{beat: r.beat, moment: o.moment}
	for p, h := range o.held {
		if h != nil && !h.restoring {
			s.saves[p], _ = o.holder.Saves(p)
		}
	}
	o.tasks.Go(func() {
		s.at, s.wall = time.Now(), o.wall()
		trying, cancel := context.WithTimeout(ctx, roundTime)
		defer cancel()
		table, err := o.cfg.Store.Round(trying, o.cfg.Life, s.beat)
		o.post(func() { o.endRound(ctx, s, table, err) })
	})
}

// hurry sends a round before its time, once between two ticks.
func (o *Owners) hurry(ctx context.Context) {
	if !o.round.hurried {
		o.round.hurried = true
		o.startRound(ctx)
	}
}

func (o *Owners) endRound(ctx context.Context, s *sent, table store.Owners, err error) {
	r := &o.round
	r.inFlight = false
	if err != nil {
		if !o.sight.unbroken.IsZero() {
			o.log.WarnContext(ctx, "round of the replicas not answered, retrying", "err", err)
		}
		o.sight.fail()
	} else {
		o.apply(ctx, s, table)
	}
	if r.due {
		o.startRound(ctx)
	}
}

// leave removes this replica from the table: its beat, and what is left of its leases.
func (o *Owners) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*roundTime)
	defer cancel()
	for range 2 {
		o.round.number++
		beat := store.Beat{Number: o.round.number, Answered: -1, Leaving: true}
		table, err := o.cfg.Store.Round(ctx, o.cfg.Life, beat)
		if err != nil {
			continue
		}
		swaps := []store.Swap{{Field: store.BeatField(o.cfg.Life), Old: beat.String()}}
		for p, lease := range table.Leases {
			if lease.Life == o.cfg.Life {
				swaps = append(swaps, store.Swap{Field: store.LeaseField(p), Old: lease.String()})
			}
		}
		if left, err := o.cfg.Store.SwapOwners(ctx, swaps...); left && err == nil {
			return
		}
	}
	o.log.WarnContext(ctx, "left without an answer of redis: the other replicas take over in a few seconds")
}
