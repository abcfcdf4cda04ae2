package partition

import (
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// peers is what a replica has observed of the others in answered rounds, by its own clock:
// which of them are dead, and which count. A failed round restarts all observations.
type peers struct {
	me       string
	table    store.Owners // of the last answered round
	beats    map[string]peer
	unbroken time.Time // since when every round was answered; zero: the last one failed
	begun    time.Time // first answered round; zero: none yet
	free     [ooo.Partitions]time.Time
	tenures  [ooo.Partitions]int64 // the highest ones observed, whatever Redis lost since
}

// peer is the beat of another replica.
type peer struct {
	store.Beat
	text  string
	first time.Time // when the replica was first observed
	since time.Time // since when the beat is unchanged
}

// fail records a round without an answer.
func (s *peers) fail() { s.unbroken = time.Time{} }

// observe records the table of an answered round. If the table may be older than the one
// before, all observations restart.
func (s *peers) observe(table store.Owners, older bool, now time.Time) {
	restart := older || s.unbroken.IsZero()
	if s.begun.IsZero() {
		s.begun = now
	}
	if restart {
		s.unbroken = now
	}
	beats := make(map[string]peer, len(table.Beats))
	for life, beat := range table.Beats {
		if life == s.me {
			continue
		}
		b, known := s.beats[life]
		if !known {
			b.first = now
		}
		text := table.Field(store.BeatField(life))
		if !known || restart || b.text != text {
			b.since = now
		}
		b.Beat, b.text = beat, text
		beats[life] = b
	}
	if older { // a replica that is missing in an older table may be alive
		for life, b := range s.beats {
			if _, ok := beats[life]; !ok {
				b.since = now
				beats[life] = b
			}
		}
	}
	if s.table.Beats == nil && len(beats) == 0 { // the first round found no other replica to wait for
		s.begun, s.unbroken = now.Add(-deadAfter), now.Add(-deadAfter)
	}
	s.beats, s.table = beats, table
	for p, lease := range table.Leases {
		s.tenures[p] = max(s.tenures[p], lease.Tenure, table.Saves[p])
	}
	s.updateFree(restart, now)
}

// updateFree records since when each partition has no living owner.
func (s *peers) updateFree(restart bool, now time.Time) {
	for p, lease := range s.table.Leases {
		_, beats := s.beats[lease.Life]
		switch {
		case lease.Life == s.me, beats && !s.dead(lease.Life, now):
			s.free[p] = time.Time{}
		case restart || s.free[p].IsZero():
			s.free[p] = now
		}
	}
}

// settled reports whether every round was answered for long enough to take partitions.
func (s *peers) settled(now time.Time) bool {
	return !s.unbroken.IsZero() && now.Sub(s.unbroken) >= deadAfter
}

// dead reports whether the beat of another replica has stopped for so long that the
// replica's deadline is over.
func (s *peers) dead(life string, now time.Time) bool {
	return s.settled(now) && now.Sub(s.beats[life].since) >= deadAfter
}

// counted returns the beats of the replicas that count: those that are alive and were first
// observed at least deadAfter ago. own is the beat of this replica.
func (s *peers) counted(own store.Beat, now time.Time) map[string]store.Beat {
	beats := map[string]store.Beat{}
	if !s.begun.IsZero() && now.Sub(s.begun) >= deadAfter {
		beats[s.me] = own
	}
	for life, b := range s.beats {
		if now.Sub(b.first) >= deadAfter && !s.dead(life, now) {
			beats[life] = b.Beat
		}
	}
	return beats
}

// next returns the time until the first of the observations reaches deadAfter, or 0 if all
// have.
func (s *peers) next(now time.Time) (next time.Duration) {
	consider := func(since time.Time) {
		if left := since.Add(deadAfter).Sub(now); !since.IsZero() && left > 0 && (next == 0 || left < next) {
			next = left
		}
	}
	consider(s.unbroken)
	consider(s.begun)
	for _, b := range s.beats {
		consider(b.since)
		consider(b.first)
	}
	for _, since := range s.free {
		consider(since)
	}
	return next
}

// isOlder reports whether table predates before: a number that only grows is lower.
func isOlder(table, before store.Owners) bool {
	for life, b := range before.Beats {
		if now, ok := table.Beats[life]; ok && now.Number < b.Number {
			return true
		}
	}
	for p := range table.Leases {
		lease := table.Leases[p]
		if table.Saves[p] < before.Saves[p] || lease.Tenure < before.Leases[p].Tenure && lease.Life != "" {
			return true
		}
	}
	return before.Settings != "" && table.Settings == ""
}
