package partition

import "time"

// The times of ownership. They depend on each other, which TestTimes checks:
//
//   - graceTime > 3 roundTime. One round that times out stops no work: the round after it is
//     sent two roundTimes after the last answered one, and has its answer within a third. Two
//     such rounds in a row stop work until one is answered.
//   - deadAfter > graceTime. Both begin with the last beat, one when it is sent, the other when
//     it is seen, which is later. So an owner starts its last work half a second before
//     another replica takes over, more than it takes from the check to the start.
//   - deadAfter + roundTime < 4 s, the longest promised take-over: the last beat of a dead
//     replica is seen up to a roundTime after it was written.
//   - unableTime > pingInterval, by more than a call of Graph takes: the beat of a replica that
//     only pings Graph must not look like that of one that Graph does not answer.
const (
	// roundTime is how often a round is sent, and how long its answer and the swaps after it may
	// take. If Redis takes longer than half of it to answer, the answers of swaps are lost, and
	// only the next round shows whether they were carried out.
	roundTime = 800 * time.Millisecond
	// graceTime is how long after sending an answered round work may start.
	graceTime = 2500 * time.Millisecond
	// deadAfter is how long a beat must be seen unchanged for its replica to be dead. It also
	// limits how long replicas need to notice each other.
	deadAfter = 3 * time.Second
	// deadAfterFailing takes the place of deadAfter while rounds keep failing. It is longer than an
	// owner may act after its last answered round, by more than the longest time without an answer.
	deadAfterFailing = 2 * deadAfter

	// orphanTime is how long a partition must be free until a replica takes it above its share: longer
	// than one below its share may take, which is deadAfterFailing and a round. Whoever takes such a
	// partition then releases none to balance for keepTime, because nobody might take them.
	orphanTime = 10 * time.Second
	keepTime   = time.Minute

	// A replica is unable to work when it had no answer from Graph for unableTime while
	// another replica had one within ableTime.
	unableTime = 10 * time.Second
	ableTime   = 3 * time.Second
	// pingInterval is how often a replica calls Graph at least while there are others, so that
	// its beat shows whether Graph answers it.
	pingInterval = 5 * time.Second

	// minRoundGap is the minimum time between a round and one that is sent early.
	minRoundGap = 100 * time.Millisecond
	// The release of a partition waits drainTime for its work in flight: it was not
	// [Holder.Busy] when it was chosen, but a delivery may have begun since. A stopping replica
	// waits stopTime, because it releases busy partitions too.
	drainTime = time.Second
	stopTime  = 10 * time.Second
)
