package bench_test

import (
	"math"
	"net/http"
	"testing"
)

// TestRolesPlayTheirPart keeps what the figures stand on from rotting: it lets
// each role work for a moment.
func TestRolesPlayTheirPart(t *testing.T) {
	w := newWorld(t, plan{users: 40})
	for name, http1 := range map[string]bool{"HTTP/2": false, "HTTP/1.1": true} {
		w.graph.resetStats()
		var result floorResult
		order := floorOrder{Graph: w.graph.graphPlace, IDs: ids(w.graph.users), Lanes: 2, HTTP1: http1, Rate: 400, Seconds: 0.5}
		cast(t, "read floor", order, &result).end()
		if seen := reads(w.graph.stats()); result.Reads == 0 || result.Reads != seen || result.CPU <= 0 {
			t.Errorf("%s: the floor says %v reads and %v s of CPU, want the %v that Graph saw", name, result.Reads, result.CPU, seen)
		}
	}
	notices := noticesOf(w.graph.users)
	for _, role := range []string{"inbox", "inbox floor"} {
		in := startInbox(t, role, inboxOrder{w.redisURL, addresses(w.graph)})
		if status := post(in.url, collection(notices)); status != http.StatusAccepted {
			t.Errorf("%s: status = %d, want 202", role, status)
		}
		if status := post(in.url, []byte("no collection")); status != http.StatusBadRequest {
			t.Errorf("%s: status of nonsense = %d, want 400", role, status)
		}
	}
	if took, err := w.newChain().once(0); err != nil || took <= 0 {
		t.Errorf("round trips = %v ms, %v, want some", took, err)
	}
}

func TestQuantiles(t *testing.T) {
	tests := map[string]struct {
		all  []float64
		q    float64
		want float64
	}{
		"none has none":                     {nil, 0.5, 0},
		"of one it is that one":             {[]float64{7}, 0.99, 7},
		"the middle of an odd number":       {[]float64{3, 1, 2}, 0.5, 2},
		"the lower middle of an even one":   {[]float64{4, 3, 2, 1}, 0.5, 2},
		"all of them":                       {[]float64{2, 9, 4}, 1, 9},
		"none of them is still the least":   {[]float64{2, 9, 4}, 0, 2},
		"ninety-nine of a hundred and more": {[]float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 5}, 0.9, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := quantile(tt.all, tt.q); got != tt.want {
				t.Errorf("quantile = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestExponents(t *testing.T) {
	x := []float64{100, 1000, 26000}
	for name, want := range map[string]float64{"linear growth": 1, "growth by the square": 2, "no growth": 0} {
		t.Run(name, func(t *testing.T) {
			var y []float64
			for _, v := range x {
				y = append(y, 3*math.Pow(v, want))
			}
			if got := exponent(x, y); math.Abs(got-want) > 1e-9 {
				t.Errorf("exponent = %v, want %v", got, want)
			}
		})
	}
}
