package partition

import (
	"maps"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

const (
	// sightTime is how long a beat must be seen unchanged for its replica to be dead. It
	// is longer than graceTime by more than a call takes to begin.
	sightTime = 3 * time.Second
	// unableTime is how long a replica may be without an answer of Graph while another
	// has one that is younger than ableTime.
	unableTime = 10 * time.Second
	ableTime   = 3 * time.Second
	// releaseRate is how many partitions are released in a regular round to share them out.
	releaseRate = 2
)

// share returns how many partitions the replica at a position among n gets, so that
// all shares add up.
func share(n, position int) int {
	if position < ooo.Partitions%n {
		return ooo.Partitions/n + 1
	}
	return ooo.Partitions / n
}

// answeredWithin reports whether Graph answered a replica a short while ago.
func answeredWithin(b store.Beat, d time.Duration) bool {
	return !b.Stopping && b.Answered >= 0 && b.Answered <= d
}

// able returns the replicas that get a share, in the order of their lives: all that are
// not leaving, but those that Graph does not answer while it answers another.
func able(beats map[string]store.Beat) (lives []string) {
	for _, life := range slices.Sorted(maps.Keys(beats)) {
		unable := !answeredWithin(beats[life], unableTime) && anyAnswered(beats, life)
		if !beats[life].Stopping && !unable {
			lives = append(lives, life)
		}
	}
	return lives
}

// anyAnswered reports whether Graph answers any replica but one.
func anyAnswered(beats map[string]store.Beat, but string) bool {
	for life, b := range beats {
		if life != but && answeredWithin(b, ableTime) {
			return true
		}
	}
	return false
}

// view is what a replica knows when it decides what to take and what to release.
type view struct {
	me     string
	now    time.Time
	beats  map[string]store.Beat // of the replicas that count, this one included
	leases [ooo.Partitions]store.Lease
	held   [ooo.Partitions]bool      // owned by this replica and not being released
	free   [ooo.Partitions]time.Time // since when there is no living owner; zero: there is one
	busy   func(p int) bool          // a call is in flight that must not move
}

// plan returns the partitions to take and those to release.
func plan(v view) (take, release []int) {
	lives := able(v.beats)
	owned, free, newest := map[string]int{}, 0, int64(0)
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
	for _, life := range lives {
		newest = max(newest, v.beats[life].Settings)
	}
	lacks := map[string]int{} // how many partitions a replica is below its share
	for i, life := range lives {
		lacks[life] = share(len(lives), i) - owned[life]
	}
	lack, shares := lacks[v.me]
	switch {
	case !shares:
		return nil, v.choose(ooo.Partitions)
	case lack > 0:
		return v.pick(lives, lacks, newest), nil
	case lack < 0 && anyAnswered(v.beats, "") && slices.ContainsFunc(lives, func(life string) bool {
		return lacks[life] > 0 && v.beats[life].Settings == newest
	}):
		return nil, v.choose(min(-lack, releaseRate, 2*releaseRate-free)) // what nobody takes is not added to
	}
	return nil, nil
}

// choose returns up to n partitions to release, the last ones first.
func (v *view) choose(n int) (release []int) {
	for p := ooo.Partitions - 1; p >= 0 && len(release) < n; p-- {
		if v.held[p] && !v.busy(p) {
			release = append(release, p)
		}
	}
	return release
}

// pick returns the free partitions that this replica takes. Each replica below its
// share leaves to those before it what they lack, so that no two reach for the same.
// What nobody took for a while is for all, and alone for those with older settings.
func (v *view) pick(lives []string, lacks map[string]int, newest int64) (take []int) {
	stale := func(p int) bool { return v.now.Sub(v.free[p]) >= sightTime }
	older := v.beats[v.me].Settings < newest
	before := 0 // are for the replicas before this one
	for _, life := range lives[:slices.Index(lives, v.me)] {
		if v.beats[life].Settings == newest {
			before += max(lacks[life], 0)
		}
	}
	for p := range v.free {
		if v.free[p].IsZero() {
			continue
		}
		if before--; len(take) < lacks[v.me] && (stale(p) || before < 0 && !older) {
			take = append(take, p)
		}
	}
	return take
}
