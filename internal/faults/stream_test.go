package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"outlook-monitor/internal/graphsim"
)

// stream is the random changes of a world. Each change of a user bears a number,
// in the text that is to be spoken.
type stream struct {
	*world
	random *rand.Rand
	people []graphsim.User // those who stay
	number map[string]int  // by user id
	made   int
}

func newStream(w *world, name string) *stream {
	return &stream{world: w, random: dice(w.seed, name, 1), people: w.people[:len(w.people)-1], number: map[string]int{}}
}

// run makes changes until ctx ends.
func (s *stream) run(ctx context.Context) {
	for {
		s.change(s.people[s.random.IntN(len(s.people))])
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(s.random.IntN(200)) * time.Millisecond):
		}
	}
}

// change gives one user a new state. Half of them the calendar announces, and
// the other half is for the poll to see.
func (s *stream) change(u graphsim.User) {
	status := "alwaysEnabled"
	if s.random.IntN(4) == 0 {
		status = "disabled"
	}
	announced := s.random.IntN(2) == 0
	now, err := s.sim.AutomaticReplies(u.ID)
	if err != nil {
		s.t.Error(err)
		return
	}
	if status == "disabled" && now.Status == "disabled" {
		return // would change nothing
	}
	s.number[u.ID]++
	s.set(u, status, s.number[u.ID], announced)
	s.made++
}

// set gives a user a state with a number.
func (w *world) set(u graphsim.User, status string, number int, announced bool) {
	_, err := w.sim.SetAutomaticReplies(u.ID, graphsim.AutomaticRepliesUpdate{
		Status: &status, ExternalReplyMessage: new(fmt.Sprintf("<p>Change %d</p>", number)), CalendarBlock: announced,
	})
	if err != nil {
		w.t.Error(err)
	}
}

// leave has the mediator end the monitoring of the last of the people.
func (w *world) leave() {
	w.t.Helper()
	last := len(w.people) - 1
	leaver := w.people[last]
	status, err := w.mediator.Monitor(context.Background(), leaver.UserPrincipalName, false)
	if err != nil || status != http.StatusOK {
		w.violate(covers, "the stop of a user was answered %d, %v", status, err)
		return
	}
	w.people, w.left = w.people[:last], leaver
}

// enter has the mediator start with the user who has left, and who is not judged
// by number then: the stream does not know of them.
func (w *world) enter() {
	w.t.Helper()
	status, err := w.mediator.Monitor(context.Background(), w.left.UserPrincipalName, true)
	if err != nil || status != http.StatusOK {
		w.violate(covers, "the start of a user was answered %d, %v", status, err)
		return
	}
	w.people = append([]graphsim.User{w.left}, w.people...)
	w.started[w.left.ID] = true
}

// beyond changes the state of the user who has left, which is nobody's business.
func (w *world) beyond() { w.set(w.left, "alwaysEnabled", secret, true) }

// secret is the number of that change.
const secret = 1_000_000
