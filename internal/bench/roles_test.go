package bench_test

import (
	"net/http"
	"testing"
)

// TestRoles checks that the roles of the benchmarks still work.
func TestRoles(t *testing.T) {
	tb := newTestbed(t, config{users: 40})
	for name, http1 := range map[string]bool{"HTTP/2": false, "HTTP/1.1": true} {
		tb.graph.resetStats()
		var result floorResult
		params := floorParams{Graph: tb.graph.graphInfo, IDs: ids(tb.graph.users), HTTP1: http1, Rate: 400, Seconds: 0.5}
		startRole(t, "read floor", params, &result).Stop()
		if seen := reads(tb.graph.stats()); result.Reads == 0 || result.Reads != seen || result.CPU <= 0 {
			t.Errorf("%s: the floor reports %v reads and %v s of CPU, Graph %v reads", name, result.Reads, result.CPU, seen)
		}
	}
	notifications := notificationItems(tb.graph.users)
	for _, role := range []string{"inbox", "inbox floor"} {
		in := startInbox(t, role, tb.redisURL)
		if err := post(in.url, collection(notifications), http.StatusAccepted); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		if err := post(in.url, []byte("no collection"), http.StatusBadRequest); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
	if took, err := tb.floorChain()(0); err != nil || took <= 0 {
		t.Errorf("round trips = %v ms, %v, want more than 0", took, err)
	}
}

func TestQuantile(t *testing.T) {
	for name, tt := range map[string]struct {
		all     []float64
		q, want float64
	}{
		"empty":                          {nil, 0.5, 0},
		"lower median of an even number": {[]float64{4, 3, 2, 1}, 0.5, 2},
		"maximum":                        {[]float64{2, 9, 4}, 1, 9},
		"minimum":                        {[]float64{2, 9, 4}, 0, 2},
		"p90":                            {[]float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 5}, 0.9, 1},
	} {
		if got := quantile(tt.all, tt.q); got != tt.want {
			t.Errorf("%s: quantile = %v, want %v", name, got, tt.want)
		}
	}
}
