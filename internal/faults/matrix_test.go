package faults_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cell is one fault of the matrix. Zero values stand for the defaults of config.
type cell struct {
	name          string
	short         bool // part of the short form
	duplicates    duplicates
	losesWrites   bool // Redis may lose writes from just before the fault
	losesHistory  bool // Redis loses the history from before the fault
	max429        int  // the most 429 answers that Graph may need; 0: any number
	newRedis      func(testing.TB) redisSetup
	tokenLifetime time.Duration
	extraBuild    program // another build that the fault starts
	users         int
	settleTimeout time.Duration

	// inject starts the fault, waits while it lasts, and ends it.
	inject func(*testbed)
}

// duplicates says which states may be delivered twice.
type duplicates int

const (
	noDuplicates    duplicates = iota
	afterLostAnswer            // states whose acknowledgement was lost, under the same webhook-id
	afterRestart               // every state of a user whose monitoring was stopped and started again
)

const (
	minBefore = 2 * time.Second // of changes before the fault
	minAfter  = 3 * time.Second // of changes after the fault
)

func TestMatrix(t *testing.T) {
	var mu sync.Mutex
	var rows []row
	t.Run("cells", func(t *testing.T) {
		for _, c := range cells {
			if !c.short && form != "long" {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				r := row{name: c.name, seed: seed}
				for run := range runs {
					r.add(runOnce(t, c, run))
				}
				mu.Lock()
				defer mu.Unlock()
				rows = append(rows, r)
			})
		}
	})
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
	publish(t, table(rows))
}

// config returns the testbed configuration of a cell.
func (c cell) config(seed uint64) config {
	return config{
		seed: seed, name: c.name, users: cmp.Or(c.users, userCount), replicaCount: replicaCount,
		newRedis: c.newRedis, tokenLifetime: c.tokenLifetime, settleTimeout: c.settleTimeout,
	}
}

// runOnce runs a cell in a subtest, which cleans up the testbed.
func runOnce(t *testing.T, c cell, run int) (r row) {
	t.Run("", func(t *testing.T) {
		if c.extraBuild != nil {
			if _, err := c.extraBuild(); err != nil { // not during the fault: it takes minutes
				t.Fatal(err)
			}
		}
		tb := newTestbed(t, c.config(seed+uint64(run)))
		r = tb.run(c)
		for _, v := range tb.violations[:min(len(tb.violations), maxShown)] {
			t.Errorf("%s: %s", v.promise, v.what)
		}
	})
	return r
}

const maxShown = 8 // violations of a run

// run injects the fault of a cell and verifies the promises.
func (tb *testbed) run(c cell) row {
	r := row{runs: 1}
	if !tb.await("at the start", tb.settled) {
		r.violations = len(tb.violations)
		return r
	}
	s := newStream(tb, c.name)
	r.settledAfter = s.runDuring(func() {
		tb.stopLeaver()
		if time.Sleep(tb.randomPart(400 * time.Millisecond)); c.losesWrites {
			time.Sleep(time.Second)
		}
		c.inject(tb)
		if tb.hits < tb.aims {
			tb.violate(targeting, "%d of %d targets were hit", tb.hits, tb.aims)
		}
		tb.changeLeaver()
	})
	r.changes, r.kills, r.hits = s.changes, tb.kills, tb.hits
	tb.verify(c, &r)
	r.violations = len(tb.violations)
	return r
}

// runDuring makes changes before, during and after a fault, and then waits until
// everything has settled. It returns how long that took after the last change.
func (s *stream) runDuring(fault func()) (settledAfter time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	var changing sync.WaitGroup
	changing.Go(func() { s.run(ctx) })
	time.Sleep(minBefore + s.randomPart(2*time.Second))
	fault()
	time.Sleep(minAfter)
	stop()
	changing.Wait()
	ended := time.Now()
	return max(s.awaitQuiet().Sub(ended), 0)
}
