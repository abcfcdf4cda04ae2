package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"outlook-monitor/internal/graphsim"
)

// stream is the random changes of a world. Each change of a user bears a number,
// in the text that is to be spoken.
type stream struct {
	*world
	random *rand.Rand
	number map[string]int // by user id
	made   int
}

func newStream(w *world, name string) *stream {
	return &stream{world: w, random: dice(name, 1), number: map[string]int{}}
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
	_, err = s.sim.SetAutomaticReplies(u.ID, graphsim.AutomaticRepliesUpdate{
		Status: &status, ExternalReplyMessage: new(fmt.Sprintf("<p>Change %d</p>", s.number[u.ID])), CalendarBlock: announced,
	})
	if err != nil {
		s.t.Error(err)
		return
	}
	s.made++
}
