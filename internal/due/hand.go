package due

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/ooo"
)

// hand is a piece of work in hand.
type hand struct {
	claims []ooo.Claim
	began  time.Time
	until  atomic.Pointer[time.Time] // the lease, counted from before it was asked for
	cancel context.CancelCauseFunc
	alarm  *time.Timer // cancels at until, even while the loop waits for Redis
}

type handKey struct{}

// Held says whether the lease of the work that has this context still lasts. A
// process that was stopped for a while finds that out here first, and should
// look before it does what can't be undone.
func Held(ctx context.Context) bool {
	h, ok := ctx.Value(handKey{}).(*hand)
	return !ok || time.Now().Before(*h.until.Load())
}

var errLeaseLost = errors.New("the lease was lost")

// begin has a worker do a piece of work.
func (l *Loop) begin(work context.Context, workers *sync.WaitGroup, claims []ooo.Claim) {
	ctx, cancel := context.WithCancelCause(work)
	l.number++
	number, clock := l.number, l.clock
	h := &hand{claims: claims, began: l.looked, cancel: cancel}
	if asked := claims[0].Asked; !asked.IsZero() { // it was handed to us, since we looked or before
		h.began = asked
	}
	h.until.Store(new(h.began.Add(l.cfg.Lease)))
	h.alarm = time.AfterFunc(time.Until(*h.until.Load()), func() { cancel(errLeaseLost) })
	l.pieces[number] = h
	ctx = context.WithValue(ctx, handKey{}, h)
	piece := func() { l.results <- result{number, l.cfg.Work(ctx, clock, claims)} }
	select {
	case l.idle <- piece:
	default:
		workers.Go(func() { // stays: a stack that has grown once is worth keeping
			for piece, more := piece, true; more; piece, more = <-l.idle {
				piece()
			}
		})
	}
}

// extend keeps the leases of what is in hand and stops the work on what is lost.
func (l *Loop) extend(ctx context.Context) {
	now := time.Now()
	var claims []ooo.Claim
	for _, h := range l.pieces {
		claims = append(claims, h.claims...)
	}
	if len(claims) == 0 {
		return
	}
	extending, cancel := context.WithTimeout(ctx, l.cfg.Lease/patience)
	defer cancel()
	lost, err := l.cfg.Queue.Extend(extending, l.cfg.Name, claims, l.cfg.Lease)
	if err != nil {
		return // the alarms go off when the leases end
	}
	gone := make(map[string]bool, len(lost))
	for _, c := range lost {
		gone[c.Token+string(c.Key)] = true
	}
	for _, h := range l.pieces {
		if slices.ContainsFunc(h.claims, func(c ooo.Claim) bool { return gone[c.Token+string(c.Key)] }) {
			h.cancel(errLeaseLost)
			continue
		}
		until := now.Add(l.cfg.Lease)
		h.until.Store(&until)
		h.alarm.Reset(time.Until(until))
	}
}
