package main_test

import (
	"fmt"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/redistest"
)

// workload is a testbed with users whose automatic replies change.
type workload struct {
	*testbed
	users []graphsim.User
	round int
}

func newWorkload(tb *testbed, n int) *workload {
	tb.t.Helper()
	l := &workload{testbed: tb, users: tb.sim.AddUsers(n)}
	for _, u := range l.users {
		tb.mediator.Add(u.UserPrincipalName)
	}
	return l
}

// change gives every user a new state. Half of them have a calendar block, so that Graph sends
// a notification; only the poll sees the others. Messages contain the round.
func (l *workload) change() {
	l.t.Helper()
	l.round++
	for i, u := range l.users {
		status := "alwaysEnabled"
		if (l.round+i)%5 == 0 {
			status = "disabled"
		}
		if got, err := l.sim.AutomaticReplies(u.ID); err != nil || status == "disabled" && got.Status == "disabled" {
			continue // would change nothing
		}
		l.sim.SetReplies(u.ID, graphsim.AutomaticRepliesUpdate{
			Status: &status, ExternalReplyMessage: new(fmt.Sprintf("<p>Round %d</p>", l.round)), CalendarBlock: i%2 == 0,
		})
	}
}

// delivered reports whether the mediator has the state of every mailbox.
func (l *workload) delivered() bool {
	for _, u := range l.users {
		mailbox, err := l.sim.AutomaticReplies(u.ID)
		must.NoError(l.t, err)
		state, ok := l.mediator.State(u.UserPrincipalName)
		away := mailbox.Status == "alwaysEnabled"
		if !ok || (state.Status == "True") != away || away && "<p>"+state.Message+"</p>" != mailbox.ExternalReplyMessage {
			return false
		}
	}
	return true
}

func (l *workload) waitDelivered() {
	l.t.Helper()
	l.eventually("the mediator has the state of every mailbox", l.delivered)
}

// coveredOnce reports whether each user has exactly one live subscription.
func (l *workload) coveredOnce() bool {
	covered := l.sim.Covered()
	for _, u := range l.users {
		if covered[u.ID] != 1 {
			return false
		}
	}
	return len(covered) == len(l.users)
}

// startCovered starts the program and waits until it has settled.
func (l *workload) startCovered() *program {
	l.t.Helper()
	p := l.start("serve")
	l.waitSettled()
	return p
}

// waitSettled waits until all states are delivered and all users covered.
func (l *workload) waitSettled() {
	l.t.Helper()
	l.waitDelivered()
	l.eventually("each user has one subscription", l.coveredOnce)
}

func TestRedisTopologies(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(t *testing.T) string{
		"Cluster":  func(t *testing.T) string { return redistest.StartCluster(t).URL() },
		"Sentinel": func(t *testing.T) string { return redistest.StartSentinel(t).URL() },
		"embedded": func(*testing.T) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tb := newTestbed(t, url(t), graphsim.Config{Seed: 9})
			load := newWorkload(tb, 10)
			p := tb.start() // a bare outlook-monitor serves
			load.waitDelivered()
			load.change()
			load.waitSettled()
			p.stop()
		})
	}
}
