package partition

import (
	"maps"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// releaseRate limits the partitions that are released in a regular round to rebalance.
const releaseRate = 2

// share returns how many partitions the replica at a position among n replicas gets. The
// shares add up to all partitions.
func share(n, position int) int {
	if position < ooo.Partitions%n {
		return ooo.Partitions/n + 1
	}
	return ooo.Partitions / n
}

// answeredWithin reports whether Graph answered a replica within d.
func answeredWithin(b store.Beat, d time.Duration) bool {
	return !b.Stopping && b.Answered >= 0 && b.Answered <= d
}

// able returns the replicas that get a share, sorted by life. It leaves out those that are
// leaving, and those that Graph does not answer while it answers another.
func able(beats map[string]store.Beat) (lives []string) {
	answers := anyAnswered(beats)
	for _, life := range slices.Sorted(maps.Keys(beats)) {
		unable := !answeredWithin(beats[life], unableTime) && answers
		if !beats[life].Stopping && !unable {
			lives = append(lives, life)
		}
	}
	return lives
}

// anyAnswered reports whether Graph answers any replica.
func anyAnswered(beats map[string]store.Beat) bool {
	for _, b := range beats {
		if answeredWithin(b, ableTime) {
			return true
		}
	}
	return false
}

// view is what a replica knows when it decides which partitions to take and release.
type view struct {
	me     string
	now    time.Time
	beats  map[string]store.Beat // of the replicas that count, including this one
	leases [ooo.Partitions]store.Lease
	held   [ooo.Partitions]bool      // owned by this replica and not being released
	free   [ooo.Partitions]time.Time // since when the partition has no living owner; zero: it has one
	busy   func(p int) bool          // whether the partition must not be released now
	// failing means that rounds keep failing. It then takes long until another replica takes a free
	// partition, so only a replica without a share releases any.
	failing bool
}

// plan returns the partitions to take and the partitions to release.
func plan(v view) (take, release []int) {
	lives := able(v.beats)
	owned, free := map[string]int{}, 0
	for p, lease := range v.leases {
		switch {
		case !v.free[p].IsZero():
			free++
		case lease.Life != v.me:
			owned[lease.Life]++
		}
		if v.held[p] {
			owned[v.me]++
		}
	}
	newest := int64(0)
	deficits := map[string]int{} // how many partitions each replica is below its share
	for i, life := range lives {
		newest = max(newest, v.beats[life].Settings)
		deficits[life] = share(len(lives), i) - owned[life]
	}
	deficit, hasShare := deficits[v.me]
	switch {
	case !hasShare:
		return nil, v.pickReleases(ooo.Partitions)
	case deficit > 0:
		return v.pickTakes(lives, deficits, newest), nil
	case deficit < 0 && !v.failing && anyAnswered(v.beats) && slices.ContainsFunc(lives, func(life string) bool {
		return deficits[life] > 0 && v.beats[life].Settings == newest
	}):
		return nil, v.pickReleases(min(-deficit, releaseRate, 2*releaseRate-free)) // fewer while released ones are not taken
	}
	return nil, nil
}

// pickReleases returns up to n partitions to release, the last ones first.
func (v *view) pickReleases(n int) (release []int) {
	for p := ooo.Partitions - 1; p >= 0 && len(release) < n; p-- {
		if v.held[p] && !v.busy(p) {
			release = append(release, p)
		}
	}
	return release
}

// pickTakes returns the free partitions that this replica takes. So that no two replicas
// take the same one, each skips as many as the replicas before it need. A replica with
// older settings takes only partitions that have been free for deadAfter, which any
// replica below its share may take.
func (v *view) pickTakes(lives []string, deficits map[string]int, newest int64) (take []int) {
	stale := func(p int) bool { return v.now.Sub(v.free[p]) >= deadAfter }
	older := v.beats[v.me].Settings < newest
	before := 0 // free partitions to leave to the replicas before this one
	for _, life := range lives[:slices.Index(lives, v.me)] {
		if v.beats[life].Settings == newest {
			before += max(deficits[life], 0)
		}
	}
	for p := range v.free {
		if v.free[p].IsZero() {
			continue
		}
		if before--; len(take) < deficits[v.me] && (stale(p) || before < 0 && !older) {
			take = append(take, p)
		}
	}
	return take
}
