package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
)

// meanwhile does something once, after Redis has answered a pipeline and before the
// store hears of it.
type meanwhile struct{ do atomic.Pointer[func()] }

func (m *meanwhile) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m *meanwhile) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (m *meanwhile) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		err := next(ctx, commands)
		if do := m.do.Swap(nil); do != nil {
			(*do)()
		}
		return err
	}
}

// announce marks users as one notification after the other, or all in one call.
func (s store) announce(id string, keys ...ooo.Key) {
	s.t.Helper()
	var marks []ooo.Mark
	for _, key := range keys {
		marks = append(marks, announced(key, id))
	}
	known, err := s.Mark(s.t.Context(), ooo.ReadQueue, marks...)
	if err != nil || known != len(keys) {
		s.t.Fatalf("Mark = %d, %v, want %d known", known, err, len(keys))
	}
}

// handSuite is the part of the suite about claims made ahead beside what is claimed.
var handSuite = map[string]func(*testing.T, store){
	"a claim made ahead is what a claim of the same mark would be": func(t *testing.T, s store) {
		ann := s.rested("ann")[0]
		var got [2]ooo.Claim
		for i := range got {
			s.announce("fails", ann)
			c := s.claim(ooo.ReadQueue, ann, long)
			s.must(s.Done(t.Context(), ooo.ReadQueue, []ooo.Finished{{Claim: c, Next: s.now().Add(time.Hour), Failed: i == 0, Again: i > 0}}))
			s.Offer(ooo.ReadQueue, i, long)
			s.announce("n1", ann)
			if i == 0 {
				got[i] = s.claim(ooo.ReadQueue, ann, long)
				s.must(s.Done(t.Context(), ooo.ReadQueue, []ooo.Finished{{Claim: got[i], Next: s.now().Add(time.Hour), Again: true}}))
				continue
			}
			handed := s.handed(ooo.ReadQueue)
			if len(handed) != 1 {
				t.Fatalf("handed = %+v, want ann", handed)
			}
			got[i] = handed[0]
		}
		for _, c := range got {
			if c.Failures != 1 || c.ObjectID != "id-ann" || c.Fingerprint != off.Fingerprint() || c.SourceID != "n1" || c.Trace != trace ||
				c.Due.Sub(c.MarkedAt).Abs() > time.Minute || (c.Lead-time.Hour).Abs() > time.Minute || c.Parcel != nil {
				t.Errorf("claim = %+v, want all that is known of ann and the mark", c)
			}
		}
	},
	"of marks that come together only as many are handed over as were offered": func(t *testing.T, s store) {
		keys := s.rested("ann", "bob", "cat", "dan", "eve", "fay")
		other := open(t, s.url)
		other.listening()
		s.Offer(ooo.ReadQueue, 2, long)
		s.announce("n", keys...)
		with := map[ooo.Key]string{}
		for _, c := range s.handed(ooo.ReadQueue) {
			with[c.Key] = "handed"
		}
		if len(with) != 2 {
			t.Errorf("handed = %v, want two", with)
		}
		for len(with) < len(keys) {
			for _, key := range keys {
				if with[key] == "" {
					if c := other.claim(ooo.ReadQueue, key, 50*time.Millisecond); c.SourceID != "n" && c.SourceID != "" {
						t.Errorf("claim = %+v, want that of the mark", c)
					}
					with[key] = "due"
				}
			}
		}
		if more := s.handed(ooo.ReadQueue); len(more) != 0 {
			t.Errorf("handed too = %+v, want nothing", more)
		}
	},
	"who could not be handed over is due as soon as it may be": func(t *testing.T, s store) {
		keys := s.rested("ann", "bob", "cat")
		inHand, waits, held := keys[0], keys[1], keys[2]
		s.announce("first", inHand, waits)
		claims := map[ooo.Key]ooo.Claim{}
		s.eventually("both are claimed", func() bool {
			for _, c := range s.claims(ooo.ReadQueue, long) {
				claims[c.Key] = c
			}
			return len(claims) == 2
		})
		floor := s.now().Add(300 * time.Millisecond)
		s.must(s.Done(t.Context(), ooo.ReadQueue, []ooo.Finished{{Claim: claims[waits], Next: s.now().Add(time.Hour), NotBefore: floor}}))
		s.Offer(ooo.ReadQueue, 10, long)
		s.announce("second", inHand, waits)
		s.must(s.Hold(t.Context(), s.now().Add(200*time.Millisecond), ooo.ReadQueue))
		s.announce("second", held)
		early := s.handed(ooo.ReadQueue)
		s.done(claims[inHand], s.now().Add(time.Hour))
		got := map[ooo.Key]ooo.Claim{}
		for _, c := range early { // a busy machine may be slower than the waits
			got[c.Key] = c
		}
		s.eventually("all three are due", func() bool {
			for _, c := range s.claims(ooo.ReadQueue, long) {
				got[c.Key] = c
			}
			return len(got) == 3
		})
		for key, c := range got {
			if c.SourceID != "second" {
				t.Errorf("claim of %s = %+v, want that of the second mark", key, c)
			}
		}
	},
	"the place of a change that came too late comes back": func(t *testing.T, s store) {
		keys := s.rested("ann", "bob")
		s.announce("n", keys[0])
		c := s.claim(ooo.ReadQueue, keys[0], long)
		s.Offer(ooo.DeliverQueue, 1, long)
		u, at := s.user(keys[0]), s.now()
		_, err := s.Record(t.Context(), c, ooo.Change{Revision: u.Revision + 1, Setting: on, Decision: policy.Decide(u.State, on, at), At: at})
		if !errors.Is(err, ooo.ErrStale) {
			t.Fatalf("Record = %v, want ErrStale", err)
		}
		s.read(keys[1], on)
		if got := s.handed(ooo.DeliverQueue); len(got) != 1 || got[0].Key != keys[1] {
			t.Errorf("handed = %+v, want bob", got)
		}
	},
	"what is on its way to a loop that ends is given back": func(t *testing.T, s store) {
		keys := s.rested("ann", "bob")
		ends := &meanwhile{}
		s.Client().AddHook(ends)
		for _, q := range []ooo.Queue{ooo.ReadQueue, ooo.DeliverQueue} {
			s.announce("before", keys[1])
			c := s.claim(ooo.ReadQueue, keys[1], long)
			u, at := s.user(keys[1]), s.now()
			s.Offer(q, 5, long)
			ended := false
			do := func() { s.Offer(q, -1, long); ended = true }
			ends.do.Store(&do)
			key := keys[0]
			if q == ooo.ReadQueue {
				s.announce("n", key)
			} else {
				key = keys[1]
				_, err := s.Record(t.Context(), c, ooo.Change{Revision: u.Revision, Setting: on, Fingerprint: on.Fingerprint(), Decision: policy.Decide(u.State, on, at), At: at})
				s.must(err)
			}
			s.done(c, s.now().Add(time.Hour))
			open(t, s.url).claim(q, key, long)
			if got := s.handed(q); len(got) != 0 || !ended {
				t.Errorf("handed in %s = %+v, want nothing once it has ended (%t)", q, got, ended)
			}
		}
	},
	"the history is the same whoever claims, and the token counts": func(t *testing.T, s store) {
		keys := s.rested("ann", "bob")
		var parcels [2]ooo.Parcel
		for i, key := range keys {
			s.Offer(ooo.DeliverQueue, i, long)
			for n, setting := range []ooo.Setting{on, off} { // the first is tried in vain
				s.announce("n", key)
				look := s.claim(ooo.ReadQueue, key, long)
				s.look(look, setting)
				s.done(look, s.now().Add(time.Hour))
				var c ooo.Claim
				if i == 0 {
					c = s.claim(ooo.DeliverQueue, key, long)
				} else if handed := s.handed(ooo.DeliverQueue); len(handed) == 1 && handed[0].Parcel != nil {
					c = handed[0]
				} else {
					t.Fatalf("handed = %+v, want %s and its parcel", handed, key)
				}
				parcel, send, err := s.Begin(t.Context(), c)
				if err != nil || !send || c.Parcel != nil && parcel != *c.Parcel {
					t.Fatalf("Begin = %+v, %t, %v, want the attempt that is noted: %+v", parcel, send, err, c.Parcel)
				}
				forged := c
				forged.Token = "forged"
				if _, _, err := s.Begin(t.Context(), forged); !errors.Is(err, ooo.ErrStale) {
					t.Errorf("Begin with another token = %v, want ErrStale", err)
				}
				r := ooo.Receipt{Parcel: parcel, State: ooo.DeliveryDelivered}
				if n == 0 {
					r = ooo.Receipt{Parcel: parcel, State: ooo.DeliveryPending, Error: "away", Next: s.now().Add(time.Hour)}
				}
				if err := s.Finish(t.Context(), forged, r); !errors.Is(err, ooo.ErrStale) {
					t.Errorf("Finish with another token = %v, want ErrStale", err)
				}
				s.must(s.Finish(t.Context(), c, r))
				parcels[i] = parcel
				s.Offer(ooo.DeliverQueue, i, long)
			}
		}
		if ann, bob := s.kinds(keys[0]), s.kinds(keys[1]); ann != bob {
			t.Errorf("history of who was handed over = %s, want as claimed: %s", bob, ann)
		}
		if a, b := parcels[0], parcels[1]; a.Sequence != b.Sequence || a.Attempt != 1 || b.Attempt != 1 || a.State != b.State || a.Source != b.Source {
			t.Errorf("parcels = %+v and %+v, want the same attempt", a, b)
		}
	},
}

