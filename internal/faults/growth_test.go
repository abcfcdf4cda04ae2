package faults_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// growth is a linear fit of a figure over time: one slope for all processes, each of
// which may have another level. Only the second half of a process's samples counts,
// because connection pools fill up first.
type growth struct {
	samples       int
	mean          float64
	slope, stderr float64       // per hour; stderr is the standard error of the slope
	freedom       int           // degrees of freedom
	longest       time.Duration // span of the samples of a process that count
}

func fitGrowth(name string, processes []*samples) (g growth) {
	var xx, xy, yy float64
	freedom := -1 // for the slope
	for _, p := range processes {
		half := len(p.values[name]) / 2
		values, at := p.values[name][half:], p.times[half:]
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
		g.samples, g.mean, freedom = g.samples+len(values), g.mean+n*y, freedom+len(values)-1
	}
	if g.freedom = freedom; freedom > 0 && xx > 0 {
		g.mean /= float64(g.samples)
		g.slope = xy / xx
		g.stderr = math.Sqrt(max(yy-g.slope*xy, 0) / float64(freedom) / xx)
	}
	return g
}

const (
	flat     = "flat"
	grows    = "GROWS"
	tooShort = "too short to say"
)

const minWatched = 2 * time.Minute // of one process at least

// verdict tolerates 5 % of the mean per hour, and three standard errors of noise.
func (g growth) verdict() string {
	switch {
	case g.freedom < 3, g.longest < minWatched:
		return tooShort
	case g.slope-3*g.stderr > 0.05*g.mean:
		return grows
	}
	return flat
}

func TestGrowth(t *testing.T) {
	for name, tt := range map[string]struct {
		processes, samples int
		perHour            float64
		want               string
	}{
		"leak across replaced processes":  {4, 10, 30, grows},
		"noise and different levels":      {4, 10, 0, flat},
		"small leak in a long process":    {1, 600, 12, grows},
		"two processes with four samples": {2, 4, 100, tooShort},
	} {
		random := rand.New(rand.NewPCG(1, 2))
		var processes []*samples
		for range tt.processes {
			p, began, level := &samples{}, time.Now(), 40+20*random.Float64()
			for i := range tt.samples {
				at := began.Add(time.Duration(i) * time.Minute)
				p.add(map[string]float64{"heap": level + at.Sub(began).Hours()*tt.perHour + random.NormFloat64()/2})
				p.times[i] = at
			}
			processes = append(processes, p)
		}
		if g := fitGrowth("heap", processes); g.verdict() != tt.want {
			t.Errorf("%s: %+v: %s, want %s", name, g, g.verdict(), tt.want)
		}
	}
}
