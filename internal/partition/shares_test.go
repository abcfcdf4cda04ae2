package partition

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

func TestSharesAddUp(t *testing.T) {
	for n := 1; n <= 2*ooo.Partitions; n++ {
		sum := 0
		for i := range n {
			sum += share(n, i)
			if got := share(n, i); got < ooo.Partitions/n || got > ooo.Partitions/n+1 {
				t.Errorf("share %d of %d = %d", i, n, got)
			}
		}
		if sum != ooo.Partitions {
			t.Errorf("%d shares add up to %d", n, sum)
		}
	}
}

// upTo returns the partitions of a range.
func upTo(from, to int) (ps []int) {
	for p := from; p < to; p++ {
		ps = append(ps, p)
	}
	return ps
}

func TestPlan(t *testing.T) {
	now := time.Now()
	const long, short = 5 * time.Second, time.Second
	reads, never, late := store.Beat{Settings: 1}, store.Beat{Settings: 1, Answered: -1}, store.Beat{Settings: 1, Answered: 11 * time.Second}
	newer, leaving := store.Beat{Settings: 2}, store.Beat{Settings: 1, Stopping: true}
	none := []int(nil)
	tests := map[string]struct {
		beats map[string]store.Beat // "b" decides
		owned map[string][]int      // the rest is free
		since time.Duration         // how long it is free
		busy  []int
		take  []int
		give  []int
	}{
		"alone":                                {map[string]store.Beat{"b": reads}, nil, short, nil, upTo(0, 64), none},
		"not counted yet":                      {map[string]store.Beat{"a": reads}, nil, short, nil, none, none},
		"the second of three":                  {map[string]store.Beat{"a": reads, "b": reads, "c": reads}, nil, short, nil, upTo(22, 43), none},
		"what one of the dead had":             {map[string]store.Beat{"a": reads, "b": reads}, map[string][]int{"a": upTo(0, 22), "b": upTo(22, 43)}, short, nil, upTo(53, 64), none},
		"what nobody took for long is for all": {map[string]store.Beat{"a": reads, "b": reads}, map[string][]int{"a": upTo(0, 22), "b": upTo(22, 43)}, long, nil, upTo(43, 54), none},
		"everybody has a share":                {map[string]store.Beat{"a": reads, "b": reads}, map[string][]int{"a": upTo(0, 32), "b": upTo(32, 64)}, 0, nil, none, none},
		"above its share":                      {map[string]store.Beat{"a": reads, "b": reads}, map[string][]int{"b": upTo(0, 64)}, 0, nil, none, []int{63, 62}},
		"above it by one":                      {map[string]store.Beat{"a": reads, "b": reads}, map[string][]int{"a": upTo(33, 64), "b": upTo(0, 33)}, 0, nil, none, []int{32}},
		"some are busy":                        {map[string]store.Beat{"a": reads, "b": reads}, map[string][]int{"b": upTo(0, 64)}, 0, upTo(10, 64), none, []int{9, 8}},
		"what was released is not taken":       {map[string]store.Beat{"a": reads, "b": reads}, map[string][]int{"b": upTo(0, 60)}, long, nil, none, none},
		"the other one has older settings":     {map[string]store.Beat{"a": reads, "b": newer}, map[string][]int{"b": upTo(0, 64)}, 0, nil, none, none},
		"older settings take nothing":          {map[string]store.Beat{"a": newer, "b": reads}, map[string][]int{"a": upTo(0, 32)}, short, nil, none, none},
		"older settings take what is left":     {map[string]store.Beat{"a": newer, "b": reads}, map[string][]int{"a": upTo(0, 32)}, long, nil, upTo(32, 64), none},
		"nothing is kept for older settings":   {map[string]store.Beat{"a": reads, "b": newer}, nil, short, nil, upTo(0, 32), none},
		"unable":                               {map[string]store.Beat{"a": reads, "b": late}, map[string][]int{"a": upTo(0, 32), "b": upTo(32, 64)}, 0, []int{40}, none, slices.DeleteFunc(upTo(32, 64), func(p int) bool { return p == 40 })},
		"unable since its start":               {map[string]store.Beat{"a": reads, "b": never}, nil, short, nil, none, none},
		"another one is unable":                {map[string]store.Beat{"a": never, "b": reads}, nil, short, nil, upTo(0, 64), none},
		"nobody is able, taking":               {map[string]store.Beat{"a": never, "b": late}, nil, short, nil, upTo(32, 64), none},
		"nobody is able, releasing":            {map[string]store.Beat{"a": never, "b": late}, map[string][]int{"b": upTo(0, 64)}, 0, nil, none, none},
		"another one leaves":                   {map[string]store.Beat{"a": leaving, "b": reads}, map[string][]int{"a": upTo(0, 8), "b": upTo(32, 64)}, short, nil, upTo(8, 32), none},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := view{me: "b", now: now, beats: tt.beats, busy: func(p int) bool { return slices.Contains(tt.busy, p) }}
			for p := range v.free {
				v.free[p] = now.Add(-tt.since)
			}
			for life, owned := range tt.owned {
				for _, p := range owned {
					v.leases[p], v.free[p], v.held[p] = store.Lease{Life: life, Tenure: 1}, time.Time{}, life == "b"
				}
			}
			take, release := plan(v)
			slices.Sort(tt.give)
			slices.Sort(release)
			if !slices.Equal(take, tt.take) || !slices.Equal(release, tt.give) {
				t.Errorf("plan = take %v, release %v, want %v, %v", take, release, tt.take, tt.give)
			}
		})
	}
}

