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

// cell is one fault.
type cell struct {
	name    string
	short   bool // part of the short form
	allowed twice
	lossy   bool                    // Redis may lose what it took a moment before the fault
	forgets bool                    // Redis loses the history of before
	polite  int                     // how often Graph may have to answer 429; 0: it does not matter
	store   func(testing.TB) stores // nil: one redis-server
	tokens  time.Duration           // life of Graph's tokens; 0: the usual
	needs   program                 // another build that it starts; nil: none
	users   int                     // 0: the usual
	patient time.Duration           // how long it may take until all is quiet; 0: the usual

	// apply breaks something, lets that last, and mends it.
	apply func(*world)
}

// twice says what may be delivered twice.
type twice int

const (
	nothingTwice twice = iota
	unanswered         // states whose acknowledgement was lost, under the same webhook-id
	restarted          // every state; only of a user whose monitoring was stopped and started again
)

const (
	before = 2 * time.Second // of changes, at least, before the fault
	after  = 3 * time.Second // of changes once it is mended
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
					r.add(one(t, c, run))
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

// plan is the world of a cell.
func (c cell) plan(seed uint64) plan {
	return plan{seed: seed, name: c.name, users: cmp.Or(c.users, users), crew: crew, store: c.store, tokens: c.tokens, patience: c.patient}
}

// one is one run of a cell, in a world that is gone after it.
func one(t *testing.T, c cell, run int) (r row) {
	t.Run("", func(t *testing.T) {
		if c.needs != nil {
			if _, err := c.needs(); err != nil { // not while the changes go on: it takes time
				t.Fatal(err)
			}
		}
		w := build(t, c.plan(seed+uint64(run)))
		r = w.run(c)
		for _, v := range w.violations[:min(len(w.violations), shown)] {
			t.Errorf("%s: %s", v.promise, v.what)
		}
	})
	return r
}

// shown is how many violations of one run are told.
const shown = 8

// run breaks the world as the cell says and looks what came of it.
func (w *world) run(c cell) row {
	r := row{runs: 1}
	if !w.await("at the start", w.settled) {
		r.violations = len(w.violations)
		return r
	}
	s := newStream(w, c.name)
	r.quiet = s.during(func() {
		w.leave()
		if time.Sleep(w.part(400 * time.Millisecond)); c.lossy {
			time.Sleep(time.Second)
		}
		c.apply(w)
		if w.hits < w.aims {
			w.violate(aimed, "%d of %d moments were met", w.hits, w.aims)
		}
		w.beyond()
	})
	r.made, r.kills, r.hits = s.made, w.kills, w.hits
	w.judge(c, &r)
	r.violations = len(w.violations)
	return r
}

// during makes changes before, during and after a fault, and then none until all is
// quiet. It returns how long that took.
func (s *stream) during(fault func()) (quiet time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	var changing sync.WaitGroup
	changing.Go(func() { s.run(ctx) })
	time.Sleep(before + s.part(2*time.Second))
	fault()
	time.Sleep(after)
	stop()
	changing.Wait()
	mended := time.Now()
	return max(s.quiet().Sub(mended), 0)
}
