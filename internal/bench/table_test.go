package bench_test

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// figure is a row of the table.
type figure struct {
	name  string
	value float64
	unit  string
	floor float64 // 0: there is none
	goal  string  // what is wanted of it, such as "≤ 1.5 × floor"; may be empty
}

var printing sync.Mutex

// row prints a figure. It goes to the standard output, or to the file that
// BENCH_TABLE names, past what go test writes.
func row(t testing.TB, f figure) {
	t.Helper()
	floor, ratio := "", ""
	if f.floor != 0 {
		floor, ratio = number(f.floor), fmt.Sprintf("%.2f", f.value/f.floor)
	}
	say(t, "  %-58s %10s %-10s %10s %7s  %s", f.name, number(f.value), f.unit, floor, ratio, f.goal)
}

func heading(t testing.TB, format string, args ...any) {
	t.Helper()
	say(t, "\n%-60s %10s %-10s %10s %7s  %s", fmt.Sprintf(format, args...), "figure", "", "floor", "ratio", "wanted")
}

// say prints a line.
func say(t testing.TB, format string, args ...any) {
	t.Helper()
	printing.Lock()
	defer printing.Unlock()
	out := os.Stdout
	if path := os.Getenv("BENCH_TABLE"); path != "" {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		out = file
	}
	fmt.Fprintf(out, format+"\n", args...)
}

// number spells a figure with three digits or so.
func number(v float64) string {
	switch size := math.Abs(v); {
	case size == 0:
		return "0"
	case size < 10:
		return fmt.Sprintf("%.2f", v)
	case size < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// quantile returns the value that the share q of all doesn't exceed; 0 of none.
func quantile[T cmp.Ordered](all []T, q float64) T {
	var none T
	if len(all) == 0 {
		return none
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(max(int(math.Ceil(q*float64(len(sorted))))-1, 0), len(sorted)-1)]
}

func median[T cmp.Ordered](all []T) T { return quantile(all, 0.5) }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// exponent returns k of the curve y = c·x^k that fits best: 1 is linear growth.
func exponent(x, y []float64) float64 {
	var sx, sy, sxx, sxy float64
	for i := range x {
		a, b := math.Log(x[i]), math.Log(y[i])
		sx, sy, sxx, sxy = sx+a, sy+b, sxx+a*a, sxy+a*b
	}
	n := float64(len(x))
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
