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
	keep   bool                      // release none to balance
}

// plan returns the partitions to take and the partitions to release.
func plan(v view) (take, release []int) {
	lives := able(v.beats)
	if !slices.Contains(lives, v.me) {
		return nil, v.pickReleases(ooo.Partitions)
	}
	newest := int64(0)
	for _, life := range lives {
		newest = max(newest, v.beats[life].Settings)
	}
	owned, free := v.count()
	deficit := 0           // how many partitions this replica is below its share, negative: above
	needed, before := 0, 0 // by replicas with the newest settings: by all, and by those before this one
	for i, life := range lives {
		d := share(len(lives), i) - owned[life]
		if life == v.me {
			deficit, before = d, needed
		}
		if v.beats[life].Settings == newest {
			needed += max(d, 0)
		}
	}
	orphans := v.orphans(free)
	switch {
	case deficit > 0:
		return v.pickTakes(free, deficit, before, v.beats[v.me].Settings < newest), nil
	case len(orphans) > 0:
		return orphans, nil
	case deficit < 0 && needed > 0 && !v.keep && anyAnswered(v.beats):
		// Fewer while released ones are not taken.
		return nil, v.pickReleases(min(-deficit, releaseRate, 2*releaseRate-len(free)))
	}
	return nil, nil
}

// count returns how many partitions each replica has, and which ones are free.
func (v *view) count() (owned map[string]int, free []int) {
	owned = map[string]int{}
	for p, lease := range v.leases {
		switch {
		case !v.free[p].IsZero():
			free = append(free, p)
		case lease.Life != v.me:
			owned[lease.Life]++
		}
		if v.held[p] {
			owned[v.me]++
		}
	}
	return owned, free
}

// orphans returns the free partitions that no replica below its share has taken for orphanTime:
// its rounds are answered, but its swaps are lost.
func (v *view) orphans(free []int) (orphans []int) {
	for _, p := range free {
		if v.now.Sub(v.free[p]) >= orphanTime {
			orphans = append(orphans, p)
		}
	}
	return orphans
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

// pickTakes returns up to n of the free partitions. It leaves the first ones to the replicas before
// this one, so that no two take the same. A replica with older settings takes only partitions that
// have been free for deadAfter, which any replica below its share may take.
func (v *view) pickTakes(free []int, n, before int, olderSettings bool) (take []int) {
	for i, p := range free {
		ours := i >= before && !olderSettings
		stale := v.now.Sub(v.free[p]) >= deadAfter
		if len(take) < n && (ours || stale) {
			take = append(take, p)
		}
	}
	return take
}
