package faults_test

import (
	"context"
	"fmt"
	"os"
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
	store   func(testing.TB) stores // nil: one redis-server
	tokens  time.Duration           // life of Graph's tokens; 0: the usual

	// apply breaks something, lets that last, and mends it.
	apply func(*world)
}

// twice says what may be delivered twice.
type twice int

const (
	nothingTwice twice = iota
	unanswered         // states whose acknowledgement was lost, under the same webhook-id
	allAnew            // every state: monitoring starts anew
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
			if !c.short && !long {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				r := run(t, c)
				mu.Lock()
				defer mu.Unlock()
				rows = append(rows, r)
			})
		}
	})
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
	var table strings.Builder
	fmt.Fprintln(&table, header)
	for _, r := range rows {
		fmt.Fprintln(&table, r)
	}
	t.Log("the matrix:\n" + table.String())
	if path := os.Getenv("FAULTS_TABLE"); path != "" {
		if err := os.WriteFile(path, []byte(table.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// run runs one cell.
func run(t *testing.T, c cell) row {
	w := build(t, c)
	s := newStream(w, c.name)
	if !w.await("all are told and covered at the start", func() bool { return w.allTold() && w.coveredOnce() && w.recorded() }) {
		return row{name: c.name}
	}
	ctx, stop := context.WithCancel(context.Background())
	var changing sync.WaitGroup
	changing.Go(func() { s.run(ctx) })
	time.Sleep(before + time.Duration(w.random.Int64N(int64(2*time.Second))))
	c.apply(w)
	time.Sleep(after)
	stop()
	changing.Wait()

	mended := time.Now()
	since, ok := w.quiet()
	r := row{name: c.name, made: s.made, quiet: max(since.Sub(mended), 0)}
	if !ok {
		return r
	}
	w.judge(c, &r)
	return r
}
