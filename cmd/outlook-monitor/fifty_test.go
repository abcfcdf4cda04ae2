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

// crowd is many users whose automatic replies change, and what the mediator was
// told of them.
type crowd struct {
	*surroundings
	users   []graphsim.User
	round   int
	changes map[string]int // by address: how many states there were to tell
}

func newCrowd(w *surroundings, n int) *crowd {
	w.t.Helper()
	users, err := w.sim.AddUsers(n, "contoso.example")
	if err != nil {
		w.t.Fatal(err)
	}
	c := &crowd{surroundings: w, users: users, changes: map[string]int{}}
	for _, u := range users {
		w.mediator.Add(u.UserPrincipalName)
		c.changes[u.UserPrincipalName] = 1 // the first state
	}
	return c
}

// change gives every user a new state: half of them announced by the calendar
// block, half for the poll alone to see. Texts tell the round.
func (c *crowd) change() {
	c.t.Helper()
	c.round++
	for i, u := range c.users {
		status := "alwaysEnabled"
		if (c.round+i)%5 == 0 {
			status = "disabled"
		}
		if got, err := c.sim.AutomaticReplies(u.ID); err != nil || status == "disabled" && got.Status == "disabled" {
			continue // would change nothing
		}
		_, err := c.sim.SetAutomaticReplies(u.ID, graphsim.AutomaticRepliesUpdate{
			Status: &status, ExternalReplyMessage: new(fmt.Sprintf("<p>Round %d</p>", c.round)), CalendarBlock: i%2 == 0,
		})
		if err != nil {
			c.t.Fatal(err)
		}
		c.changes[u.UserPrincipalName]++
	}
}

// settled reports whether the mediator's last state of every user is the mailbox's.
func (c *crowd) settled() bool {
	for _, u := range c.users {
		mailbox, err := c.sim.AutomaticReplies(u.ID)
		if err != nil {
			c.t.Fatal(err)
		}
		state, ok := c.mediator.State(u.UserPrincipalName)
		away := mailbox.Status == "alwaysEnabled"
		if !ok || (state.Status == "True") != away || away && "<p>"+state.Message+"</p>" != mailbox.ExternalReplyMessage {
			return false
		}
	}
	return true
}

func (c *crowd) settle() {
	c.t.Helper()
	c.eventually("the mediator knows what every mailbox says", c.settled)
}

// coveredOnce reports whether each user has one living subscription.
func (c *crowd) coveredOnce() bool {
	covered := c.covered()
	for _, u := range c.users {
		if covered[u.ID] != 1 {
			return false
		}
	}
	return len(covered) == len(c.users)
}

// acknowledged returns the calls that the mediator acknowledged, by address.
func (c *crowd) acknowledged() map[string][]mediatorsim.Call {
	calls := map[string][]mediatorsim.Call{}
	for _, call := range c.mediator.Calls() {
		if call.Answered == 200 {
			calls[call.Email] = append(calls[call.Email], call)
		}
	}
	return calls
}

// begin runs the program until the mediator knows all users and each is covered.
func (c *crowd) begin() *program {
	c.t.Helper()
	p := c.start("serve")
	c.settle()
	c.cover()
	return p
}

func (c *crowd) cover() {
	c.t.Helper()
	c.eventually("each user is covered once", c.coveredOnce)
}

// TestFiftyUsersThroughKillAndRestart has each change delivered once, and at least once
// around a crash.
func TestFiftyUsersThroughKillAndRestart(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 7})
	w.env["POLL_INTERVAL"] = "500ms"
	c := newCrowd(w, 50)
	p := c.begin()
	for range 4 {
		c.change()
		c.settle()
	}
	calls := c.acknowledged()
	for email, want := range c.changes {
		if got := len(calls[email]); got != want {
			t.Errorf("%s was told %d states, want %d", email, got, want)
		}
	}
	if most := w.sim.Stats().MaxConcurrentPerMailbox; most > 1 {
		t.Errorf("%d requests at once for one mailbox, want 1", most)
	}

	// Killed at a random moment while it reads and delivers.
	c.change()
	time.Sleep(rand.N(300 * time.Millisecond))
	p.Kill()
	killed := time.Now()
	c.change() // while nobody looks
	p = w.start("serve")
	c.settle()
	for range 2 {
		c.change()
		c.settle()
	}
	c.cover()

	calls = c.acknowledged()
	for email, changes := range c.changes {
		round := -1
		times := map[string]int{}
		for _, call := range calls[email] {
			var told int
			if _, err := fmt.Sscanf(call.Message, "Round %d", &told); err == nil {
				if told < round {
					t.Errorf("%s was told round %d after round %d", email, told, round)
				}
				round = told
			}
			if times[call.WebhookID]++; times[call.WebhookID] > 1 && call.At.Before(killed) {
				t.Errorf("%s was told the same state twice before the kill", email)
			}
		}
		// The round before the kill may have been told, told twice, or overtaken.
		if n := len(calls[email]); n < changes-2 || n > changes+1 {
			t.Errorf("%s was told %d states, want about the %d there were", email, n, changes)
		}
	}
	p.stop()
}

func TestEveryKindOfRedis(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(t *testing.T) string{
		"Cluster":  func(t *testing.T) string { return redistest.StartCluster(t).URL() },
		"Sentinel": func(t *testing.T) string { return redistest.StartSentinel(t).URL() },
		"embedded": func(*testing.T) string { return "" },
	}
	for name, url := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world(t, url(t), graphsim.Config{Seed: 9})
			c := newCrowd(w, 10)
			p := w.start() // a bare outlook-monitor serves
			c.settle()
			c.change()
			c.settle()
			c.cover()
			p.stop()
		})
	}
}

func TestATokenThatExpiresFailsNoRead(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 10, TokenLifetime: 3 * time.Second})
	w.env["POLL_INTERVAL"] = "200ms"
	c := newCrowd(w, 5)
	w.start("serve")
	c.settle()
	w.eventually("five tokens were had", func() bool { return w.sim.Stats().Calls["token"]["200"] >= 5 })
	c.change()
	c.settle()
	for operation, statuses := range w.sim.Stats().Calls {
		if n := statuses["401"]; n != 0 {
			t.Errorf("%d calls of %s were refused with 401, want none", n, operation)
		}
	}
}
