package faults_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

const interval = 2 * time.Second // POLL_INTERVAL

// TestReplicas stops, kills and restarts replicas. Graph counts the reads and the longest
// time between two reads of a mailbox.
func TestReplicas(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, threeReplicas("replicas"))
	fmt.Println(tb.runSteps())
	for _, v := range tb.violations {
		t.Errorf("%s: %s", v.promise, v.what)
	}
}

// threeReplicas configures three replicas, with enough users to measure rates.
func threeReplicas(name string) config {
	return config{cell: cell{name: name, users: unlessShort(30, 150)}, seed: seed, replicaCount: 3}
}

// The longest time that a mailbox may go unread. The short form only reports it, because
// it also runs on busy machines.
const (
	maxGapRolling   = interval + 300*time.Millisecond
	maxGapAfterKill = 3*interval + 500*time.Millisecond
	slack           = interval / 4 // for timing on the test machine
)

// runSteps runs the steps and returns a table of their figures.
func (tb *testbed) runSteps() (figures string) {
	tb.t.Helper()
	if !tb.await("at the start", tb.settled) {
		return ""
	}
	tb.stopLeaver()
	var b strings.Builder
	fmt.Fprintf(&b, "three replicas, %d users, read every %v, counted by Graph\n", tb.users, interval)
	b.WriteString("step                             reads   notified  polls per user and interval  gap p50   gap p99  longest gap  reads by replica\n")
	tb.step(&b, "idle", 0, func() { tb.waitIntervals(3, 15) })
	tb.verifyReadRate()

	s := newStream(tb)
	s.candidates = tb.monitored
	ctx, stop := context.WithCancel(context.Background())
	var changing sync.WaitGroup
	changing.Go(func() { s.run(ctx) })
	tb.step(&b, "rolling restart, with changes", maxGapRolling, func() {
		for _, r := range tb.replicas {
			tb.terminate(r)
			r.start()
			tb.await("after a restart", r.ready)
			tb.waitIntervals(1, 4)
		}
	})
	tb.step(&b, "kill -9 of one, with changes", maxGapAfterKill, func() {
		tb.slowReads(300 * time.Millisecond) // so that some reads are in flight
		tb.waitIntervals(1, 2)
		tb.crash(tb.replicas[1])
		tb.waitIntervals(4, 8)
		tb.sim.ClearFaults()
	})
	tb.step(&b, "two replicas", maxGapRolling, func() { tb.waitIntervals(1, 10) })
	tb.step(&b, "two become three", maxGapRolling, func() {
		tb.restartDead()
		tb.await("after the restart", tb.replicas[1].ready)
		tb.waitIntervals(1, 10)
	})
	others := tb.replicas[1:]
	tb.step(&b, "three become one", maxGapRolling, func() {
		for _, r := range others {
			tb.terminate(r)
		}
		tb.waitIntervals(1, 6)
	})
	tb.step(&b, "one becomes three", maxGapRolling, func() {
		for _, r := range others {
			r.start()
		}
		for _, r := range others {
			tb.await("after a start", r.ready)
		}
		tb.waitIntervals(1, 12)
	})
	stop()
	changing.Wait()
	tb.awaitQuiet()
	return b.String()
}

// waitIntervals waits for a number of poll intervals: longer outside the short form.
func (tb *testbed) waitIntervals(short, longer int) {
	time.Sleep(time.Duration(unlessShort(short, longer)) * interval)
}

// step counts the reads during a step. No mailbox may go unread for longer than most, if
// that is not 0.
func (tb *testbed) step(b *strings.Builder, name string, most time.Duration, run func()) {
	tb.t.Helper()
	before := tb.readsByReplica()
	tb.sim.ResetStats()
	began := time.Now()
	run()
	ended := time.Now()
	// Graph counts a gap only when the next read ends it.
	tb.await("after "+name, func() bool { return tb.allReadSince(ended) })
	stats := tb.sim.Stats()
	reads := stats.Calls["read"]["200"]
	intervals := float64(time.Since(began)) / float64(interval)
	byReplica := tb.readsByReplica()
	for i := range byReplica {
		if byReplica[i] -= before[i]; byReplica[i] < 0 { // the replica was restarted
			byReplica[i] += before[i]
		}
	}
	seconds := func(ms int64) string { return fmt.Sprintf("%.3f s", float64(ms)/1000) }
	notified := stats.Notifications.Items // each causes an additional read
	fmt.Fprintf(b, "%-30s %7d %10d %28.2f %8s %9s %12s  %v\n", name, reads, notified, float64(reads-notified)/float64(tb.users)/intervals,
		seconds(stats.ReadGaps.P50), seconds(stats.ReadGaps.P99), seconds(stats.ReadGaps.Max), byReplica)
	if longest := time.Duration(stats.ReadGaps.Max) * time.Millisecond; form != "short" && most > 0 && longest > most+slack {
		tb.violate(polling, "%s: a mailbox was not read for %v, want at most %v", name, longest, most)
	}
}

// verifyReadRate checks that the replicas together read each user once per interval while
// there are no notifications.
func (tb *testbed) verifyReadRate() {
	tb.t.Helper()
	tb.sim.ResetStats()
	began := time.Now()
	tb.waitIntervals(3, 8)
	reads := tb.sim.Stats().Calls["read"]["200"]
	intervals := int64(time.Since(began)/interval) + 1
	if most := intervals * int64(tb.users); reads > most {
		tb.violate(polling, "%d mailboxes were read %d times in less than %d intervals, want at most %d", tb.users, reads, intervals, most)
	}
}

// allReadSince reports whether the program has read every mailbox since then.
func (tb *testbed) allReadSince(then time.Time) bool {
	users, err := tb.list()
	if err != nil {
		return false
	}
	read := map[string]bool{}
	for _, u := range users {
		read[u.ID] = !u.CheckedAt.Before(then)
	}
	return !slices.ContainsFunc(tb.monitored, func(u graphsim.User) bool { return !read[u.ID] })
}

// readsByReplica returns how many mailboxes each replica has read since its start.
func (tb *testbed) readsByReplica() []int {
	reads := make([]int, len(tb.replicas))
	for i, r := range tb.replicas {
		reads[i] = int(r.metric("outlook_monitor_reads_total"))
	}
	return reads
}
