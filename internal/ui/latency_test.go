package ui

import (
	"testing"
	"time"
)

func TestLatencyQuantile(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 7 * time.Millisecond, 250 * time.Millisecond, 3 * time.Second, time.Hour} {
		got := latencyQuantile(map[int]int{latencyBucket(d): 1}, 0.5)
		if least := max(d, time.Millisecond); got < least-time.Microsecond || got > least*5/4+time.Microsecond {
			t.Errorf("latencyQuantile of only %v = %v, want at most a quarter more", d, got)
		}
	}
	counts := map[int]int{0: 90, 10: 9, 20: 1}
	for q, bucket := range map[float64]int{0.5: 0, 0.9: 0, 0.95: 10, 1: 20} {
		if got := latencyQuantile(counts, q); got != bucketEnd(bucket) {
			t.Errorf("latencyQuantile(%v, %v) = %v, want %v", counts, q, got, bucketEnd(bucket))
		}
	}
	if got := latencyQuantile(nil, 0.5); got != 0 {
		t.Errorf("latencyQuantile of nothing = %v, want 0", got)
	}
}
