package poll

import (
	"context"
	"sync"
	"time"
)

// concurrency is how many calls to Graph may be in flight. It follows what Graph can
// take, as TCP follows a network: while all goes well and the limit is used, it grows
// by one for each round of calls; it shrinks by a third when Graph fails or asks the
// app to wait, and by a tenth when answers in general take far longer than they did.
// It shrinks once for what was in flight together, and keeps its bounds.
//
// Each kind of calls may always have half of it, and all of it while the other kind
// waits for none.
type concurrency struct {
	least, most float64

	mu       sync.Mutex
	free     sync.Cond
	limit    float64    // guarded by mu, as all below
	inFlight [kinds]int //
	waiting  [kinds]int
	usual    time.Duration // what an answer takes: falls at once, rises slowly
	recent   time.Duration // what answers took of late; a few slow mailboxes hardly move it
	shrunk   time.Time
}

// Kinds of calls that share the limit.
const (
	regularCalls = iota
	hintedCalls
	kinds
)

// slack is by how much an answer may be late whatever the usual time: short times
// differ randomly.
const slack = 250 * time.Millisecond

func newConcurrency(least, most int) *concurrency {
	least = min(least, most)
	c := &concurrency{least: float64(least), most: float64(most), limit: float64((least + most) / 2)}
	c.free.L = &c.mu
	return c
}

// lane returns what waits until a call of a kind may begin; it returns nil if ctx
// ends before.
func (c *concurrency) lane(kind int) func(ctx context.Context) (release func()) {
	release := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inFlight[kind]--
		c.free.Broadcast()
	}
	return func(ctx context.Context) func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.may(kind) {
			c.waiting[kind]++
			stop := context.AfterFunc(ctx, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.free.Broadcast()
			})
			for !c.may(kind) && ctx.Err() == nil {
				c.free.Wait()
			}
			stop()
			c.waiting[kind]--
		}
		if ctx.Err() != nil {
			return nil
		}
		c.inFlight[kind]++
		return release
	}
}

// may says whether a call of a kind may begin. The caller holds mu.
func (c *concurrency) may(kind int) bool {
	total, others := 0, 0
	for k := range kinds {
		total += c.inFlight[k]
		if k != kind {
			others += c.waiting[k]
		}
	}
	return total < int(c.limit) && (c.inFlight[kind] < max(int(c.limit)/2, 1) || others == 0)
}

// ended notes a call that began then: how long it took, and whether Graph was unable
// or unwilling to answer.
func (c *concurrency) ended(began time.Time, took time.Duration, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	used := 0
	for _, n := range c.inFlight {
		used += n
	}
	c.recent += (took - c.recent) / 16
	slow := c.usual > 0 && c.recent > 4*c.usual+slack
	switch {
	case refused || slow:
		if began.Before(c.shrunk) {
			break // it began before the last time
		}
		if c.shrunk = time.Now(); refused {
			c.limit = max(c.limit*2/3, c.least)
		} else {
			c.limit = max(c.limit*9/10, c.least)
		}
	case float64(used) >= c.limit/2:
		c.limit = min(c.limit+1/c.limit, c.most)
		c.free.Broadcast()
	}
	if c.usual == 0 || took < c.usual {
		c.usual = took
	} else {
		c.usual += (took - c.usual) / 512
	}
}

// patience returns how long a call may take before it is given up, if others took
// what they did of late.
func (c *concurrency) patience() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return min(max(shortTime, 4*c.recent), longTime/2)
}

// unusual says whether a call took long while none is in flight to compare it with.
func (c *concurrency) unusual(took time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight == [kinds]int{} && took > 2*c.recent
}

// slots has calls wait for a free slot of a lane of their own.
func slots(taken chan struct{}) func(ctx context.Context) (release func()) {
	release := func() { <-taken }
	return func(ctx context.Context) func() {
		select {
		case taken <- struct{}{}:
			return release
		case <-ctx.Done():
			return nil
		}
	}
}
