package redisstore

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// A script that makes a user due may claim it in the same step, for the loop of this
// process. That saves what lies on the way from a notification to the mediator: to
// tell the loop, and its own call of Redis. Loops say how many they would take; for
// whatever is beyond that, users are due for whoever comes first, as ever.

// desk is where a loop of this process takes what is claimed for it.
type desk struct {
	handed chan ooo.Claim // capacity mostHanded

	mu       sync.Mutex
	room     int           // how many more the loop would take; guarded by mu, as all below
	reserved int           // of these, what scripts may fill that are on their way
	lease    time.Duration // that the loop wants
	closed   bool          // it has ended
}

// mostHanded is how many places a loop may offer.
const mostHanded = 512

func newDesk() *desk { return &desk{handed: make(chan ooo.Claim, mostHanded)} }

// Offer says how many more users of q the loop of this process could work on at
// once, and for what lease. It takes them from Handed. With less than 0 the loop has
// ended: what is on its way is given back.
func (s *Store) Offer(q ooo.Queue, n int, lease time.Duration) {
	d := s.desks[q]
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room, d.lease, d.closed = min(n, mostHanded)-len(d.handed), lease, n < 0
}

// Handed returns the channel of what was claimed for the loop of this process.
func (s *Store) Handed(q ooo.Queue) <-chan ooo.Claim { return s.desks[q].handed }

// advance is the right of a script to claim users for the loop; the zero value is
// none.
type advance struct {
	desk   *desk
	places int
	token  string        // of the claims
	lease  time.Duration // of them
	asked  time.Time
}

// reserve asks for up to n places. They are to be settled.
func (d *desk) reserve(n int) advance {
	d.mu.Lock()
	defer d.mu.Unlock()
	n = min(n, d.room-d.reserved)
	if n <= 0 {
		return advance{}
	}
	d.reserved += n
	return advance{d, n, rand.Text(), d.lease, time.Now()}
}

// settle hands the loop what the script has claimed.
func (s *Store) settle(ctx context.Context, a advance, claims ...ooo.Claim) {
	if a.desk == nil {
		return
	}
	a.desk.mu.Lock()
	a.desk.reserved -= a.places
	a.desk.room -= len(claims)
	var back []ooo.Claim
	for i := range claims {
		claims[i].Token, claims[i].Asked = a.token, a.asked
		s.boards[claims[i].Queue].noLater(shardOf(claims[i].Key), s.theirs(a.asked.Add(a.lease)))
		if a.desk.closed || len(a.desk.handed) == mostHanded {
			back = append(back, claims[i])
			continue
		}
		a.desk.handed <- claims[i] // nobody else sends
	}
	a.desk.mu.Unlock()
	if len(back) > 0 {
		s.unclaim(ctx, back)
	}
}

// unsure ends the right of a script of which it is not known whether it has claimed
// the users: its answer was lost, or was that to a second try. What it has claimed is
// given back.
func (s *Store) unsure(ctx context.Context, q ooo.Queue, a advance, keys ...ooo.Key) {
	s.settle(ctx, a)
	if a.desk == nil || len(keys) == 0 {
		return
	}
	claims := make([]ooo.Claim, len(keys))
	for i, key := range keys {
		claims[i] = ooo.Claim{Queue: q, Key: key, Token: a.token, Due: a.asked}
	}
	s.rounds.Go(func() { s.unclaim(ctx, claims) })
}

// unclaim gives claims back, due at once, whatever becomes of the caller.
func (s *Store) unclaim(ctx context.Context, claims []ooo.Claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTime)
	defer cancel()
	finished := make([]ooo.Finished, len(claims))
	for i, c := range claims {
		finished[i] = ooo.Finished{Claim: c, Next: c.Due, Again: true}
	}
	if err := s.Done(ctx, claims[0].Queue, finished); err != nil {
		s.log.DebugContext(ctx, "claims could not be given back, their leases will end", "queue", claims[0].Queue, "err", err)
	}
	for _, c := range claims {
		s.nudge(c.Key, c.Queue)
	}
}
