package partition

import (
	"context"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Run joins the other replicas and owns partitions until ctx ends. Then it takes no more
// partitions, drains and releases its own, and removes its beat, within stopTime. It must
// be called once.
func (o *Owners) Run(ctx context.Context, holder Holder) error {
	if err := o.join(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	o.holder = holder
	o.cfg.Log.InfoContext(ctx, "joined the other replicas", "life", o.cfg.Life, "settings", o.settings)
	var end func()
	o.work, end = context.WithCancel(context.WithoutCancel(ctx))
	defer o.tasks.Wait()
	defer end()
	context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, end) })
	o.tasks.Go(func() { o.ping(ctx) })
	timer, stop := time.NewTimer(0), ctx.Done()
	defer timer.Stop()
	for {
		select {
		case <-stop:
			stop = nil
			o.stopping = true
			o.round.nextAt = time.Now() // to tell the others
			for p := range o.holds() {
				o.drain(p, stopTime)
			}
		case <-o.work.Done():
		case <-o.wake:
		case <-timer.C:
		}
		if o.refresh.Swap(false) {
			o.expedite()
		}
		for p, h := range o.holds() {
			if releasable := h.drained.Load() && h.current(); releasable || o.work.Err() != nil {
				o.drop(p)
				o.toRelease[p] = h.lease
			}
		}
		if o.stopping && o.Owned() == 0 {
			o.leave(ctx)
			return nil
		}
		if time.Now().Before(o.round.nextAt) {
			o.makeSwaps()
		} else {
			o.nextRound()
		}
		o.finishRollback()
		timer.Reset(time.Until(o.round.nextAt))
	}
}

// answered returns how long ago Graph answered, negative if it never did. The end of a wait that
// it asked for counts as an answer, because nothing is called before.
func (o *Owners) answered() time.Duration {
	since := o.cfg.Answered()
	until := o.waits.until(ooo.GraphWait)
	waited := max(time.Since(until), 0)
	if !until.IsZero() && (since < 0 || waited < since) {
		return waited
	}
	return since
}

// ping calls Graph while there are other replicas, if nothing else did for pingInterval and
// Graph does not ask to wait, until ctx ends. That way replicas without mailboxes, among them
// those that released their partitions because they could not read, show whether they can read.
func (o *Owners) ping(ctx context.Context) {
	for schedule.Sleep(ctx, time.Second) {
		since := o.answered()
		if since >= 0 && since < pingInterval || len(o.Table().Beats) < 2 || o.Wait(ooo.DirectoryWait) > 0 {
			continue
		}
		_ = o.cfg.Ping(ctx) // Answered reports the result
		schedule.Sleep(ctx, pingInterval-time.Second)
	}
}
