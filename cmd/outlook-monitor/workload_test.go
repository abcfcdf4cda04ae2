package main_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/redistest"
)

// workload is a testbed with users whose automatic replies change.
type workload struct {
	*testbed
	users   []graphsim.User
	round   int
	changes map[string]int // number of states to deliver, by address
}

func newWorkload(tb *testbed, n int) *workload {
	tb.t.Helper()
	users, err := tb.sim.AddUsers(n, "contoso.example")
	if err != nil {
		tb.t.Fatal(err)
	}
	l := &workload{testbed: tb, users: users, changes: map[string]int{}}
	for _, u := range users {
		tb.mediator.Add(u.UserPrincipalName)
		l.changes[u.UserPrincipalName] = 1 // the first state
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
		_, err := l.sim.SetAutomaticReplies(u.ID, graphsim.AutomaticRepliesUpdate{
			Status: &status, ExternalReplyMessage: new(fmt.Sprintf("<p>Round %d</p>", l.round)), CalendarBlock: i%2 == 0,
		})
		if err != nil {
			l.t.Fatal(err)
		}
		l.changes[u.UserPrincipalName]++
	}
}

// delivered reports whether the mediator has the state of every mailbox.
func (l *workload) delivered() bool {
	for _, u := range l.users {
		mailbox, err := l.sim.AutomaticReplies(u.ID)
		if err != nil {
			l.t.Fatal(err)
		}
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
	covered := l.covered()
	for _, u := range l.users {
		if covered[u.ID] != 1 {
			return false
		}
	}
	return len(covered) == len(l.users)
}

// acknowledged returns the calls that the mediator acknowledged, by address.
func (l *workload) acknowledged() map[string][]mediatorsim.Call {
	calls := map[string][]mediatorsim.Call{}
	for _, call := range l.mediator.Calls() {
		if call.Answered == 200 {
			calls[call.Email] = append(calls[call.Email], call)
		}
	}
	return calls
}

// startCovered starts the program and waits until all states are delivered and all users covered.
func (l *workload) startCovered() *program {
	l.t.Helper()
	p := l.start("serve")
	l.waitDelivered()
	l.waitCovered()
	return p
}

func (l *workload) waitCovered() {
	l.t.Helper()
	l.eventually("each user has one subscription", l.coveredOnce)
}

// TestFiftyUsersKillAndRestart expects that each change is delivered once, and at least once
// around a crash.
func TestFiftyUsersKillAndRestart(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 7})
	tb.env["POLL_INTERVAL"] = "500ms"
	load := newWorkload(tb, 50)
	p := load.startCovered()
	for range 4 {
		load.change()
		load.waitDelivered()
	}
	calls := load.acknowledged()
	for email, want := range load.changes {
		if got := len(calls[email]); got != want {
			t.Errorf("%d deliveries for %s, want %d", got, email, want)
		}
	}
	if most := tb.sim.Stats().MaxConcurrentPerMailbox; most > 1 {
		t.Errorf("%d concurrent requests for one mailbox, want 1", most)
	}

	// Kill it at a random moment while it reads and delivers.
	load.change()
	time.Sleep(rand.N(300 * time.Millisecond))
	p.Kill()
	killed := time.Now()
	load.change() // while the program is down
	p = tb.start("serve")
	load.waitDelivered()
	for range 2 {
		load.change()
		load.waitDelivered()
	}
	load.waitCovered()

	calls = load.acknowledged()
	for email, changes := range load.changes {
		round := -1
		times := map[string]int{}
		for _, call := range calls[email] {
			var delivered int
			if _, err := fmt.Sscanf(call.Message, "Round %d", &delivered); err == nil {
				if delivered < round {
					t.Errorf("%s: round %d delivered after round %d", email, delivered, round)
				}
				round = delivered
			}
			if times[call.WebhookID]++; times[call.WebhookID] > 1 && call.At.Before(killed) {
				t.Errorf("%s: the same state delivered twice before the kill", email)
			}
		}
		// The round before the kill may have been delivered once, twice, or superseded.
		if n := len(calls[email]); n < changes-2 || n > changes+1 {
			t.Errorf("%d deliveries for %s, want about %d", n, email, changes)
		}
	}
	p.stop()
}

func TestRedisTopologies(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(t *testing.T) string{
		"Cluster":  func(t *testing.T) string { return redistest.StartCluster(t).URL() },
		"Sentinel": func(t *testing.T) string { return redistest.StartSentinel(t).URL() },
		"embedded": func(*testing.T) string { return "" },
	}
	for name, url := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tb := newTestbed(t, url(t), graphsim.Config{Seed: 9})
			load := newWorkload(tb, 10)
			p := tb.start() // a bare outlook-monitor serves
			load.waitDelivered()
			load.change()
			load.waitDelivered()
			load.waitCovered()
			p.stop()
		})
	}
}

func TestTokenRenewal(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 10, TokenLifetime: 3 * time.Second})
	tb.env["POLL_INTERVAL"] = "200ms"
	load := newWorkload(tb, 5)
	tb.start("serve")
	load.waitDelivered()
	tb.eventually("five tokens were issued", func() bool { return tb.sim.Stats().Calls["token"]["200"] >= 5 })
	load.change()
	load.waitDelivered()
	for operation, statuses := range tb.sim.Stats().Calls {
		if n := statuses["401"]; n != 0 {
			t.Errorf("%d calls of %s answered with 401, want none", n, operation)
		}
	}
}
