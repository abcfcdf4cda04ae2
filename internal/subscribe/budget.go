package subscribe

import (
	"context"

	"golang.org/x/time/rate"
)

// Graph accepts 500 subscription writes per 20 s from one app in a tenant. All replicas
// together make fewer in any 20 s, because Graph counts by its own clock: a burst of 25
// and then 23 a second, at most 485.
//
// Steps that can wait have a budget of their own besides. It is smaller, so that however
// many of them are due, 8 other steps a second find the common budget full, and more get
// half of it: otherwise a new mailbox would wait 19 minutes behind the existence checks of
// 26,000 others.
const (
	writeRate      = 23 // a second
	writeBurst     = 25
	backgroundRate = 15
)

// canWait reports whether the mailbox stays covered however long the step waits, as far as
// is known: most subscriptions that a list lacks exist.
func (s Step) canWait() bool {
	return s.Action == Delete || s.Action == DeleteReplaced || s.Reason == ExistenceCheck
}

// callsGraph reports whether the step calls Graph, and so needs the budget.
func (s Step) callsGraph() bool {
	return s.Action != Nothing && s.Action != Drop && s.Action != RemoveRecord
}

// budget is this replica's share of the writes that all replicas may make.
type budget struct {
	rate    rate.Limit // of all replicas, like burst
	burst   int
	share   func() float64
	limiter *rate.Limiter
}

func newBudget(r rate.Limit, burst int, share func() float64) *budget {
	return &budget{rate: r, burst: burst, share: share, limiter: rate.NewLimiter(r, burst)}
}

// wait waits until the budget admits one more write, or returns the error of ctx.
func (b *budget) wait(ctx context.Context) error {
	share := min(max(b.share(), 0.01), 1)
	b.limiter.SetLimit(b.rate * rate.Limit(share))
	b.limiter.SetBurst(max(int(float64(b.burst)*share), 1))
	return b.limiter.Wait(ctx)
}
