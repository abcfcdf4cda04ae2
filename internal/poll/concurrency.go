package poll

import (
	"errors"
	"time"

	"outlook-monitor/internal/ooo"
)

// concurrency is how many calls of Graph regular reads may have in flight, and as many
// again the hinted ones. It follows what Graph can take, as TCP follows a network: it
// grows by one for each round of calls while all goes well, and shrinks by a third when
// Graph as a whole fails or asks the app to wait, once for what was in flight together.
type concurrency struct {
	limit  float64       // guarded by the poller's mu, as all below
	recent time.Duration // what answers took of late; a few slow mailboxes hardly move it
	shrunk time.Time
}

const (
	leastCalls = 8
	mostCalls  = 96
)

// ended notes a call that began then: how long it took, and whether Graph was unable or
// unwilling to answer.
func (c *concurrency) ended(began time.Time, took time.Duration, refused bool) {
	c.recent += (took - c.recent) / 16
	switch {
	case !refused:
		c.limit = min(c.limit+1/c.limit, mostCalls)
	case !began.Before(c.shrunk):
		c.shrunk, c.limit = time.Now(), max(c.limit*2/3, leastCalls)
	}
}

// timeout returns how long a call may take, if others took what they did of late.
func (c *concurrency) timeout() time.Duration {
	return min(max(shortTime, 4*c.recent), longTime/2)
}

// learn adapts the number of calls in flight to an answer. What one mailbox does says
// nothing of Graph.
func (p *Poller) learn(readings []ooo.ReadResult, c call) {
	answered, whole := false, false
	for i := range readings {
		throttled, _ := errors.AsType[*ooo.Throttled](readings[i].Err)
		answered = answered || readings[i].Err == nil
		whole = whole || throttled != nil && throttled.WholeApp
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if answered && c.began.After(p.answered) {
		p.answered = c.began
	}
	lost := c.mailboxes > 1 && c.unanswered && c.began.After(p.answered)
	if lost && c.began.After(p.lost) {
		p.lost = c.began
	}
	if c.mailboxes > 1 || whole {
		p.calls.ended(c.began, c.ended.Sub(c.began), whole || lost)
	}
}

// unreachable reports whether Graph seems to be: of the batches that began last none was
// answered. The caller holds mu.
func (p *Poller) unreachable() bool { return p.lost.After(p.answered) }

// probeGap is the least time between two batches that are split while Graph seems to be
// unreachable.
const probeGap = 10 * time.Second

// worthSplitting reports whether one of its mailboxes may be why a batch got no answer. While
// Graph seems to be unreachable a batch is split only now and then to find out, so that no more
// is asked than usual. The caller holds mu.
func (p *Poller) worthSplitting() bool {
	switch {
	case !p.unreachable():
		return true
	case !p.answered.After(p.probed) && time.Since(p.probed) < probeGap:
		return false
	}
	p.probed = time.Now()
	return true
}

// isolate has a mailbox read alone that was slow while others were not, or that gave no
// answer alone, and with others again once it has answered quickly a few times. The
// caller holds mu.
func (p *Poller) isolate(t *target, c call, slow bool) {
	before, single := t.alone, c.mailboxes == 1
	switch {
	case slow, single && c.unanswered && !p.unreachable():
		t.alone = quickAnswers
	case single && t.alone > 0:
		t.alone--
	}
	if (before > 0) == (t.alone > 0) {
		return
	}
	p.regular.queue.Remove(t)
	p.isolated.queue.Remove(t)
	if t.monitored && !t.dropped {
		p.schedule(t, t.due)
	}
}
