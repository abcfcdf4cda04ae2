package bench_test

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// row prints a figure, and its ratio to the floor if that is not 0. The goal is one for the
// figure or the ratio, such as "≤ 1.5 × floor", or empty.
func row(name string, value float64, unit string, floor float64, goal string) {
	least, ratio := "", ""
	if floor != 0 {
		least, ratio = formatFigure(floor), fmt.Sprintf("%.2f", value/floor)
	}
	fmt.Printf("  %-58s %10s %-10s %10s %7s  %s\n", name, formatFigure(value), unit, least, ratio, goal)
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
