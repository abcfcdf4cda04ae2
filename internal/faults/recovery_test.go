package faults_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// TestRecovery makes Graph or the mediator unavailable until the backoff has reached its
// limit, and checks that they are not overloaded when they return.
func TestRecovery(t *testing.T) {
	outages := map[string]func(*testing.T) (*testbed, string){
		"Graph throttles and returns":      graphRecovers(graphsim.Fault{Operation: "all", Kind: "throttle", RetryAfter: graphsim.Duration(retryAfter)}),
		"the mediator is down and returns": mediatorRecovers,
	}
	if form != "short" {
		outages["Graph answers 503 and returns"] = graphRecovers(graphsim.Fault{Operation: "all", Kind: "status"})
		outages["Graph resets connections and returns"] = graphRecovers(graphsim.Fault{Operation: "all", Kind: "reset"})
	}
	for name, run := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tb, figures := run(t)
			fmt.Println(name + "\n" + figures)
			for _, v := range tb.violations {
				t.Errorf("%s: %s", v.promise, v.what)
			}
		})
	}
}

var (
	// outageTime is the length of the outage. The backoff for the mediator reaches its limit
	// of 60 s after 63 s.
	outageTime = unlessShort(8*time.Second, 100*time.Second)
	retryAfter = unlessShort(5*time.Second, 15*time.Second) // the wait that Graph asks for
)

// graphRecovers ends a fault of Graph. In no second after it may Graph get more calls
// than the reads of two intervals.
func graphRecovers(f graphsim.Fault) func(*testing.T) (*testbed, string) {
	return func(t *testing.T) (*testbed, string) {
		tb := newTestbed(t, threeReplicas("Graph: "+f.Kind))
		if !tb.await("at the start", tb.settled) {
			return tb, ""
		}
		tb.stopLeaver()
		tb.sim.SetFault(f)
		away := perSecond(tb.graphCalls, int(outageTime/time.Second))
		tb.sim.ClearFaults()
		back := perSecond(tb.graphCalls, 6+int(time.Duration(f.RetryAfter)/time.Second))
		tb.awaitQuiet()
		if most := 2 * tb.users; slices.Max(back) > most {
			tb.violate(load, "after the outage Graph got %d calls in a second, want at most %d", slices.Max(back), most)
		}
		normal := tb.users * int(time.Second) / int(interval)
		return tb, fmt.Sprintf("%d users, normally %d reads a second; calls per second\nduring an outage of %v: %v\nafter it: %v\nmost in a second: %d\n",
			tb.users, normal, outageTime, away, back, slices.Max(back))
	}
}

// graphCalls returns how many requests Graph has received. It counts the requests inside
// a $batch, or the $batch itself if Graph refused it. It does not count the listing of
// subscriptions, because the sweep here is ten times as frequent as by default.
func (tb *testbed) graphCalls() (n int) {
	for operation, statuses := range tb.sim.Stats().Calls {
		for status, times := range statuses {
			if operation != "subscription-list" && (operation != "batch" || status != "200") {
				n += int(times)
			}
		}
	}
	return n
}

// mediatorRecovers changes the state of all users during an outage of the mediator. After
// it, no more calls may be in flight than the limits of all replicas allow.
func mediatorRecovers(t *testing.T) (*testbed, string) {
	const concurrency = 8 // DELIVERY_CONCURRENCY
	var inFlight, most atomic.Int64
	p := threeReplicas("the mediator")
	p.onAnswered = func(mediatorsim.Call) { inFlight.Add(-1) }
	tb := newTestbed(t, p)
	tb.mediator.Answer(func(mediatorsim.Call) mediatorsim.Reaction {
		now := inFlight.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		return mediatorsim.Reaction{Delay: 250 * time.Millisecond}
	})
	if !tb.await("at the start", tb.settled) {
		return tb, ""
	}
	tb.stopLeaver()
	tb.mediator.SetDown(true)
	for i, u := range tb.monitored {
		tb.setReplies(u, "alwaysEnabled", i+1, false)
	}
	time.Sleep(outageTime)
	most.Store(0)
	tb.mediator.SetDown(false)
	back := perSecond(func() int { return len(tb.mediator.Calls()) }, min(70, 4+int(outageTime/time.Second)))
	tb.awaitQuiet()
	if bound := int64(concurrency * tb.replicaCount); most.Load() > bound {
		tb.violate(load, "after the outage the mediator got %d calls at once, want at most %d", most.Load(), bound)
	}
	tb.verify(&row{})
	return tb, fmt.Sprintf("%d undelivered states; calls per second\nafter an outage of %v: %v\nmost in a second: %d; most at once: %d of %d\n",
		len(tb.monitored), outageTime, back, slices.Max(back), most.Load(), concurrency*tb.replicaCount)
}

// perSecond returns how much a count grows in each of the following seconds.
func perSecond(count func() int, seconds int) (grown []int) {
	last, next := count(), time.Now()
	for range seconds {
		next = next.Add(time.Second)
		time.Sleep(time.Until(next))
		now := count()
		grown, last = append(grown, now-last), now
	}
	return grown
}
