package faults_test

import (
	"cmp"
	"context"
	"fmt"
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
	losesWrites   bool                        // Redis may lose writes from just before the fault
	losesHistory  bool                        // Redis loses the history from before the fault
	max429        int                         // the most 429 answers that Graph may need; 0: any number
	users         int                         // besides the leaver; default: 12
	newRedis      func(testing.TB) redisSetup // default: one redis-server
	tokenLifetime time.Duration               // of Graph's access tokens
	settleTimeout time.Duration               // how long the testbed may take to settle
	extraBuild    program                     // another build that the fault starts; may be nil

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
			for run := range runs {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					tb := newTestbed(t, config{cell: c, seed: seed + uint64(run)})
					r := tb.run()
					for _, v := range tb.violations[:min(len(tb.violations), maxShown)] {
						t.Errorf("%s: %s", v.promise, v.what)
					}
					mu.Lock()
					defer mu.Unlock()
					rows = append(rows, r)
				})
			}
		}
	})
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.seed, b.seed)) })
	fmt.Println(table(rows))
}

const maxShown = 8 // violations of a run

// run injects the fault of the cell and verifies the promises.
func (tb *testbed) run() row {
	r := row{name: tb.name, seed: tb.seed}
	if !tb.await("at the start", tb.settled) {
		r.violations = len(tb.violations)
		return r
	}
	s := newStream(tb)
	r.settledAfter = s.runDuring(func() {
		tb.stopLeaver()
		if time.Sleep(tb.randomPart(400 * time.Millisecond)); tb.losesWrites {
			time.Sleep(time.Second)
		}
		tb.inject(tb)
		if tb.hits < tb.aims {
			tb.violate(targeting, "%d of %d targets were hit", tb.hits, tb.aims)
		}
		tb.changeLeaver()
	})
	r.changes, r.kills, r.hits = s.changes, tb.kills, tb.hits
	tb.verify(&r)
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
