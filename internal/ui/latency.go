package ui

import (
	"maps"
	"math"
	"slices"
	"time"
)

// bucketGrowth is the ratio of the upper bounds of two neighbouring buckets. Quantiles are
// upper bounds, so they are at most a quarter too high.
const bucketGrowth = 1.25

// latencyBucket returns the bucket of a duration. Bucket 0 ends at a millisecond, and each
// further one at 1.25 times the end of the one before.
func latencyBucket(d time.Duration) int {
	ms := float64(d) / float64(time.Millisecond)
	if ms <= 1 {
		return 0
	}
	return int(math.Ceil(math.Log(ms)/math.Log(bucketGrowth) - 1e-9))
}

// bucketEnd returns the upper bound of a bucket.
func bucketEnd(bucket int) time.Duration {
	return time.Duration(math.Pow(bucketGrowth, float64(bucket)) * float64(time.Millisecond))
}

// latencyQuantile returns the q-quantile of the durations counted by bucket, or 0 if there
// are none.
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
