package bench_test

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// figure is a row of the table.
type figure struct {
	name  string
	value float64
	unit  string
	floor float64 // 0: none
	goal  string  // such as "≤ 1.5 × floor"; may be empty
}

// row prints a figure.
func row(f figure) {
	floor, ratio := "", ""
	if f.floor != 0 {
		floor, ratio = formatFigure(f.floor), fmt.Sprintf("%.2f", f.value/f.floor)
	}
	fmt.Printf("  %-58s %10s %-10s %10s %7s  %s\n", f.name, formatFigure(f.value), f.unit, floor, ratio, f.goal)
}

func heading(format string, args ...any) {
	fmt.Printf("\n%-60s %10s %-10s %10s %7s  %s\n", fmt.Sprintf(format, args...), "figure", "", "floor", "ratio", "goal")
}

// formatFigure formats a figure with about three digits.
func formatFigure(v float64) string {
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

// quantile returns the q-quantile of all, or 0 if all is empty.
func quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}

func median(all []float64) float64 { return quantile(all, 0.5) }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// exponent fits y = c·x^k and returns k. 1 is linear growth.
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
