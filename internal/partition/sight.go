package partition

import (
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// sight is what a replica saw of the others, by its own clock and in answered rounds
// only: who is dead, and who counts. A failed round starts all of it again.
type sight struct {
	me       string
	table    store.Owners // of the last answered round
	beats    map[string]seen
	unbroken time.Time // since when all rounds are answered; zero: the last one was not
	begun    time.Time // the first answered round; zero: none yet
	free     [ooo.Partitions]time.Time
	tenures  [ooo.Partitions]int64 // the latest ones, whatever came back since
}

// seen is a beat of another replica.
type seen struct {
	store.Beat
	text  string
	first time.Time // it was seen at all
	since time.Time // it is unchanged
}

// fail notes a round without an answer.
func (s *sight) fail() { s.unbroken = time.Time{} }

// note notes the table of an answered round. If it is older than what was known before,
// the counts start again.
func (s *sight) note(table store.Owners, older bool, now time.Time) {
	again := older || s.unbroken.IsZero()
	if s.begun.IsZero() {
		s.begun = now
	}
	if again {
		s.unbroken = now
	}
	beats := make(map[string]seen, len(table.Beats))
	for life, beat := range table.Beats {
		if life == s.me {
			continue
		}
		was, known := s.beats[life]
		if !known {
			was.first = now
		}
		text := table.Field(store.BeatField(life))
		if !known || again || was.text != text {
			was.since = now
		}
		was.Beat, was.text = beat, text
		beats[life] = was
	}
	if older { // who is not in an older table is not gone
		for life, was := range s.beats {
			if _, there := beats[life]; !there {
				was.since = now
				beats[life] = was
			}
		}
	}
	if s.table.Beats == nil && len(beats) == 0 { // nobody who would have to be waited for
		s.begun, s.unbroken = now.Add(-sightTime), now.Add(-sightTime)
	}
	s.beats, s.table = beats, table
	for p, lease := range table.Leases {
		s.tenures[p] = max(s.tenures[p], lease.Tenure, table.Saves[p])
	}
	s.refresh(again, now)
}

// refresh notes since when each partition has no living owner.
func (s *sight) refresh(again bool, now time.Time) {
	for p, lease := range s.table.Leases {
		_, beats := s.beats[lease.Life]
		switch {
		case lease.Life == s.me, beats && !s.dead(lease.Life, now):
			s.free[p] = time.Time{}
		case again || s.free[p].IsZero():
			s.free[p] = now
		}
	}
}

// settled reports whether the counts have run long enough to take what is free.
func (s *sight) settled(now time.Time) bool {
	return !s.unbroken.IsZero() && now.Sub(s.unbroken) >= sightTime
}

// dead reports whether another replica's beat stands still. A deadline of its owner that
// was set before is over then.
func (s *sight) dead(life string, now time.Time) bool {
	return s.settled(now) && now.Sub(s.beats[life].since) >= sightTime
}

// counted returns the beats of the replicas that count: living, and not new.
func (s *sight) counted(mine store.Beat, now time.Time) map[string]store.Beat {
	beats := map[string]store.Beat{}
	if !s.begun.IsZero() && now.Sub(s.begun) >= sightTime {
		beats[s.me] = mine
	}
	for life, b := range s.beats {
		if now.Sub(b.first) >= sightTime && !s.dead(life, now) {
			beats[life] = b.Beat
		}
	}
	return beats
}

// next returns how long the first of the counts still runs; 0: none does.
func (s *sight) next(now time.Time) (next time.Duration) {
	ends := func(since time.Time) {
		if left := since.Add(sightTime).Sub(now); !since.IsZero() && left > 0 && (next == 0 || left < next) {
			next = left
		}
	}
	ends(s.unbroken)
	ends(s.begun)
	for _, b := range s.beats {
		ends(b.since)
		ends(b.first)
	}
	for _, since := range s.free {
		ends(since)
	}
	return next
}

// isOlder reports whether a table is from before another one: a number that only grows is
// lower.
func isOlder(table, before store.Owners) bool {
	for life, b := range before.Beats {
		if now, there := table.Beats[life]; there && now.Number < b.Number {
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
