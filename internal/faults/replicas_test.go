package faults_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

const interval = 2 * time.Second // POLL_INTERVAL

// TestReplicas runs three replicas and takes one away, in several ways. What was
// read, and the longest that any mailbox went unread, is Graph's own count.
func TestReplicas(t *testing.T) {
	t.Parallel()
	w := build(t, threeReplicas())
	publish(t, w.shareWork())
	for _, v := range w.violations {
		t.Errorf("%s: %s", v.promise, v.what)
	}
}

// threeReplicas is three of them with users enough for a rate.
func threeReplicas() plan {
	p := plan{seed: seed, name: "replicas", users: 30, crew: 3}
	if form != "short" {
		p.users = 150
	}
	return p
}

// Longest times that a mailbox may go unread. They are measured on machines that
// do other things too, so the short form only shows them.
const (
	mostWhileRolling = interval + 300*time.Millisecond
	mostAfterKill    = 3*interval + 500*time.Millisecond
	slack            = interval / 4 // of Graph's clock, of ours, of the machine
)

// shareWork goes through the scenes and returns their figures.
func (w *world) shareWork() (figures string) {
	w.t.Helper()
	if !w.await("at the start", w.settled) {
		return ""
	}
	w.leave()
	var b strings.Builder
	fmt.Fprintf(&b, "three replicas, %d users, read every %v, by Graph's own count\n", w.users, interval)
	b.WriteString("scene                            reads  announced  others: a user and interval  gap p50   gap p99  longest gap  each replica's reads\n")
	w.scene(&b, "at rest", 0, func() { w.rounds(3, 15) })
	w.evenly()

	s := newStream(w, w.name)
	s.people = w.people
	ctx, stop := context.WithCancel(context.Background())
	var changing sync.WaitGroup
	changing.Go(func() { s.run(ctx) })
	w.scene(&b, "rolling restart, with changes", mostWhileRolling, func() {
		for _, r := range w.replicas {
			w.terminate(r)
			r.start()
			w.await("after a restart", r.ready)
			w.rounds(1, 4)
		}
	})
	w.scene(&b, "kill -9 of one, with changes", mostAfterKill, func() {
		w.slowReads(300 * time.Millisecond) // so that it has some in hand
		w.rounds(1, 2)
		w.crash(w.replicas[1])
		w.rounds(4, 8)
		w.sim.ClearFaults()
	})
	w.scene(&b, "two are left", mostWhileRolling, func() { w.rounds(1, 10) })
	w.scene(&b, "it comes back", mostWhileRolling, func() {
		w.revive()
		w.await("after its return", w.replicas[1].ready)
		w.rounds(1, 10)
	})
	others := w.replicas[1:]
	w.scene(&b, "three become one", mostWhileRolling, func() {
		for _, r := range others {
			w.terminate(r)
		}
		w.rounds(1, 6)
	})
	w.scene(&b, "one becomes three", mostWhileRolling, func() {
		for _, r := range others {
			r.start()
		}
		for _, r := range others {
			w.await("after a start", r.ready)
		}
		w.rounds(1, 12)
	})
	stop()
	changing.Wait()
	w.quiet()
	return b.String()
}

// rounds lets some intervals pass: more where figures are asked for.
func (w *world) rounds(short, longer int) {
	if form != "short" {
		short = longer
	}
	time.Sleep(time.Duration(short) * interval)
}

// scene counts what is read while play goes on. No mailbox may go unread for
// longer than most; 0 stands for any time.
func (w *world) scene(b *strings.Builder, name string, most time.Duration, play func()) {
	w.t.Helper()
	before := w.readsOfEach()
	w.sim.ResetStats()
	began := time.Now()
	play()
	took := time.Since(began)
	// A mailbox whose read is overdue just now counts as soon as it comes.
	w.await("after "+name, func() bool { return w.allReadSince(began.Add(took)) })
	stats := w.sim.Stats()
	reads := stats.Calls["read"]["200"]
	rounds := float64(time.Since(began)) / float64(interval)
	each := w.readsOfEach()
	for i := range each {
		if each[i] -= before[i]; each[i] < 0 { // it began anew
			each[i] += before[i]
		}
	}
	ms := func(n int64) string { return fmt.Sprintf("%.3f s", float64(n)/1000) }
	announced := stats.Notifications.Items // each causes a read beside the regular ones
	fmt.Fprintf(b, "%-30s %7d %10d %28.2f %8s %9s %12s  %v\n", name, reads, announced, float64(reads-announced)/float64(w.users)/rounds,
		ms(stats.ReadGaps.P50), ms(stats.ReadGaps.P99), ms(stats.ReadGaps.Max), each)
	if longest := time.Duration(stats.ReadGaps.Max) * time.Millisecond; form != "short" && most > 0 && longest > most+slack {
		w.violate(punctual, "%s: a mailbox was not read for %v, at most %v is promised", name, longest, most)
	}
}

// evenly looks, while nothing is announced, whether each user is read once in an
// interval by all replicas together.
func (w *world) evenly() {
	w.t.Helper()
	w.sim.ResetStats()
	began := time.Now()
	w.rounds(3, 8)
	reads := w.sim.Stats().Calls["read"]["200"]
	rounds := int64(time.Since(began)/interval) + 1
	if most := rounds * int64(w.users); reads > most {
		w.violate(punctual, "in less than %d intervals %d mailboxes were read %d times, at most %d are due", rounds, w.users, reads, most)
	}
}

// allReadSince reports whether the program has read every mailbox since then.
func (w *world) allReadSince(then time.Time) bool {
	users, err := w.list()
	if err != nil {
		return false
	}
	read := map[string]bool{}
	for _, u := range users {
		read[u.ID] = !u.CheckedAt.Before(then)
	}
	return !slices.ContainsFunc(w.people, func(u graphsim.User) bool { return !read[u.ID] })
}

// readsOfEach is how many mailboxes each replica has read since it began, by its
// metrics; 0 for one that is not there.
func (w *world) readsOfEach() []int {
	each := make([]int, len(w.replicas))
	for i, r := range w.replicas {
		response, err := client.Get("http://" + r.addr + "/metrics")
		if err != nil {
			continue
		}
		if response.StatusCode == http.StatusOK {
			each[i] = sum(response, "outlook_monitor_reads_total{")
		}
		_ = response.Body.Close()
	}
	return each
}

// sum adds up what a metric has come to under all its labels.
func sum(metrics *http.Response, name string) (total int) {
	lines := bufio.NewScanner(metrics.Body)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), name) {
			continue
		}
		fields := strings.Fields(lines.Text())
		if value, err := strconv.ParseFloat(fields[len(fields)-1], 64); err == nil {
			total += int(value)
		}
	}
	return total
}
