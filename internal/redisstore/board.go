package redisstore

import (
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// board is what this process knows of one queue without asking: when each shard
// next has something due. It saves asking shards in vain; it may be wrong when
// another replica worked on a shard, so all are asked now and then.
type board struct {
	wake   chan struct{} // capacity 1, as recall
	recall chan struct{} // what is in hand was marked

	mu    sync.Mutex
	next  [shards]int64  // ms of Redis' clock, math.MaxInt64: empty; guarded by mu, as all below
	heard [shards]uint64 // how often a shard got something due sooner
	swept time.Time      // when all shards were last asked
	turn  int            // where the next claim begins
}

// How often all shards are asked: often while there are users, so that a dead
// replica's are found; seldom in an empty queue.
const (
	sweepUsed  = 5 * time.Second
	sweepEmpty = 29 * time.Second
)

func newBoard() *board { return &board{wake: make(chan struct{}, 1), recall: make(chan struct{}, 1)} }

// asking returns what learn wants to know of the time before Redis was asked.
func (b *board) asking() [shards]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.heard
}

// learn notes when a shard next has something due, unless something became due
// while Redis was asked: the answer may not tell of it.
func (b *board) learn(shard int, next int64, asked [shards]uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heard[shard] == asked[shard] {
		b.next[shard] = next
	}
}

// sooner notes that a shard has something due at once, maybe, and wakes the
// loop.
func (b *board) sooner(shard int) {
	b.mu.Lock()
	b.next[shard] = 0
	b.heard[shard]++
	b.mu.Unlock()
	ring(b.wake)
}

// noLater notes that a shard has something due at a time or before.
func (b *board) noLater(shard int, at int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next[shard] = min(b.next[shard], at)
}

// nudge tells this process what the script that made key due tells the others.
func (s *Store) nudge(key ooo.Key, queues ...ooo.Queue) {
	for _, q := range queues {
		s.boards[q].sooner(shardOf(key))
		ring(s.boards[q].recall)
	}
}

// forget makes the next claim ask all shards, and wakes the loop.
func (b *board) forget() {
	b.doubt()
	ring(b.wake)
	ring(b.recall)
}

// doubt makes the next claim ask all shards, whenever that is.
func (b *board) doubt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for shard := range shards {
		b.next[shard] = 0
		b.heard[shard]++
	}
}

func ring(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default: // a wake-up is already waiting
	}
}

// due returns the shards worth asking at now, not always from the same one, and
// at most n.
func (b *board) due(now int64, n int) []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	empty := true
	for _, next := range b.next {
		empty = empty && next == math.MaxInt64
	}
	age := time.Since(b.swept)
	all := age > sweepEmpty || (!empty && age > sweepUsed)
	if all && n >= shards {
		b.swept = time.Now()
	}
	var picked []int
	for i := range shards {
		shard := (b.turn + i) % shards
		if len(picked) < n && (all || b.next[shard] <= now) {
			picked = append(picked, shard)
		}
	}
	if len(picked) > 0 {
		b.turn = (picked[len(picked)-1] + 1) % shards
	}
	if all && n < shards { // the rest stays to be asked
		for i := range b.next {
			b.next[i] = 0
		}
		b.swept = time.Now()
	}
	return picked
}

// soonest returns the earliest next over all shards.
func (b *board) soonest() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	soonest := int64(math.MaxInt64)
	for _, next := range b.next {
		soonest = min(soonest, next)
	}
	return soonest
}

// Wake returns a channel that gets a value when something in q became due sooner
// than Claim said, by this or another replica.
func (s *Store) Wake(q ooo.Queue) <-chan struct{} { return s.boards[q].wake }

// Recall returns a channel that gets a value when a user of q that is claimed was
// marked: whoever holds it should give it back without delay.
func (s *Store) Recall(q ooo.Queue) <-chan struct{} { return s.boards[q].recall }

// Run listens to what other replicas make due, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.listen(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// listen subscribes and passes wake-ups on until the subscription breaks for
// good. go-redis reconnects by itself and says so with a subscription message.
func (s *Store) listen(ctx context.Context) {
	sub := s.client.Subscribe(ctx, wakeChannel)
	defer sub.Close()
	stop := context.AfterFunc(ctx, func() { sub.Close() })
	defer stop()
	for message := range sub.ChannelWithSubscriptions() {
		switch m := message.(type) {
		case *redis.Subscription: // connected, anew maybe: messages may have been lost
			for _, b := range s.boards {
				b.forget()
			}
		case *redis.Message:
			name, who, _ := strings.Cut(m.Payload, " ")
			w, known := wakers[name]
			switch {
			case !known || who == s.origin:
			case w.held:
				ring(s.boards[w.queue].recall)
			default:
				s.boards[w.queue].sooner(w.shard)
			}
		}
	}
}
