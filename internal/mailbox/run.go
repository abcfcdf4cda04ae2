package mailbox

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

const (
	// readsEvery is how often Redis gets the times of the last reads.
	readsEvery = 5 * time.Second
	// jump is by how much the wall clock may differ from what the monotonic one says
	// before what is scheduled by it is scheduled again.
	jump = time.Second
)

// Run runs the registry with its workers until ctx ends. It must run before
// partitions are acquired, and until all are released: what is in flight is saved
// through it.
func (r *Registry) Run(ctx context.Context, workers ...Worker) error {
	r.workers = workers
	close(r.running)
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{r.listen, r.readHints, r.carryOutWishes, r.noteReads, r.watchClock} {
		g.Go(func() error { return run(ctx) })
	}
	err := g.Wait()
	for p := range r.owned() {
		r.Drop(p.number)
	}
	r.tasks.Wait()
	return err
}

// noteReads writes now and then when mailboxes were read last, for whoever asks on
// another replica.
func (r *Registry) noteReads(ctx context.Context) error {
	for schedule.Sleep(ctx, readsEvery) {
		var owned []*partition
		for p := range r.owned() {
			owned = append(owned, p)
		}
		writing, cancel := context.WithTimeout(ctx, saveTime)
		if err := r.writeReads(writing, owned...); err != nil {
			r.cfg.Log.DebugContext(ctx, "read times not written", "err", err)
		}
		cancel()
	}
	return nil
}

func (r *Registry) writeReads(ctx context.Context, owned ...*partition) error {
	all := map[int]store.Reads{}
	for _, p := range owned {
		if entries := p.snapshot(); len(entries) > 0 {
			all[p.number] = r.readsOf(entries)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return r.cfg.Store.PutReads(ctx, all)
}

// readsOf says when mailboxes were read last: all of them at the time of the one
// that was so longest ago, but for those that were not read in two intervals.
func (r *Registry) readsOf(entries []*entry) store.Reads {
	now := time.Now()
	fresh := now.Add(-2*r.cfg.Interval - time.Second).UnixNano()
	oldest := now.UnixNano()
	reads := store.Reads{Except: map[ooo.RecordID]time.Time{}}
	for _, e := range entries {
		if at := e.readAt.Load(); at >= fresh {
			oldest = min(oldest, at)
		} else if m := e.record.Load(); m != nil {
			reads.Except[m.ID] = e.lastRead(m)
		}
	}
	reads.At, reads.Written = time.Unix(0, oldest).UTC(), now.UTC()
	return reads
}

// watchClock has everything scheduled again when the wall clock has jumped: the edges
// of scheduled windows go by it.
func (r *Registry) watchClock(ctx context.Context) error {
	began := time.Now()
	wall, known := began.Round(0), time.Duration(0)
	for schedule.Sleep(ctx, time.Second) {
		now := time.Now()
		apart := now.Round(0).Sub(wall) - now.Sub(began)
		if (apart - known).Abs() <= jump {
			continue
		}
		known = apart
		r.cfg.Log.WarnContext(ctx, "this machine's clock jumped", "by", apart)
		for p := range r.owned() {
			r.changedAll(p)
		}
	}
	return nil
}
