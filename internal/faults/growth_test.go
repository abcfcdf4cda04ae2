package faults_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// growth is how a figure grows while its processes live: the slope that fits best the
// samples of all lives, each of which may be at another level. Only the second half of
// a life counts, because pools of connections fill first.
type growth struct {
	samples          int
	mean             float64
	slope, deviation float64       // an hour; the deviation is that of the slope
	free             int           // degrees of freedom
	longest          time.Duration // of a life, as far as it counts
}

func growthOf(name string, lives []*life) (g growth) {
	var xx, xy, yy float64
	free := -1 // for the slope
	for _, l := range lives {
		half := len(l.figures[name]) / 2
		values, at := l.figures[name][half:], l.at[half:]
		n := float64(len(values))
		if n < 2 {
			continue
		}
		g.longest = max(g.longest, at[len(at)-1].Sub(at[0]))
		var x, y float64
		for i, v := range values {
			x, y = x+at[i].Sub(at[0]).Hours()/n, y+v/n
		}
		for i, v := range values {
			dx, dy := at[i].Sub(at[0]).Hours()-x, v-y
			xx, xy, yy = xx+dx*dx, xy+dx*dy, yy+dy*dy
		}
		g.samples, g.mean, free = g.samples+len(values), g.mean+n*y, free+len(values)-1
	}
	if g.free = free; free > 0 && xx > 0 {
		g.mean /= float64(g.samples)
		g.slope = xy / xx
		g.deviation = math.Sqrt(max(yy-g.slope*xy, 0) / float64(free) / xx)
	}
	return g
}

const (
	flat     = "flat"
	grows    = "GROWS"
	tooShort = "too short to say"
)

// shortest is how long a process must be watched.
const shortest = 2 * time.Minute

// verdict allows 5 % of the mean an hour, and three standard deviations for noise.
func (g growth) verdict() string {
	switch {
	case g.free < 3, g.longest < shortest:
		return tooShort
	case g.slope-3*g.deviation > 0.05*g.mean:
		return grows
	}
	return flat
}

func TestGrowth(t *testing.T) {
	tests := map[string]struct {
		lives, samples int
		perHour        float64
		want           string
	}{
		"a leak is noticed although processes are replaced": {4, 10, 30, grows},
		"noise and another level of each process are none":  {4, 10, 0, flat},
		"a small leak is noticed in a long life":            {1, 600, 12, grows},
		"nothing follows from two lives of four samples":    {2, 4, 100, tooShort},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			var lives []*life
			for range tt.lives {
				l, began, level := &life{}, time.Now(), 40+20*random.Float64()
				for i := range tt.samples {
					at := began.Add(time.Duration(i) * time.Minute)
					l.add(map[string]float64{"heap": level + at.Sub(began).Hours()*tt.perHour + random.NormFloat64()/2})
					l.at[i] = at
				}
				lives = append(lives, l)
			}
			if g := growthOf("heap", lives); g.verdict() != tt.want {
				t.Errorf("%+v: %s, want %s", g, g.verdict(), tt.want)
			}
		})
	}
}
