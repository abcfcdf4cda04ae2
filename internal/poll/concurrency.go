package poll

import (
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// concurrency is how many calls of Graph regular reads may have in flight, and as many
// again the hinted ones. It follows what Graph can take, as TCP follows a network: while
// all goes well and the limit is used, it grows by one for each round of calls, and it
// shrinks by a third when Graph as a whole fails or asks the app to wait, once for what
// was in flight together.
type concurrency struct {
	mu     sync.Mutex
	limit  float64       // guarded by mu, as all below
	recent time.Duration // what answers took of late; a few slow mailboxes hardly move it
	shrunk time.Time
}

const (
	leastCalls = 8
	mostCalls  = 96
)

func newConcurrency() *concurrency { return &concurrency{limit: (leastCalls + mostCalls) / 2} }

func (c *concurrency) most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.limit)
}

// ended notes a call that began then, while so many were in flight: how long it took,
// and whether Graph was unable or unwilling to answer.
func (c *concurrency) ended(began time.Time, took time.Duration, refused bool, inFlight int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent += (took - c.recent) / 16
	switch {
	case refused && !began.Before(c.shrunk):
		c.shrunk = time.Now()
		c.limit = max(c.limit*2/3, leastCalls)
	case !refused && float64(inFlight) >= c.limit/2:
		c.limit = min(c.limit+1/c.limit, mostCalls)
	}
}

// patience returns how long a call may take before it is given up, if others took
// what they did of late.
func (c *concurrency) patience() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return min(max(shortTime, 4*c.recent), longTime/2)
}

// learn adapts the number of calls in flight to an answer. What one mailbox does says
// nothing of Graph.
func (p *Poller) learn(readings []ooo.Reading, c call) {
	answered, whole := false, false
	for i := range readings {
		answered = answered || readings[i].Err == nil
		whole = whole || holdsAll(readings[i].Err)
	}
	p.mu.Lock()
	if answered && c.began.After(p.answered) {
		p.answered = c.began
	}
	failed := len(readings) > 1 && c.unanswered && c.began.After(p.answered)
	if failed && c.began.After(p.lost) {
		p.lost = c.began
	}
	p.mu.Unlock()
	if len(readings) > 1 || whole {
		p.calls.ended(c.began, c.ended.Sub(c.began), whole || failed, p.regular.busy())
	}
}

// away says whether Graph seems to be away: of the batches that began last none was
// answered. The caller holds mu.
func (p *Poller) away() bool { return p.lost.After(p.answered) }

// probeGap is the least time between two batches that are split while Graph seems to be
// away.
const probeGap = 10 * time.Second

// worthSplitting says whether one of its mailboxes may be why a batch got no answer. While
// Graph seems to be away a batch is split only now and then to find out, so that no more
// is asked than usual.
func (p *Poller) worthSplitting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away() && !p.answered.After(p.probed) && time.Since(p.probed) < probeGap {
		return false
	}
	if p.away() {
		p.probed = time.Now()
	}
	return true
}

// isolate has a mailbox read alone that was slow while others were not, or that gave no
// answer alone, and with others again once it has answered quickly a few times. The
// caller holds mu.
func (p *Poller) isolate(t *target, c call, slow bool) {
	before, single := t.alone, c.mailboxes == 1
	switch {
	case slow, single && c.unanswered && !p.away():
		t.alone = quickAnswers
	case single && t.alone > 0:
		t.alone--
	}
	if (before > 0) != (t.alone > 0) && t.monitored && !t.dropped {
		p.schedule(t, t.due)
	}
}
