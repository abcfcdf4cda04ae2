package faults_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// TestReturn lets Graph, and then the mediator, be away for longer than it takes
// the waits to grow to their most, and shows that their return is no storm.
func TestReturn(t *testing.T) {
	outages := map[string]func(*testing.T) (*world, string){
		"Graph asks everybody to wait and returns": graphReturns(graphsim.Fault{Operation: "all", Kind: "throttle", RetryAfter: graphsim.Duration(asked())}),
		"the mediator is away and returns":         mediatorReturns,
	}
	if form != "short" {
		outages["Graph answers 503 and returns"] = graphReturns(graphsim.Fault{Operation: "all", Kind: "status"})
		outages["Graph cuts connections and returns"] = graphReturns(graphsim.Fault{Operation: "all", Kind: "reset"})
	}
	for name, play := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, figures := play(t)
			publish(t, name+"\n"+figures)
			for _, v := range w.violations {
				t.Errorf("%s: %s", v.promise, v.what)
			}
		})
	}
}

// outage is how long somebody is away. The mediator's longest wait, 60 s, is
// reached after 63 s.
func outage() time.Duration {
	if form == "short" {
		return 8 * time.Second
	}
	return 100 * time.Second
}

// asked is how long Graph asks everybody to wait.
func asked() time.Duration {
	if form == "short" {
		return 5 * time.Second
	}
	return 15 * time.Second
}

// returning is a world with users enough for a rate.
func returning(name string) plan {
	p := threeReplicas()
	p.name = name
	return p
}

// graphReturns has Graph go with a fault. When it is back, no second sees more
// calls than two intervals have reads.
func graphReturns(f graphsim.Fault) func(*testing.T) (*world, string) {
	return func(t *testing.T) (*world, string) {
		w := build(t, returning("Graph: "+f.Kind))
		if !w.await("at the start", w.settled) {
			return w, ""
		}
		w.leave()
		counts := newCounts(w.calls)
		counts.sample(1)
		w.fault(f)
		away := counts.sample(int(outage() / time.Second))
		w.sim.ClearFaults()
		back := counts.sample(6 + int(time.Duration(f.RetryAfter)/time.Second))
		w.quiet()
		if most := 2 * w.users; top(back) > most {
			w.violate(politely, "after its return Graph got %d calls in a second, at most %d are right", top(back), most)
		}
		usual := w.users * int(time.Second) / int(interval)
		return w, fmt.Sprintf("%d users, %d reads a second as a rule; calls in each second\nwhile away for %v: %v\nafter its return: %v\nmost in a second: %d\n",
			w.users, usual, outage(), away, back, top(back))
	}
}

// calls is how many requests Graph has got: those inside a $batch count, and the
// $batch itself where Graph did not look inside. The listing of subscriptions,
// which the sweep tries ten times as often here as in life, does not.
func (w *world) calls() (n int) {
	for operation, statuses := range w.sim.Stats().Calls {
		for status, times := range statuses {
			if operation != "subscription-list" && (operation != "batch" || status != "200") {
				n += int(times)
			}
		}
	}
	return n
}

// mediatorReturns has the mediator go while everybody's state changes. When it
// is back, no more calls are open at once than all replicas may have.
func mediatorReturns(t *testing.T) (*world, string) {
	const concurrency = 8 // DELIVERY_CONCURRENCY
	var open, most atomic.Int64
	p := returning("the mediator")
	p.received = func(mediatorsim.Call) { open.Add(-1) }
	w := build(t, p)
	w.mediator.Answer(func(mediatorsim.Call) mediatorsim.Reaction {
		now := open.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		return mediatorsim.Reaction{Delay: 250 * time.Millisecond} // it takes its time
	})
	if !w.await("at the start", w.settled) {
		return w, ""
	}
	w.leave()
	w.mediator.Away(true)
	for i, u := range w.people {
		w.set(u, "alwaysEnabled", i+1, false)
	}
	time.Sleep(outage())
	most.Store(0)
	w.mediator.Away(false)
	counts := newCounts(func() int { return len(w.mediator.Calls()) })
	back := counts.sample(min(70, 4+int(outage()/time.Second)))
	w.quiet()
	if bound := int64(concurrency * w.crew); most.Load() > bound {
		w.violate(politely, "after its return the mediator had %d calls at once, at most %d are right", most.Load(), bound)
	}
	repeated := 0
	acknowledged := map[string]int{}
	for _, call := range w.mediator.Calls() {
		if call.Answered == http.StatusOK {
			if acknowledged[call.WebhookID]++; acknowledged[call.WebhookID] > 1 {
				repeated++
			}
		}
	}
	if repeated > 0 {
		w.violate(quietly, "%d states were told again", repeated)
	}
	return w, fmt.Sprintf("%d states are waiting; calls in each second\nafter %v, on its return: %v\nmost in a second: %d; most at once: %d of %d\n",
		len(w.people), outage(), back, top(back), most.Load(), concurrency*w.crew)
}

// counts tells how a count grows.
type counts struct {
	count func() int
	known int
	next  time.Time
}

func newCounts(count func() int) *counts { return &counts{count, count(), time.Now()} }

// perSecond is by how much a count grew in each of some seconds.
type perSecond []int

func (c *counts) sample(seconds int) (grown perSecond) {
	for range seconds {
		c.next = c.next.Add(time.Second)
		time.Sleep(time.Until(c.next))
		now := c.count()
		grown = append(grown, now-c.known)
		c.known = now
	}
	return grown
}

// String leaves the middle of a long row out.
func (p perSecond) String() string {
	text := strings.Trim(fmt.Sprint([]int(p)), "[]")
	if fields := strings.Fields(text); len(fields) > 40 {
		return fmt.Sprintf("%s … %s", strings.Join(fields[:25], " "), strings.Join(fields[len(fields)-15:], " "))
	}
	return text
}

func top(p perSecond) (most int) {
	for _, n := range p {
		most = max(most, n)
	}
	return most
}
