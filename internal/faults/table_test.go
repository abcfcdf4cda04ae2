package faults_test

import (
	"fmt"
	"strings"
	"time"
)

// row is the result of one run of a cell.
type row struct {
	name                                string
	seed                                uint64
	changes, kills, hits                int
	acknowledged, overtaken, duplicates int
	violations                          int
	settledAfter                        time.Duration
}

// table is the matrix.
func table(rows []row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-58s  seed  changes  kills  hits  acked  overtaken  duplicates  violations  settled after\n", "cell")
	for _, r := range rows {
		fmt.Fprintf(&b, "%-58s %5d %8d %6d %5d %6d %10d %11d %11d %12.1f s\n", r.name, r.seed, r.changes, r.kills, r.hits,
			r.acknowledged, r.overtaken, r.duplicates, r.violations, r.settledAfter.Seconds())
	}
	return b.String()
}
