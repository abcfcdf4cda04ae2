package partition

import (
	"maps"
	"slices"
	"testing"
	"time"

	"outlook-monitor/internal/store"
)

// TestTimes checks what the times of ownership must keep to.
func TestTimes(t *testing.T) {
	for rule, tt := range map[string]struct{ less, more time.Duration }{
		"one round that times out stops no work":         {3 * roundTime, graceTime},
		"the owner has stopped before another one takes": {graceTime + 400*time.Millisecond, deadAfter},
		"so it has when rounds keep failing":             {2 * graceTime, deadAfterFailing},
		"a replica below its share takes before others":  {deadAfterFailing + roundTime, orphanTime},
		"a take-over takes less than 4 s":                {deadAfter + roundTime, 4 * time.Second},
		"a replica that is only pinged is able":          {pingInterval + 3*time.Second, unableTime},
	} {
		if tt.less >= tt.more {
			t.Errorf("%s: %v is not less than %v", rule, tt.less, tt.more)
		}
	}
}

// span returns the partitions in [from, to).
func span(from, to int) (ps []int) {
	for p := from; p < to; p++ {
		ps = append(ps, p)
	}
	return ps
}

func TestPlan(t *testing.T) {
	now := time.Now()
	const long, short = 5 * time.Second, time.Second
	reads, never, late := store.Beat{Settings: 1}, store.Beat{Settings: 1, Answered: -1}, store.Beat{Settings: 1, Answered: 11 * time.Second}
	newer, stopping := store.Beat{Settings: 2}, store.Beat{Settings: 1, Stopping: true}
	none := []int(nil)
	type beats = map[string]store.Beat
	type owned = map[string][]int
	for name, tt := range map[string]struct {
		beats beats         // of all replicas; "b" is this one
		owned owned         // the others are free
		since time.Duration // how long these have been free
		busy  []int
		take  []int
		give  []int
	}{
		"single replica":            {beats{"b": reads}, nil, short, nil, span(0, 64), none},
		"not counted yet":           {beats{"a": reads}, nil, short, nil, none, none},
		"second of three":           {beats{"a": reads, "b": reads, "c": reads}, nil, short, nil, span(22, 43), none},
		"partitions of a dead one":  {beats{"a": reads, "b": reads}, owned{"a": span(0, 22), "b": span(22, 43)}, short, nil, span(53, 64), none},
		"partitions free for long":  {beats{"a": reads, "b": reads}, owned{"a": span(0, 22), "b": span(22, 43)}, long, nil, span(43, 54), none},
		"balanced":                  {beats{"a": reads, "b": reads}, owned{"a": span(0, 32), "b": span(32, 64)}, 0, nil, none, none},
		"above the share":           {beats{"a": reads, "b": reads}, owned{"b": span(0, 64)}, 0, nil, none, []int{63, 62}},
		"above the share by one":    {beats{"a": reads, "b": reads}, owned{"a": span(33, 64), "b": span(0, 33)}, 0, nil, none, []int{32}},
		"busy ones are skipped":     {beats{"a": reads, "b": reads}, owned{"b": span(0, 64)}, 0, span(10, 64), none, []int{9, 8}},
		"released, not taken yet":   {beats{"a": reads, "b": reads}, owned{"b": span(0, 60)}, long, nil, none, none},
		"released, taken by nobody": {beats{"a": reads, "b": reads}, owned{"b": span(0, 60)}, 11 * time.Second, nil, span(60, 64), none},
		"other has older settings":  {beats{"a": reads, "b": newer}, owned{"b": span(0, 64)}, 0, nil, none, none},
		"older settings wait":       {beats{"a": newer, "b": reads}, owned{"a": span(0, 32)}, short, nil, none, none},
		"older settings take later": {beats{"a": newer, "b": reads}, owned{"a": span(0, 32)}, long, nil, span(32, 64), none},
		"leaves older ones nothing": {beats{"a": reads, "b": newer}, nil, short, nil, span(0, 32), none},
		"leaves the needy their":    {beats{"a": reads, "aa": reads, "b": reads}, owned{"a": span(0, 30), "aa": span(30, 43), "b": span(43, 56)}, short, nil, none, none},
		"unable":                    {beats{"a": reads, "b": late}, owned{"a": span(0, 32), "b": span(32, 64)}, 0, []int{32}, none, span(33, 64)},
		"unable since the start":    {beats{"a": reads, "b": never}, nil, short, nil, none, none},
		"the other is unable":       {beats{"a": never, "b": reads}, nil, short, nil, span(0, 64), none},
		"nobody is able, taking":    {beats{"a": never, "b": late}, nil, short, nil, span(32, 64), none},
		"nobody is able, releasing": {beats{"a": never, "b": late}, owned{"b": span(0, 64)}, 0, nil, none, none},
		"stopping, nobody is able":  {beats{"a": stopping, "b": never}, owned{"b": span(32, 64)}, short, nil, span(0, 32), none},
		"the other is stopping":     {beats{"a": stopping, "b": reads}, owned{"a": span(0, 8), "b": span(32, 64)}, short, nil, span(8, 32), none},
	} {
		t.Run(name, func(t *testing.T) {
			v := view{me: "b", now: now, beats: tt.beats, busy: func(p int) bool { return slices.Contains(tt.busy, p) }}
			for p := range v.free {
				v.free[p] = now.Add(-tt.since)
			}
			for life, ps := range tt.owned {
				for _, p := range ps {
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

func TestIsOlder(t *testing.T) {
	fields := map[string]string{"beat:a": "5 0 0 0 0", "lease:3": "a:5", "saves:3": "5", "settings": "1 s"}
	table := store.ParseTable(fields)
	for field, value := range map[string]string{"beat:a": "4 0 0 0 0", "lease:3": ":4", "saves:3": "4", "settings": ""} {
		changed := maps.Clone(fields)
		changed[field] = value
		older := store.ParseTable(changed)
		if !isOlder(older, table) || isOlder(table, older) || isOlder(older, older) {
			t.Errorf("isOlder = %v with the lower %s, %v the other way round", isOlder(older, table), field, isOlder(table, older))
		}
	}
}
