package ui

import (
	"testing"
	"time"
)

func TestAQuantileIsRightToAQuarter(t *testing.T) {
	for _, took := range []time.Duration{0, time.Millisecond, 7 * time.Millisecond, 250 * time.Millisecond, 3 * time.Second, time.Hour} {
		got := latencyQuantile(map[int]int{latencyBucket(took): 1}, 0.5)
		if least := max(took, time.Millisecond); got < least-time.Microsecond || got > least*5/4+time.Microsecond {
			t.Errorf("LoadQuantile of one %v = %v, want at most a quarter more", took, got)
		}
	}
}

func TestQuantilesCountFromBelow(t *testing.T) {
	counted := map[int]int{0: 90, 10: 9, 20: 1}
	end := func(bucket int) time.Duration { return latencyQuantile(map[int]int{bucket: 1}, 1) }
	tests := map[string]struct {
		counted map[int]int
		q       float64
		want    time.Duration
	}{
		"the median is the most common": {counted, 0.5, end(0)},
		"the edge belongs below":        {counted, 0.9, end(0)},
		"the slow ones are above":       {counted, 0.95, end(10)},
		"the slowest is the last":       {counted, 1, end(20)},
		"nothing counted is nothing":    {nil, 0.5, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := latencyQuantile(tt.counted, tt.q); got != tt.want {
				t.Errorf("LoadQuantile(%v) = %v, want %v", tt.q, got, tt.want)
			}
		})
	}
}