func TestInAStormNobodyIsWithTwoWorkersAndNoMarkIsLost(t *testing.T) {
	for name, url := range map[string]string{"one Redis": redistest.Start(t).URL(), "a Cluster": redistest.StartCluster(t).URL()} {
		t.Run(name, func(t *testing.T) { storm(t, open(t, url)) })
	}
}

// storm marks users over and over while two replicas work on them.
func storm(t *testing.T, s store) {
	const users, marks = 12, 120
	var names []string
	for i := range users {
		names = append(names, fmt.Sprintf("user%d", i))
	}
	keys := s.rested(names...)
	other := open(t, s.url)
	var mu sync.Mutex
	held, last, ahead := map[ooo.Key]bool{}, map[ooo.Key]string{}, 0
	work := func(by store, c ooo.Claim) {
		mu.Lock()
		if held[c.Key] {
			t.Errorf("%s is with two workers", c.Key)
		}
		held[c.Key], last[c.Key] = true, c.SourceID
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		held[c.Key] = false
		mu.Unlock()
		if err := by.Done(t.Context(), ooo.ReadQueue, []ooo.Finished{{Claim: c, Every: time.Hour}}); err != nil {
			t.Error(err)
		}
	}
	stop := make(chan struct{})
	var working, marking sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); working.Wait() })
	defer end() // before their connections are closed, whatever happened
	for _, by := range []store{s, other} {
		working.Go(func() {
			for {
				select {
				case <-stop:
					by.Offer(ooo.ReadQueue, -1, long)
					return
				case c := <-by.Handed(ooo.ReadQueue):
					mu.Lock()
					ahead++
					mu.Unlock()
					work(by, c)
				case <-time.After(time.Millisecond):
					b, err := by.Claim(t.Context(), ooo.ReadQueue, 5, long)
					if err != nil {
						t.Error(err)
					}
					for _, c := range b.Claims {
						work(by, c)
					}
				}
				by.Offer(ooo.ReadQueue, 3, long)
			}
		})
	}
	for i := range marks {
		by := []store{s, other}[i%2]
		marking.Go(func() {
			if _, err := by.Mark(t.Context(), ooo.ReadQueue, announced(keys[i%users], fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	marking.Wait()
	for i, key := range keys {
		id := fmt.Sprintf("last %d", i)
		s.eventually(id, func() bool {
			s.announce(id, key)
			other.announce(id, key) // nobody listens: each knows of its own marks alone
			mu.Lock()
			defer mu.Unlock()
			return last[key] == id
		})
	}
	end()
	if ahead == 0 {
		t.Error("nobody was claimed ahead, want some")
	}
}
