package poll

import (
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
)

const (
	// callTimeout is how long a call may take; longer while all calls take long.
	callTimeout = 1500 * time.Millisecond
	// isolatedTimeout is how long a call for an isolated mailbox may take.
	isolatedTimeout = 10 * time.Second
	// slowAnswer is how long a call may take before its mailboxes may be isolated; below
	// callTimeout, or a slow mailbox would only ever look unanswered.
	slowAnswer = time.Second
	// maxSlow is how many mailboxes may be isolated because a call was slow. Beyond it calls are
	// slow whatever is in them, and batches lose less time than as many single reads.
	maxSlow = maxIsolatedReads
	// quickAnswers is how many quick answers return a mailbox to the batches that was slow, or that
	// did not answer several calls in a row.
	quickAnswers = 3
)

// observe records what a call says about Graph as a whole. An unanswered call for a single
// mailbox says nothing.
func (p *Poller) observe(results []ooo.ReadResult, c call) {
	answered := slices.ContainsFunc(results, func(r ooo.ReadResult) bool { return r.Err == nil })
	p.mu.Lock()
	defer p.mu.Unlock()
	if answered && c.began.After(p.lastAnswered) {
		p.lastAnswered = c.began
	}
	if c.mailboxes == 1 {
		return
	}
	p.round += (c.ended.Sub(c.began)/rounds(c.mailboxes) - p.round) / 16
	if c.unanswered && c.began.After(p.lastAnswered) && c.began.After(p.lastUnanswered) {
		p.lastUnanswered = c.began
	}
}

// rounds returns how many rounds Graph takes to read n mailboxes in one call.
func rounds(n int) time.Duration {
	return time.Duration((n + batchConcurrency - 1) / batchConcurrency)
}

// timeout returns how long a call may take: twice what recent batches suggest, or four such rounds.
func (p *Poller) timeout(l *lane, jobs []job) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	// If many calls hang, whatever is in them, mailboxes that did so once must not fill the lane.
	hungOnce := jobs[0].t.isolated == 1 // or it has been answering since
	if l == p.isolated && (!hungOnce || len(jobs[0].hints) > 0) {
		return isolatedTimeout
	}
	return min(max(callTimeout, 4*p.round, 2*p.round*rounds(len(jobs))), isolatedTimeout)
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
	alone, wasIsolated := c.mailboxes == 1, t.isolated > 0
	switch {
	case alone && c.unanswered && !p.unreachable():
		t.isolated = min(t.isolated+1, quickAnswers)
	case slow && (wasIsolated || p.isolated.queue.Backlog(c.ended).Waiting < maxSlow):
		t.isolated = quickAnswers
	case alone && !c.unanswered && wasIsolated:
		t.isolated--
	}
	if isIsolated := t.isolated > 0; isIsolated == wasIsolated {
		return
	}
	p.regular.queue.Remove(t)
	p.isolated.queue.Remove(t)
	if !t.dropped {
		p.schedule(t, t.due)
	}
}
