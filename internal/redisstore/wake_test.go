package redisstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

// listening has s hear what other replicas do until the test ends.
func (s store) listening() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(func() { cancel(); running.Wait() })
}

// rung says whether a bell has been rung since it was last asked.
func rung(bell <-chan struct{}) bool {
	select {
	case <-bell:
		return true
	default:
		return false
	}
}

// wakeSuite is the part of the suite about who is told that something is due.
var wakeSuite = map[string]func(t *testing.T, s store){
	"another replica's mark wakes this one": func(t *testing.T, s store) {
		key := s.start("ann")
		s.done(s.claim(ooo.ReadQueue, key, long), s.now().Add(time.Hour))
		other := open(t, s.url)
		other.listening()
		s.eventually("the other replica is told", func() bool {
			_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key})
			s.must(err)
			return rung(other.Wake(ooo.ReadQueue)) && len(other.claims(ooo.ReadQueue, long)) == 1
		})
	},
	"a mark of a user in hand recalls it, whoever holds it": func(t *testing.T, s store) {
		key := s.start("ann")
		other := open(t, s.url)
		other.listening()
		c := other.claim(ooo.ReadQueue, key, long)
		s.eventually("the holder is told", func() bool {
			rung(s.Recall(ooo.ReadQueue))
			_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key, Source: ooo.SourceNotification, Urgent: true})
			s.must(err)
			if !rung(s.Recall(ooo.ReadQueue)) {
				t.Fatal("who marked was not told that the user is in hand")
			}
			if rung(other.Recall(ooo.ReadQueue)) {
				return true
			}
			other.done(c, s.now().Add(time.Hour)) // again is set: begin anew, it told nobody who listened
			c = other.claim(ooo.ReadQueue, key, long)
			return false
		})
	},
	"what this replica said itself does not wake it": func(t *testing.T, s store) {
		s.listening()
		say := func(message string) { s.must(s.Client().Publish(t.Context(), "om:wake", message).Err()) }
		s.eventually("it listens", func() bool {
			say("om:{03}:window:due another")
			return rung(s.Wake(ooo.WindowQueue))
		})
		time.Sleep(50 * time.Millisecond) // let the connection's own wake-up pass
		rung(s.Wake(ooo.ReadQueue))
		rung(s.Recall(ooo.ReadQueue))
		say("om:{03}:read:due " + s.Origin())
		say("om:{03}:read:again " + s.Origin())
		say("om:{03}:deliver:again another")
		s.eventually("it hears another", func() bool { return rung(s.Recall(ooo.DeliverQueue)) })
		if rung(s.Wake(ooo.ReadQueue)) || rung(s.Recall(ooo.ReadQueue)) {
			t.Error("it was woken by itself, want nothing that it knows")
		}
	},
	"an older replica, which does not say who it is, is heard": func(t *testing.T, s store) {
		s.listening()
		s.eventually("it is woken", func() bool {
			s.must(s.Client().Publish(t.Context(), "om:wake", "om:{15}:read:due").Err())
			return rung(s.Wake(ooo.ReadQueue))
		})
	},
}