// TestPeerDeath tells when another replica is dead, by what was seen of its beat.
func TestPeerDeath(t *testing.T) {
	began := time.Now()
	type round struct {
		at   time.Duration // of the answer, or of the failure
		beat int64         // 0: there is none; -1: the round failed; -2: an older table without a beat
	}
	tests := map[string]struct {
		rounds []round
		dead   time.Duration // 0: not
	}{
		"beats":                         {[]round{{0, 1}, {800, 2}, {1600, 3}, {2400, 4}}, 5400},
		"stands still":                  {[]round{{0, 1}, {800, 1}, {1600, 1}, {2400, 1}}, 3000},
		"a round failed":                {[]round{{0, 1}, {800, 1}, {1600, -1}, {2400, 1}}, 5400},
		"the last round failed":         {[]round{{0, 1}, {800, 1}, {2400, -1}}, 0},
		"the table is older":            {[]round{{0, 1}, {800, 1}, {1600, -2}, {2400, 1}}, 4600},
		"comes and goes and comes back": {[]round{{0, 1}, {800, 0}, {1600, 1}}, 4600},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := peers{me: "me"}
			for _, r := range tt.rounds {
				now := began.Add(r.at * time.Millisecond)
				fields := map[string]string{store.BeatField("me"): store.Beat{Number: 1}.String()}
				if r.beat > 0 {
					fields[store.BeatField("it")] = store.Beat{Number: r.beat}.String()
				}
				if r.beat == -1 {
					s.fail()
				} else {
					s.observe(store.ParseOwners(fields), r.beat == -2, now)
				}
			}
			dead := time.Duration(0)
			for at := tt.rounds[len(tt.rounds)-1].at; at < 20000 && dead == 0; at += 100 {
				if s.dead("it", began.Add(at*time.Millisecond)) {
					dead = at
				}
			}
			if dead != tt.dead {
				t.Errorf("dead after %d ms, want %d", dead, tt.dead)
			}
		})
	}
}

func TestAnOlderTable(t *testing.T) {
	table := func(number, tenure, saves int64, settings string) store.Owners {
		return store.ParseOwners(map[string]string{
			store.BeatField("a"): store.Beat{Number: number}.String(), store.LeaseField(3): fmt.Sprintf("a:%d", tenure),
			store.SavesField(3): fmt.Sprint(saves), store.FieldSettings: settings,
		})
	}
	before := table(5, 5, 5, "1 s")
	for _, tt := range []struct {
		name  string
		table store.Owners
		want  bool
	}{
		{"the same", before, false},
		{"a later one", table(6, 7, 8, "2 s"), false},
		{"a beat", table(4, 5, 5, "1 s"), true},
		{"a tenure", table(5, 4, 5, "1 s"), true},
		{"saves", table(5, 5, 4, "1 s"), true},
		{"settings", table(5, 5, 5, ""), true},
		{"empty", store.ParseOwners(nil), true},
	} {
		if got := isOlder(tt.table, before); got != tt.want {
			t.Errorf("%s: isOlder = %v, want %v", tt.name, got, tt.want)
		}
	}
}
