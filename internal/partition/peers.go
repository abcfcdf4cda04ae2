package partition

import (
	"maps"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// peers is what a replica has observed of the others in answered rounds, by its own clock:
// which of them are dead, and which count. What follows from that, and when, see silence.
type peers struct {
	me       string
	table    store.Table // of the last answered round
	beats    map[string]peer
	answered time.Time                 // when the last round was answered
	unbroken time.Time                 // since when every round was answered; zero: the last one failed, or none was sent
	steady   time.Time                 // since when a round was answered at least every graceTime
	free     [ooo.Partitions]time.Time // since when each has no living owner; zero: it has one
	changed  [ooo.Partitions]time.Time // when the lease of each, or the beat of its owner, last changed
	tenures  [ooo.Partitions]int64     // the highest ones observed, whatever Redis lost since
}

// peer is the beat of another replica.
type peer struct {
	store.Beat
	text  string
	first time.Time // when the replica was first observed
	since time.Time // since when the beat is unchanged
}

// observe records the table of an answered round. older means that it may predate the one before.
func (ps *peers) observe(table store.Table, older bool, now time.Time) {
	if older || ps.unbroken.IsZero() {
		ps.unbroken = now
	}
	if older || now.Sub(ps.answered) > graceTime {
		ps.steady = now
	}
	beats := make(map[string]peer, len(table.Beats))
	if older { // a replica that is missing in an older table may be alive
		maps.Copy(beats, ps.beats)
	}
	for life, beat := range table.Beats {
		if life == ps.me {
			continue
		}
		b, known := ps.beats[life]
		if !known {
			b.first = now
		}
		text := table.Field(store.BeatField(life))
		if b.text != text {
			b.since = now
		}
		b.Beat, b.text = beat, text
		beats[life] = b
	}
	if ps.answered.IsZero() && len(beats) == 0 { // the first round found no other replica to wait for
		ps.unbroken = now.Add(-deadAfter)
	}
	for p, lease := range table.Leases {
		ps.tenures[p] = max(ps.tenures[p], lease.Tenure)
		if lease != ps.table.Leases[p] || beats[lease.Life].since.Equal(now) {
			ps.changed[p] = now
		}
	}
	ps.answered, ps.beats, ps.table = now, beats, table
	ps.updateFree(now)
}

// updateFree records since when each partition has no living owner.
func (ps *peers) updateFree(now time.Time) {
	for p, lease := range ps.table.Leases {
		_, hasBeat := ps.beats[lease.Life]
		alive := lease.Life == ps.me || hasBeat && !ps.dead(lease.Life, now)
		if alive {
			ps.free[p] = time.Time{}
		} else if ps.free[p].IsZero() {
			ps.free[p] = now
		}
	}
}

// silence returns how long a beat or a free partition must have been unchanged to conclude that
// nobody is behind it; 0: nothing can be concluded now. While rounds keep failing, but others are
// answered in time to work, it is longer: each failed one may have hidden a change.
func (ps *peers) silence(now time.Time) time.Duration {
	switch {
	case !ps.unbroken.IsZero() && now.Sub(ps.unbroken) >= deadAfter:
		return deadAfter
	case now.Sub(ps.steady) >= deadAfterFailing && now.Sub(ps.answered) <= graceTime:
		return deadAfterFailing
	}
	return 0
}

// dead reports whether the beat of another replica has stopped for so long that the
// replica's deadline is over.
func (ps *peers) dead(life string, now time.Time) bool {
	silence := ps.silence(now)
	return silence > 0 && now.Sub(ps.beats[life].since) >= silence
}

// counted returns the beats of the replicas that count: own, which is that of this replica, and
// those of the others that are alive and were first observed at least deadAfter ago.
func (ps *peers) counted(own store.Beat, now time.Time) map[string]store.Beat {
	beats := map[string]store.Beat{ps.me: own}
	for life, b := range ps.beats {
		if now.Sub(b.first) >= deadAfter && !ps.dead(life, now) {
			beats[life] = b.Beat
		}
	}
	return beats
}

// isOlder reports whether table predates before: a number that only grows is lower.
func isOlder(table, before store.Table) bool {
	for life, b := range before.Beats {
		if now, ok := table.Beats[life]; ok && now.Number < b.Number {
			return true
		}
	}
	for p := range table.Leases {
		if table.Saves[p] < before.Saves[p] || table.Leases[p].Tenure < before.Leases[p].Tenure {
			return true
		}
	}
	return before.Settings != "" && table.Settings == ""
}
