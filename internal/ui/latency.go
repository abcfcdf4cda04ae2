package ui

import (
	"maps"
	"math"
	"slices"
	"time"
)

// bucketGrowth is how much longer each bucket reaches than the one before: a
// quantile is right to an eighth.
const bucketGrowth = 1.25

// latencyBucket returns the bucket that a duration is counted in: 0 up to a
// millisecond, and 1.25 times as long for each one more.
func latencyBucket(d time.Duration) int {
	ms := float64(d) / float64(time.Millisecond)
	if ms <= 1 {
		return 0
	}
	return int(math.Ceil(math.Log(ms)/math.Log(bucketGrowth) - 1e-9))
}

// bucketEnd is the longest duration of a bucket.
func bucketEnd(bucket int) time.Duration {
	return time.Duration(math.Pow(bucketGrowth, float64(bucket)) * float64(time.Millisecond))
}

// latencyQuantile returns the duration that the share q of what was counted did not
// exceed; 0 if nothing was counted.
func latencyQuantile(counted map[int]int, q float64) time.Duration {
	total := 0
	for _, n := range counted {
		total += n
	}
	left := int(math.Ceil(q * float64(total)))
	for _, bucket := range slices.Sorted(maps.Keys(counted)) {
		if left -= counted[bucket]; left <= 0 && total > 0 {
			return bucketEnd(bucket)
		}
	}
	return 0
}
