package redisstore_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
)

// queueSuite is the part of the suite about the due queues.
var queueSuite = map[string]func(t *testing.T, s store){
	"a started user is due at once, for one worker": func(t *testing.T, s store) {
		key := s.start("ann")
		got := s.claims(ooo.ReadQueue, long)
		if len(got) != 1 || got[0].Key != key || got[0].ObjectID != "id-ann" || got[0].Source != ooo.SourceRequest {
			t.Fatalf("Claim = %+v, want ann by request", got)
		}
		if again := s.claims(ooo.ReadQueue, long); len(again) != 0 {
			t.Errorf("Claim again = %+v, want nothing", again)
		}
	},
	"a mark of a user who is not monitored is left out": func(t *testing.T, s store) {
		key := s.start("ann")
		known, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key}, ooo.Mark{Key: ooo.KeyOf("bob@contoso.example")})
		if known != 1 || err != nil {
			t.Errorf("Mark = %d, %v, want 1 known", known, err)
		}
	},
	"given back, a user is due when it was said": func(t *testing.T, s store) {
		c := s.claim(ooo.ReadQueue, s.start("ann"), long)
		next := s.now().Add(time.Hour)
		s.done(c, next)
		b, err := s.Claim(t.Context(), ooo.ReadQueue, 500, long)
		if err != nil || len(b.Claims) != 0 || b.Next.IsZero() {
			t.Errorf("Claim = %+v, %v, want nothing due and the next time", b, err)
		}
		_, err = s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: c.Key, Source: ooo.SourceNotification, ID: "n1"})
		s.must(err)
		c = s.claim(ooo.ReadQueue, c.Key, long)
		if c.Source != ooo.SourceNotification || c.SourceID != "n1" || c.MarkedAt.IsZero() {
			t.Errorf("Claim = %+v, want the notification's", c)
		}
	},
	"each user is due at its own place in the interval, whatever came between": func(t *testing.T, s store) {
		const every, users = 400 * time.Millisecond, 200
		for i := range users {
			s.start(fmt.Sprintf("user%d", i))
		}
		first, places := map[ooo.Key]time.Time{}, map[time.Duration]bool{}
		regular := 0
		s.eventually("all users come back three times", func() bool {
			var finished []ooo.Finished
			for _, c := range s.claims(ooo.ReadQueue, long) {
				finished = append(finished, ooo.Finished{Claim: c, Every: every})
				if c.Source != ooo.SourcePoll {
					continue
				}
				at, seen := first[c.Key]
				if !seen {
					first[c.Key] = c.Due
					places[c.Due.Sub(c.Due.Truncate(every))] = true
					continue
				}
				if regular++; c.Due.Sub(at)%every != 0 {
					t.Errorf("due %v after the first time, want a multiple of %v", c.Due.Sub(at), every)
				}
			}
			s.must(s.Done(t.Context(), ooo.ReadQueue, finished))
			return regular >= 3*users
		})
		if len(places) < 4 {
			t.Errorf("%d users in %d places, want them spread over the interval", users, len(places))
		}
	},
	"a storm of urgent marks leaves half to those who are overdue": func(t *testing.T, s store) {
		var keys []ooo.Key // of one shard
		for i := 0; len(keys) < 8; i++ {
			if name := fmt.Sprintf("user%d", i); redisstore.ShardOf(ooo.KeyOf(name+"@contoso.example")) == 3 {
				keys = append(keys, s.start(name))
			}
		}
		var taken []ooo.Claim
		s.eventually("the shard is asked for four", func() bool { // unless others have to be looked at too
			taken = append(taken, s.claims(ooo.ReadQueue, long)...)
			for _, c := range taken {
				s.done(c, s.now())
			}
			for _, key := range keys[:6] {
				_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key, Source: ooo.SourceNotification, Urgent: true})
				s.must(err)
			}
			b, err := s.Claim(t.Context(), ooo.ReadQueue, 4, long)
			s.must(err)
			taken = b.Claims
			return len(taken) == 4
		})
		urgent := 0
		for _, c := range taken {
			if c.Source == ooo.SourceNotification {
				urgent++
			}
		}
		if urgent != 2 {
			t.Errorf("claimed %d urgent ones of four, want two: two others are overdue", urgent)
		}
	},
	"thousands of one shard are given back at once": func(t *testing.T, s store) {
		var finished []ooo.Finished
		c := s.claim(ooo.ReadQueue, s.start("ann"), long)
		for range 5000 { // Redis was away for long
			finished = append(finished, ooo.Finished{Claim: c, Every: time.Hour})
		}
		s.must(s.Done(t.Context(), ooo.ReadQueue, finished))
		if got := s.claims(ooo.ReadQueue, long); len(got) != 0 {
			t.Errorf("Claim = %+v, want ann given back until later", got)
		}
	},
	"a user comes back to its place no sooner than it was said": func(t *testing.T, s store) {
		c := s.claim(ooo.ReadQueue, s.start("ann"), long)
		from := s.now().Add(50 * time.Minute)
		s.must(s.Done(t.Context(), ooo.ReadQueue, []ooo.Finished{{Claim: c, Every: time.Minute, From: from}}))
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: c.Key, Source: ooo.SourceNotification, Urgent: true})
		s.must(err)
		if c = s.claim(ooo.ReadQueue, c.Key, long); c.Lead < 49*time.Minute || c.Lead > 51*time.Minute {
			t.Errorf("Claim = %+v, want it due in 50 minutes otherwise", c)
		}
	},
	"a claim tells how much sooner the mark made it due": func(t *testing.T, s store) {
		c := s.claim(ooo.ReadQueue, s.start("ann"), long)
		s.done(c, s.now().Add(time.Hour))
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: c.Key, Source: ooo.SourceNotification, ID: "a|b", Urgent: true})
		s.must(err)
		c = s.claim(ooo.ReadQueue, c.Key, long)
		if c.SourceID != "a|b" || c.Lead < 50*time.Minute || c.Lead > 61*time.Minute {
			t.Errorf("Claim = %+v, want a lead of about an hour", c)
		}
	},
	"a mark moves a due time only earlier": func(t *testing.T, s store) {
		c := s.claim(ooo.ReadQueue, s.start("ann"), long)
		s.done(c, s.now())
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: c.Key, At: s.now().Add(time.Hour)})
		s.must(err)
		s.claim(ooo.ReadQueue, c.Key, long)
	},
	"marked while it is worked on, a user is due right after": func(t *testing.T, s store) {
		c := s.claim(ooo.ReadQueue, s.start("ann"), long)
		for range 3 {
			_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: c.Key, Source: ooo.SourceNotification, ID: "n"})
			s.must(err)
		}
		if got := s.claims(ooo.ReadQueue, long); len(got) != 0 {
			t.Fatalf("Claim while held = %+v, want nothing", got)
		}
		s.done(c, s.now().Add(time.Hour))
		s.done(s.claim(ooo.ReadQueue, c.Key, long), s.now().Add(time.Hour))
		if got := s.claims(ooo.ReadQueue, long); len(got) != 0 {
			t.Errorf("Claim after three marks = %+v, want them to count once", got)
		}
	},
	"a lease that ended makes another the holder": func(t *testing.T, s store) {
		key := s.start("ann")
		dead := s.claim(ooo.ReadQueue, key, 50*time.Millisecond)
		alive := s.claim(ooo.ReadQueue, key, long)
		lost, err := s.Extend(t.Context(), ooo.ReadQueue, []ooo.Claim{dead}, long)
		if err != nil || len(lost) != 1 {
			t.Errorf("Extend = %v, %v, want the claim lost", lost, err)
		}
		s.done(dead, s.now().Add(-time.Hour))
		if got := s.claims(ooo.ReadQueue, long); len(got) != 0 {
			t.Errorf("Claim = %+v, want the dead one's word not to count", got)
		}
		if err := s.Identify(t.Context(), dead, person("bob")); !errors.Is(err, ooo.ErrStale) {
			t.Errorf("Identify by the dead = %v, want ErrStale", err)
		}
		if err := s.Identify(t.Context(), alive, person("ann")); err != nil {
			t.Errorf("Identify by the holder = %v, want nil", err)
		}
	},
	"an extended lease holds": func(t *testing.T, s store) {
		key := s.start("ann")
		c := s.claim(ooo.ReadQueue, key, 300*time.Millisecond)
		lost, err := s.Extend(t.Context(), ooo.ReadQueue, []ooo.Claim{c}, long)
		if err != nil || len(lost) != 0 {
			t.Fatalf("Extend = %v, %v, want it kept", lost, err)
		}
		time.Sleep(400 * time.Millisecond)
		if got := s.claims(ooo.ReadQueue, long); len(got) != 0 {
			t.Errorf("Claim = %+v, want nothing", got)
		}
	},
	"a wait that was asked for holds back marks": func(t *testing.T, s store) {
		c := s.claim(ooo.ReadQueue, s.start("ann"), long)
		until := s.now().Add(time.Hour)
		s.must(s.Done(t.Context(), ooo.ReadQueue, []ooo.Finished{{Claim: c, Next: until, NotBefore: until, Failed: true}}))
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: c.Key, Urgent: true, Source: ooo.SourceNotification})
		s.must(err)
		if got := s.claims(ooo.ReadQueue, long); len(got) != 0 {
			t.Errorf("Claim = %+v, want the wait honoured", got)
		}
	},
	"an error's wait is cut short by a mark": func(t *testing.T, s store) {
		c := s.claim(ooo.ReadQueue, s.start("ann"), long)
		s.must(s.Done(t.Context(), ooo.ReadQueue, []ooo.Finished{{Claim: c, Next: s.now().Add(time.Hour), Failed: true}}))
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: c.Key})
		s.must(err)
		if c = s.claim(ooo.ReadQueue, c.Key, long); c.Failures != 1 {
			t.Errorf("Failures = %d, want 1", c.Failures)
		}
		s.done(c, s.now())
		if c = s.claim(ooo.ReadQueue, c.Key, long); c.Failures != 0 {
			t.Errorf("Failures after a success = %d, want 0", c.Failures)
		}
	},
	"urgent users come before overdue ones": func(t *testing.T, s store) {
		var keys []ooo.Key
		shard := redisstore.ShardOf(ooo.KeyOf("user0@contoso.example"))
		for i := 0; len(keys) < 3; i++ {
			if name := fmt.Sprintf("user%d", i); redisstore.ShardOf(ooo.KeyOf(name+"@contoso.example")) == shard {
				keys = append(keys, s.start(name))
			}
		}
		for _, c := range s.claims(ooo.ReadQueue, long) {
			s.done(c, s.now().Add(time.Hour))
		}
		for i, key := range keys {
			_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key, At: s.now().Add(time.Duration(i-5) * time.Minute), Urgent: i == 2})
			s.must(err)
		}
		var order []ooo.Key
		for _, c := range s.claims(ooo.ReadQueue, long) {
			order = append(order, c.Key)
		}
		if want := []ooo.Key{keys[2], keys[0], keys[1]}; !slices.Equal(order, want) {
			t.Errorf("order = %v, want %v: the urgent one, then the most overdue", order, want)
		}
	},
	"a hold stops what goes to Graph and nothing else": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key, Urgent: true})
		s.must(err)
		until := s.now().Add(time.Hour)
		s.must(s.Hold(t.Context(), until, ooo.ReadQueue, ooo.SubscribeQueue))
		s.must(s.Hold(t.Context(), s.now().Add(time.Second), ooo.ReadQueue)) // a shorter one changes nothing
		for q, want := range map[ooo.Queue]int{ooo.ReadQueue: 0, ooo.SubscribeQueue: 0, ooo.DeliverQueue: 1} {
			b, err := s.Claim(t.Context(), q, 500, long)
			if err != nil || len(b.Claims) != want {
				t.Errorf("Claim in %s = %+v, %v, want %d", q, b.Claims, err, want)
			}
			if want == 0 && !b.Hold.Equal(until.Truncate(time.Millisecond)) && b.Hold.Sub(until) > time.Millisecond {
				t.Errorf("Hold in %s = %v, want %v", q, b.Hold, until)
			}
		}
	},
	"many workers never have one user at once and miss no mark": func(t *testing.T, s store) {
		const users, workers, marks = 20, 6, 200
		keys := make([]ooo.Key, users)
		for i := range keys {
			keys[i] = s.start(fmt.Sprintf("user%d", i))
		}
		var mu sync.Mutex
		held := map[ooo.Key]bool{}
		seen := map[string]bool{} // ids of marks that were claimed
		stop := make(chan struct{})
		var working, marking sync.WaitGroup
		for range workers {
			working.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					b, err := s.Claim(t.Context(), ooo.ReadQueue, 5, long)
					if err != nil {
						t.Error(err)
						return
					}
					for _, c := range b.Claims {
						mu.Lock()
						if held[c.Key] {
							t.Errorf("%s is with two workers", c.Key)
						}
						held[c.Key], seen[c.SourceID] = true, true
						mu.Unlock()
						time.Sleep(time.Millisecond)
						mu.Lock()
						held[c.Key] = false
						mu.Unlock()
						if err := s.Done(t.Context(), ooo.ReadQueue, []ooo.Finished{{Claim: c, Next: b.Now.Add(time.Hour)}}); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		for i := range marks {
			marking.Go(func() {
				m := ooo.Mark{Key: keys[i%users], Source: ooo.SourceNotification, ID: fmt.Sprint(i), Urgent: i%2 == 0}
				if _, err := s.Mark(t.Context(), ooo.ReadQueue, m); err != nil {
					t.Error(err)
				}
			})
		}
		marking.Wait()
		for i, key := range keys { // the last mark of each user must be claimed
			id := fmt.Sprintf("last %d", i)
			s.eventually(id, func() bool {
				_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key, Source: ooo.SourceNotification, ID: id})
				s.must(err)
				mu.Lock()
				defer mu.Unlock()
				return seen[id]
			})
		}
		close(stop)
		working.Wait()
	},
}
