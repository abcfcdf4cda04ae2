package subscribe

import (
	"context"

	"golang.org/x/time/rate"
)

// Graph accepts 500 subscription writes per 20 s from one app in a tenant. All replicas
// together make fewer in any 20 s, because Graph counts by its own clock: a burst of 25
// and then 23 a second, at most 485.
const (
	writeRate  = 23 // a second
	writeBurst = 25
)

// callsGraph reports whether the step calls Graph, and so needs the budget.
func (s Step) callsGraph() bool {
	return s.Action != Nothing && s.Action != Drop
}

// awaitWrite waits until this replica's share of the budget admits one more write, or
// returns the error of ctx.
func (s *Subscriber) awaitWrite(ctx context.Context) error {
	share := min(max(s.cfg.Owners.Share(), 0.01), 1)
	s.writes.SetLimit(rate.Limit(writeRate * share))
	s.writes.SetBurst(max(int(writeBurst*share), 1))
	return s.writes.Wait(ctx)
}
