package poll

import (
	"context"
	"errors"
	"sync"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/ooo"
)

const (
	// shortTime is how long a call may take before it is given up; longer while all
	// calls take long. longTime is for a mailbox that is read alone because it is slow.
	shortTime = 1500 * time.Millisecond
	longTime  = 10 * time.Second
	// slowAnswer is what no answer takes that others may wait for.
	slowAnswer = time.Second
	// quickAnswers is how many a mailbox must give alone to be read with others again.
	quickAnswers = 3
)

// call is one call of Graph, and what is kept of it until it is known whether it is
// worth a trace.
type call struct {
	began, ended time.Time
	mailboxes    int
	graph        *graph.Calls // nil: not traced
	timedOut     bool
	short        bool // it had little time
	suspect      bool // it was read alone because its batch failed while others did not
	behind       bool // regular reads began late not long before it
}

// read reads mailboxes with one call and concludes each. If there was no answer it
// finds out which of them it was.
func (p *Poller) read(ctx context.Context, jobs []job, l *lane, release func()) {
	limit := longTime
	if l != p.isolated {
		limit = p.calls.patience()
	}
	readings, c := p.ask(ctx, jobs, limit)
	release()
	if len(jobs) > 1 && ctx.Err() == nil && failedTogether(readings) {
		p.takeApart(ctx, jobs, readings, c)
		return
	}
	p.concludeAll(ctx, jobs, readings, c)
}

// ask makes one call.
func (p *Poller) ask(ctx context.Context, jobs []job, limit time.Duration) ([]ooo.Reading, call) {
	ids, known := make([]ooo.ObjectID, len(jobs)), make([]ooo.Digest, len(jobs))
	for i := range jobs {
		ids[i], known[i] = jobs[i].id.ObjectID(), jobs[i].known
	}
	_ = p.rate.WaitN(ctx, len(jobs)) // if ctx ends, the call finds out
	c := call{began: time.Now(), mailboxes: len(jobs), short: limit < longTime}
	p.began(jobs, &c)
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if p.cfg.Tracer != nil {
		asking, c.graph = graph.NoteCalls(asking)
	}
	readings := p.cfg.Graph.Read(asking, ids, known)
	c.ended = time.Now()
	c.timedOut = asking.Err() != nil && ctx.Err() == nil
	if ctx.Err() == nil {
		p.learn(readings, c)
	}
	return readings, c
}

// began notes that reads begin, and whether they are late.
func (p *Poller) began(jobs []job, c *call) {
	now := int64(c.began.Sub(p.start))
	p.mu.Lock()
	for i := range jobs {
		j := &jobs[i]
		if j.lead > 0 {
			j.t.hinted = c.began
		}
		if j.lead == 0 && c.began.Sub(j.due) > p.cfg.Interval/smallPart {
			p.late.Store(now)
		}
	}
	p.mu.Unlock()
	c.behind = now-p.late.Load() < int64(p.cfg.Interval)
}

// learn adapts the number of calls in flight to an answer. What one mailbox does says
// nothing of Graph.
func (p *Poller) learn(readings []ooo.Reading, c call) {
	for i := range readings {
		if readings[i].Err == nil {
			if began := int64(c.began.Sub(p.start)); began > p.answered.Load() { // a lost race costs little
				p.answered.Store(began)
			}
			break
		}
	}
	refused := asksToWait(readings) || len(readings) > 1 && failedTogether(readings) && !p.answersSince(c.began)
	if len(readings) > 1 || refused {
		p.calls.ended(c.began, c.ended.Sub(c.began), refused)
	}
}

// answersSince says whether a call that began later than then got an answer.
func (p *Poller) answersSince(then time.Time) bool {
	return p.answered.Load() > int64(then.Sub(p.start))
}

// asksToWait says whether Graph wants the whole app to wait.
func asksToWait(readings []ooo.Reading) bool {
	for i := range readings {
		if wait, ok := errors.AsType[*ooo.Throttled](readings[i].Err); ok && wait.Whole {
			return true
		}
	}
	return false
}

// failedTogether says whether a call failed as a whole, by no fault that Graph names:
// one of its mailboxes may be the cause.
func failedTogether(readings []ooo.Reading) bool {
	first := readings[0].Err
	if !errors.Is(first, ooo.ErrUnavailable) && !errors.Is(first, ooo.ErrRejected) {
		return false
	}
	for i := range readings {
		if readings[i].Err != first { //nolint:errorlint // the very same error
			return false
		}
	}
	return true
}

// takeApart reads the mailboxes of a failed batch again. While Graph answers others,
// the cause is among them: each is read alone, at once. Otherwise Graph may be away,
// and only one batch at a time is taken apart, by halves: that asks for no more
// mailboxes than the regular reads do. The failure of a batch counts against none of
// its members, unless there is no telling.
func (p *Poller) takeApart(ctx context.Context, jobs []job, readings []ooo.Reading, c call) {
	probing := false
	if !p.answersSince(c.began) {
		wait := time.NewTimer(probeWait)
		defer wait.Stop()
		select {
		case p.probe <- struct{}{}:
			defer func() { <-p.probe }()
			last := p.start.Add(time.Duration(p.fruitless.Load()))
			probing = time.Since(last) >= probeGap || p.answersSince(last)
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	switch {
	case p.answersSince(c.began):
		p.eachAlone(ctx, jobs)
	case probing:
		p.halve(ctx, jobs, c.began)
	default:
		p.concludeAll(ctx, jobs, readings, c)
	}
}

const (
	// probeWait is how long a failed batch waits for what another one finds out.
	probeWait = 300 * time.Millisecond
	// probeGap is the least time between two that found out nothing.
	probeGap = 10 * time.Second
)

// halve reads failed batches again by halves, until Graph has answered a call that
// began after then.
func (p *Poller) halve(ctx context.Context, jobs []job, then time.Time) {
	for failed := [][]job{jobs}; len(failed) > 0; {
		var mu sync.Mutex
		var again [][]job // guarded by mu
		var halves sync.WaitGroup
		for _, some := range failed {
			for _, half := range [][]job{some[:len(some)/2], some[len(some)/2:]} {
				halves.Go(func() {
					readings, c := p.ask(ctx, half, p.calls.patience())
					if len(half) == 1 || ctx.Err() != nil || !failedTogether(readings) {
						p.concludeAll(ctx, half, readings, c)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					again = append(again, half)
				})
			}
		}
		halves.Wait()
		if failed = again; p.answersSince(then) {
			for _, some := range failed {
				p.eachAlone(ctx, some)
			}
			return
		}
	}
	p.fruitless.Store(int64(time.Since(p.start)))
}

// eachAlone reads mailboxes each alone.
func (p *Poller) eachAlone(ctx context.Context, jobs []job) {
	for i := range jobs {
		p.work.Go(func() {
			if release := slots(p.suspects)(ctx); release != nil {
				defer release()
			}
			readings, c := p.ask(ctx, jobs[i:i+1], p.calls.patience())
			c.suspect = true
			p.concludeAll(ctx, jobs[i:i+1], readings, c)
		})
	}
}
