package poll

import (
	"errors"
	"time"

	"outlook-monitor/internal/ooo"
)

// concurrency limits how many calls to Graph may be in flight for regular reads, and as many
// again for expedited ones. Like TCP congestion control it adapts to what Graph can take: the
// limit grows by one per round of successful calls, and shrinks by a third when Graph as a
// whole fails or asks the app to wait, once for all calls in flight at that time.
type concurrency struct {
	limit    float64       // guarded by the poller's mu, like the fields below
	average  time.Duration // moving average of how long calls take; a few slow mailboxes hardly change it
	shrunkAt time.Time
}

const (
	minCalls = 8
	maxCalls = 96
)

func newConcurrency() concurrency { return concurrency{limit: (minCalls + maxCalls) / 2} }

// observe records when a call began, how long it took, and whether Graph was unable or
// unwilling to answer it.
func (c *concurrency) observe(began time.Time, took time.Duration, refused bool) {
	c.average += (took - c.average) / 16
	switch {
	case !refused:
		c.limit = min(c.limit+1/c.limit, maxCalls)
	case !began.Before(c.shrunkAt):
		c.shrunkAt, c.limit = time.Now(), max(c.limit*2/3, minCalls)
	}
}

// timeout returns how long a call may take, given how long recent calls took.
func (c *concurrency) timeout() time.Duration {
	return min(max(minTimeout, 4*c.average), isolatedTimeout/2)
}

// adapt adjusts the limit of calls in flight after a call. A failure of a single mailbox does
// not affect it, as it says nothing about Graph.
func (p *Poller) adapt(results []ooo.ReadResult, c call) {
	answered, appThrottled := false, false
	for i := range results {
		throttled, _ := errors.AsType[*ooo.Throttled](results[i].Err)
		answered = answered || results[i].Err == nil
		appThrottled = appThrottled || throttled != nil && throttled.WholeApp
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if answered && c.began.After(p.lastAnswered) {
		p.lastAnswered = c.began
	}
	batch := c.mailboxes > 1
	lost := batch && c.unanswered && c.began.After(p.lastAnswered)
	if lost && c.began.After(p.lastUnanswered) {
		p.lastUnanswered = c.began
	}
	if batch || appThrottled {
		p.calls.observe(c.began, c.ended.Sub(c.began), appThrottled || lost)
	}
}

// unreachable reports whether Graph seems unreachable: none of the latest batches was
// answered. The caller must hold mu.
func (p *Poller) unreachable() bool { return p.lastUnanswered.After(p.lastAnswered) }

// probeGap is the minimum time between two splits of a batch while Graph seems unreachable.
const probeGap = 10 * time.Second

// worthSplitting reports whether to read the mailboxes of an unanswered batch one by one,
// because one of them may be the cause. While Graph seems unreachable a batch is split only
// occasionally, as a probe, so that the load on Graph stays as usual. The caller must hold mu.
func (p *Poller) worthSplitting() bool {
	switch {
	case !p.unreachable():
		return true
	case !p.lastAnswered.After(p.lastProbe) && time.Since(p.lastProbe) < probeGap:
		return false
	}
	p.lastProbe = time.Now()
	return true
}

// isolate isolates a mailbox whose call was slow while others were not, or that gave no answer
// when it was read alone, and returns it to the batches after a few more reads. The caller must
// hold mu.
func (p *Poller) isolate(t *target, c call, slow bool) {
	before, alone := t.isolated, c.mailboxes == 1
	switch {
	case slow, alone && c.unanswered && !p.unreachable():
		t.isolated = quickAnswers
	case alone && t.isolated > 0:
		t.isolated--
	}
	if (before > 0) == (t.isolated > 0) {
		return
	}
	p.regular.queue.Remove(t)
	p.isolated.queue.Remove(t)
	if t.monitored && !t.dropped {
		p.schedule(t, t.due)
	}
}
