package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"outlook-monitor/internal/graphsim"
)

// stream makes random changes. It numbers the changes of each user and puts the number
// into the message.
type stream struct {
	*testbed
	random     *rand.Rand
	candidates []graphsim.User // all but the leaver
	numbers    map[string]int  // the last number by user id
	changes    int
}

func newStream(tb *testbed) *stream {
	return &stream{testbed: tb, random: newRand(tb.seed, tb.name, 1), candidates: tb.monitored[:len(tb.monitored)-1], numbers: map[string]int{}}
}

// run makes changes until ctx ends.
func (s *stream) run(ctx context.Context) {
	for {
		s.change(s.candidates[s.random.IntN(len(s.candidates))])
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(s.random.IntN(200)) * time.Millisecond):
		}
	}
}

// change gives a user a new state. Half of the changes come with a notification for the
// calendar, only the poll sees the other half.
func (s *stream) change(u graphsim.User) {
	status := "alwaysEnabled"
	if s.random.IntN(4) == 0 {
		status = "disabled"
	}
	notified := s.random.IntN(2) == 0
	now, err := s.sim.AutomaticReplies(u.ID)
	if err != nil {
		s.t.Error(err)
		return
	}
	if status == "disabled" && now.Status == "disabled" {
		return // no change
	}
	s.numbers[u.ID]++
	s.setReplies(u, status, s.numbers[u.ID], notified)
	s.changes++
}

// setReplies sets a user's automatic replies, with a change number in the message.
func (tb *testbed) setReplies(u graphsim.User, status string, number int, notified bool) {
	_, err := tb.sim.SetAutomaticReplies(u.ID, graphsim.AutomaticRepliesUpdate{
		Status: &status, ExternalReplyMessage: new(fmt.Sprintf("<p>Change %d</p>", number)), CalendarBlock: notified,
	})
	if err != nil {
		tb.t.Error(err)
	}
}

// monitor sends a start or stop from the mediator and reports whether it was accepted.
func (tb *testbed) monitor(u graphsim.User, on bool) bool {
	status, err := tb.mediator.Monitor(context.Background(), u.UserPrincipalName, on)
	if err != nil || status != http.StatusOK {
		tb.violate(coverage, "user %s: monitor %t was answered %d, %v", u.ID, on, status, err)
		return false
	}
	return true
}

// stopLeaver stops monitoring the last monitored user.
func (tb *testbed) stopLeaver() {
	last := len(tb.monitored) - 1
	if leaver := tb.monitored[last]; tb.monitor(leaver, false) {
		tb.monitored, tb.leaver = tb.monitored[:last], leaver
	}
}

// startLeaver starts monitoring the leaver again. Its states may be delivered twice then.
func (tb *testbed) startLeaver() {
	if tb.monitor(tb.leaver, true) {
		tb.monitored = append([]graphsim.User{tb.leaver}, tb.monitored...)
		tb.restarted[tb.leaver.ID] = true
	}
}

// changeLeaver changes the state of the leaver, which must not be delivered.
func (tb *testbed) changeLeaver() { tb.setReplies(tb.leaver, "alwaysEnabled", leaverChange, true) }

// leaverChange is the number of the leaver's last change.
const leaverChange = 1_000_000
