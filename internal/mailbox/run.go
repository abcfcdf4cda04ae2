package mailbox

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/store"
)

const (
	// readsEvery is how often the times of the last reads are written to Redis.
	readsEvery = 5 * time.Second
	// maxClockDrift is by how much the wall clock may drift from the monotonic clock before
	// all mailboxes are scheduled again.
	maxClockDrift = time.Second
)

// Run runs the registry with its workers until ctx ends. Partitions are loaded once it runs, and it
// must run until all partitions are released, because the work in flight is saved through it.
func (r *Registry) Run(ctx context.Context, workers ...Worker) error {
	r.workers = workers
	close(r.running)
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{r.listen, r.readHints, r.carryOutWishes, r.publishReads, r.watchClock} {
		g.Go(func() error { return run(ctx) })
	}
	err := g.Wait()
	for p := range r.owned() {
		r.Drop(p.number)
	}
	r.tasks.Wait()
	return err
}

// publishReads writes the times of the last reads to Redis, where other replicas read
// them.
func (r *Registry) publishReads(ctx context.Context) error {
	for schedule.Sleep(ctx, readsEvery) {
		if err := r.writeReads(ctx, saveTime, slices.Collect(r.owned())...); err != nil {
			r.cfg.Log.DebugContext(ctx, "read times not written", "err", err)
		}
	}
	return nil
}

func (r *Registry) writeReads(ctx context.Context, limit time.Duration, owned ...*partition) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	all := map[int]store.Reads{}
	for _, p := range owned {
		if entries := p.snapshot(); len(entries) > 0 {
			all[p.number] = r.readsOf(p, entries)
		}
	}
	return r.cfg.Store.PutReads(ctx, all)
}

// readsOf returns when mailboxes were last read: the earliest of these times for all that
// were read within two intervals, and its own time for each of the others.
func (r *Registry) readsOf(p *partition, entries []*entry) store.Reads {
	now := time.Now()
	p.mu.Lock()
	until := cmp.Or(p.drainedAt, now)
	p.mu.Unlock()
	fresh := now.Add(-2*r.cfg.Interval - time.Second).UnixNano()
	oldest := now.UnixNano()
	except := map[ooo.RecordID]time.Time{}
	for _, e := range entries {
		if at := e.readAt.Load(); at >= fresh {
			oldest = min(oldest, at)
		} else if m := e.record.Load(); m != nil {
			except[m.ID] = e.lastRead(m)
		}
	}
	return store.Reads{At: time.Unix(0, oldest).UTC(), Until: until.UTC(), Except: except}
}

// watchClock schedules all mailboxes again when the wall clock jumps, because scheduled
// windows open and close by it.
func (r *Registry) watchClock(ctx context.Context) error {
	began, drift := time.Now(), time.Duration(0) // of the wall clock, ahead of the monotonic one
	for schedule.Sleep(ctx, time.Second) {
		now := time.Now()
		jump := now.Round(0).Sub(began.Round(0)) - now.Sub(began) - drift
		if jump.Abs() <= maxClockDrift {
			continue
		}
		r.cfg.Log.WarnContext(ctx, "this machine's clock jumped", "by", jump)
		drift += jump
		for p := range r.owned() {
			r.refreshAll(p)
		}
	}
	return nil
}
