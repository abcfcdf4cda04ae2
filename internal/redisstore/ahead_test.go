package redisstore_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// handed returns what was claimed for the loop of this process, without waiting.
func (s store) handed(q ooo.Queue) (claims []ooo.Claim) {
	for {
		select {
		case c := <-s.Handed(q):
			claims = append(claims, c)
		default:
			return claims
		}
	}
}

// rested starts users and has all of them read, due again in an hour.
func (s store) rested(names ...string) (keys []ooo.Key) {
	for _, name := range names {
		key := s.start(name)
		s.read(key, off)
		keys = append(keys, key)
	}
	for _, c := range s.claims(ooo.DeliverQueue, long) {
		parcel, _, err := s.Begin(s.t.Context(), c)
		s.must(err)
		s.must(s.Finish(s.t.Context(), c, ooo.Receipt{Parcel: parcel, State: ooo.DeliveryDelivered}))
	}
	return keys
}

func announced(key ooo.Key, id string) ooo.Mark {
	return ooo.Mark{Key: key, Urgent: true, Source: ooo.SourceNotification, ID: id, Trace: trace}
}

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// aheadSuite is the part of the suite about claims that are made for the loop of this
// process by whatever makes users due.
var aheadSuite = map[string]func(*testing.T, store){
	"an urgent mark is handed over, as it would have been claimed": func(t *testing.T, s store) {
		keys := s.rested("ann", "bob")
		_, err := s.Mark(t.Context(), ooo.ReadQueue, announced(keys[0], "n1"))
		s.must(err)
		want := s.claim(ooo.ReadQueue, keys[0], long)
		s.Offer(ooo.ReadQueue, 1, long)
		known, err := s.Mark(t.Context(), ooo.ReadQueue, announced(keys[1], "n1"))
		if known != 1 || err != nil {
			t.Errorf("Mark = %d, %v, want 1 known", known, err)
		}
		all := s.handed(ooo.ReadQueue)
		if len(all) != 1 {
			t.Fatalf("handed = %+v, want bob", all)
		}
		got := all[0]
		if got.Token == "" || got.Asked.IsZero() || got.MarkedAt.IsZero() || got.Due.IsZero() || got.Lead < 59*time.Minute {
			t.Errorf("handed = %+v, want a token, the times and a lead of nearly an hour", got)
		}
		got.Key, got.Token, got.Asked, got.Due, got.MarkedAt, got.Lead, got.ObjectID = want.Key, want.Token, want.Asked, want.Due, want.MarkedAt, want.Lead, want.ObjectID
		if got != want {
			t.Errorf("handed = %+v, want as claimed: %+v", got, want)
		}
		if b, err := open(t, s.url).Claim(t.Context(), ooo.ReadQueue, 500, long); err != nil || len(b.Claims) != 0 {
			t.Errorf("another replica claims %+v, %v, want nothing", b.Claims, err)
		}
		_, err = s.Mark(t.Context(), ooo.ReadQueue, announced(keys[1], "n2"))
		s.must(err)
		s.look(all[0], on) // the token is good
		s.done(all[0], s.now().Add(time.Hour))
		if c := s.claim(ooo.ReadQueue, keys[1], long); c.SourceID != "n2" {
			t.Errorf("claim = %+v, want that of the mark made meanwhile", c)
		}
	},
	"no more is handed over than was offered": func(t *testing.T, s store) {
		keys := s.rested("ann", "bob", "cat", "dan", "eve")
		s.Offer(ooo.ReadQueue, 2, long)
		for _, key := range keys {
			_, err := s.Mark(t.Context(), ooo.ReadQueue, announced(key, "n"))
			s.must(err)
		}
		handed, rest := s.handed(ooo.ReadQueue), s.claims(ooo.ReadQueue, long)
		if len(handed) != 2 || len(rest) != 3 {
			t.Errorf("%d handed and %d due, want 2 and 3", len(handed), len(rest))
		}
	},
	"only what can be worked on at once is handed over": func(t *testing.T, s store) {
		keys := s.rested("idle", "held", "gone", "waits")
		idle, held, gone, waits := keys[0], keys[1], keys[2], keys[3]
		_, err := s.Mark(t.Context(), ooo.ReadQueue, announced(held, "n"), announced(waits, "n"))
		s.must(err)
		for _, c := range s.claims(ooo.ReadQueue, long) {
			if c.Key == waits {
				s.must(s.Done(t.Context(), ooo.ReadQueue, []ooo.Finished{{Claim: c, Next: s.now().Add(time.Hour), NotBefore: s.now().Add(time.Hour)}}))
			}
		}
		s.must(s.Stop(t.Context(), gone))
		s.Offer(ooo.ReadQueue, 10, long)
		_, err = s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: idle}, announced(held, "n"), announced(gone, "n"), announced(waits, "n"))
		s.must(err)
		if got := s.handed(ooo.ReadQueue); len(got) != 0 {
			t.Errorf("handed = %+v, want nothing", got)
		}
		s.must(s.Hold(t.Context(), s.now().Add(time.Hour), ooo.ReadQueue))
		_, err = s.Mark(t.Context(), ooo.ReadQueue, announced(idle, "n"))
		s.must(err)
		if got := s.handed(ooo.ReadQueue); len(got) != 0 {
			t.Errorf("handed during a hold = %+v, want nothing", got)
		}
	},
	"places that nobody took come back": func(t *testing.T, s store) {
		ann := s.rested("ann")[0]
		s.Offer(ooo.ReadQueue, 1, long)
		_, err := s.Mark(t.Context(), ooo.ReadQueue, announced(ooo.KeyOf("nobody@contoso.example"), "n"))
		s.must(err)
		_, err = s.Mark(t.Context(), ooo.ReadQueue, announced(ann, "n"))
		s.must(err)
		if got := s.handed(ooo.ReadQueue); len(got) != 1 {
			t.Errorf("handed = %+v, want ann", got)
		}
	},
	"a loop that has ended is handed nothing": func(t *testing.T, s store) {
		ann := s.rested("ann")[0]
		s.Offer(ooo.ReadQueue, 5, long)
		s.Offer(ooo.ReadQueue, -1, long)
		_, err := s.Mark(t.Context(), ooo.ReadQueue, announced(ann, "n"))
		s.must(err)
		other := open(t, s.url)
		if c := other.claim(ooo.ReadQueue, ann, long); c.SourceID != "n" || len(s.handed(ooo.ReadQueue)) != 0 {
			t.Errorf("another replica claims %+v, want it due", c)
		}
	},
	"what was handed to one who died is claimed by another": func(t *testing.T, s store) {
		ann := s.rested("ann")[0]
		s.Offer(ooo.ReadQueue, 1, 50*time.Millisecond)
		_, err := s.Mark(t.Context(), ooo.ReadQueue, announced(ann, "n"))
		s.must(err)
		dead := s.handed(ooo.ReadQueue)
		if len(dead) != 1 {
			t.Fatalf("handed = %+v, want ann", dead)
		}
		c := open(t, s.url).claim(ooo.ReadQueue, ann, long)
		if _, err := s.Record(t.Context(), dead[0], ooo.Change{Revision: s.user(ann).Revision, At: s.now()}); !errors.Is(err, ooo.ErrStale) {
			t.Errorf("Record of the dead one = %v, want ErrStale", err)
		}
		s.look(c, on)
	},
	"a change is handed over with its parcel": func(t *testing.T, s store) {
		keys := s.rested("ann", "bob")
		s.read(keys[0], on)
		c := s.claim(ooo.DeliverQueue, keys[0], long)
		want, _, err := s.Begin(t.Context(), c)
		s.must(err)

		s.Offer(ooo.DeliverQueue, 1, long)
		s.read(keys[1], on)
		handed := s.handed(ooo.DeliverQueue)
		if len(handed) != 1 || handed[0].Parcel == nil {
			t.Fatalf("handed = %+v, want bob and his parcel", handed)
		}
		got := *handed[0].Parcel
		if got.ChangedAt.IsZero() || !strings.HasSuffix(got.WebhookID, "_2") {
			t.Errorf("parcel = %+v, want a time and the second webhook-id", got)
		}
		got.Key, got.Address, got.WebhookID = want.Key, want.Address, want.WebhookID
		got.ChangedAt, got.MarkedAt = want.ChangedAt, want.MarkedAt
		if got != want {
			t.Errorf("parcel = %+v, want as Begin has it: %+v", got, want)
		}
		again, send, err := s.Begin(t.Context(), handed[0])
		if err != nil || !send || again != *handed[0].Parcel {
			t.Errorf("Begin = %+v, %v, %v, want the same attempt", again, send, err)
		}
		if others := open(t, s.url).claims(ooo.DeliverQueue, long); len(others) != 0 {
			t.Errorf("another replica claims %+v, want nothing", others)
		}
		s.must(s.Finish(t.Context(), handed[0], ooo.Receipt{Parcel: again, State: ooo.DeliveryDelivered}))
		if u := s.user(keys[1]); u.Delivery.State != ooo.DeliveryDelivered || u.Delivery.Sequence != 2 || u.Delivery.Attempts != 1 {
			t.Errorf("Delivery = %+v, want the second state after one attempt", u.Delivery)
		}
	},
	"a change during a delivery waits for its end": func(t *testing.T, s store) {
		ann := s.rested("ann")[0]
		s.Offer(ooo.DeliverQueue, 5, long)
		s.read(ann, on)
		first := s.handed(ooo.DeliverQueue)
		s.read(ann, off)
		if len(first) != 1 || len(s.handed(ooo.DeliverQueue)) != 0 {
			t.Fatalf("handed = %+v, want the first alone", first)
		}
		if newer, _, err := s.Begin(t.Context(), first[0]); err != nil || newer.Sequence != 3 || newer.Attempt != 1 {
			t.Errorf("Begin = %+v, %v, want the newer state for the first time", newer, err)
		}
		s.must(s.Finish(t.Context(), first[0], ooo.Receipt{Parcel: *first[0].Parcel, State: ooo.DeliveryDelivered}))
		s.claim(ooo.DeliverQueue, ann, long)
	},
	"a change is not handed over while the mediator wants to be left alone": func(t *testing.T, s store) {
		ann := s.rested("ann")[0]
		s.read(ann, on)
		c := s.claim(ooo.DeliverQueue, ann, long)
		parcel, _, err := s.Begin(t.Context(), c)
		s.must(err)
		s.must(s.Finish(t.Context(), c, ooo.Receipt{Parcel: parcel, State: ooo.DeliveryPending, Next: s.now().Add(time.Hour), Floor: true}))
		s.Offer(ooo.DeliverQueue, 5, long)
		s.read(ann, off)
		if got := s.handed(ooo.DeliverQueue); len(got) != 0 {
			t.Errorf("handed = %+v, want nothing", got)
		}
	},
	"what was overtaken is in the history, however the newer one is handed over": func(t *testing.T, s store) {
		ann := s.rested("ann")[0]
		s.read(ann, on)
		c := s.claim(ooo.DeliverQueue, ann, long)
		parcel, _, err := s.Begin(t.Context(), c)
		s.must(err)
		s.must(s.Finish(t.Context(), c, ooo.Receipt{Parcel: parcel, State: ooo.DeliveryPending, Error: "away", Next: s.now().Add(time.Hour)}))
		s.Offer(ooo.DeliverQueue, 5, long)
		s.read(ann, off)
		handed := s.handed(ooo.DeliverQueue)
		if len(handed) != 1 || handed[0].Parcel.Sequence != 3 {
			t.Fatalf("handed = %+v, want the third state, which cuts the wait short", handed)
		}
		kinds := strings.Fields(s.kinds(ann))
		if want := []string{"changed", "failed", "changed", "overtaken"}; !slices.Equal(kinds[len(kinds)-4:], want) {
			t.Errorf("history ends %v, want %v", kinds, want)
		}
	},
}

// deaf makes the answers to the next pipeline get lost, after Redis has done its work.
type deaf struct{ next atomic.Bool }

func (d *deaf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d *deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (d *deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		err := next(ctx, commands)
		if d.next.CompareAndSwap(true, false) {
			err = io.ErrUnexpectedEOF
			for _, c := range commands {
				c.SetErr(err)
				if c, ok := c.(*redis.Cmd); ok {
					c.SetVal(nil)
				}
			}
		}
		return err
	}
}

// lostSuite is the part of the suite about claims made ahead of which nobody hears.
var lostSuite = map[string]func(*testing.T, store){
	"what a mark claimed is given back if the answer is lost": func(t *testing.T, s store) {
		ann := s.rested("ann")[0]
		s.Offer(ooo.ReadQueue, 1, long)
		ears := &deaf{}
		s.Client().AddHook(ears)
		ears.next.Store(true)
		if _, err := s.Mark(t.Context(), ooo.ReadQueue, announced(ann, "n")); err == nil {
			t.Fatal("Mark = nil, want the answer lost")
		}
		if c := s.claim(ooo.ReadQueue, ann, long); c.Key != ann {
			t.Errorf("claim = %+v, want ann", c)
		}
	},
	"what a change claimed is given back if the answer is lost": func(t *testing.T, s store) {
		ann := s.rested("ann")[0]
		_, err := s.Mark(t.Context(), ooo.ReadQueue, announced(ann, "n"))
		s.must(err)
		c := s.claim(ooo.ReadQueue, ann, long)
		u, at := s.user(ann), s.now()
		s.Offer(ooo.DeliverQueue, 1, long)
		ears := &deaf{}
		s.Client().AddHook(ears)
		ears.next.Store(true)
		_, err = s.Record(t.Context(), c, ooo.Change{Revision: u.Revision, Setting: on, Fingerprint: on.Fingerprint(), Decision: policy.Decide(u.State, on, at), At: at})
		if err == nil {
			t.Fatal("Record = nil, want the answer lost")
		}
		if parcel, send, err := s.Begin(t.Context(), s.claim(ooo.DeliverQueue, ann, long)); err != nil || !send || !parcel.State.Away {
			t.Errorf("Begin = %+v, %v, %v, want the change", parcel, send, err)
		}
	},
	"others learn when the lease of what was handed over ends": func(t *testing.T, s store) {
		ann := s.rested("ann")[0]
		other := open(t, s.url)
		other.listening()
		s.eventually("the other listens", func() bool {
			s.must(s.Client().Publish(t.Context(), "om:wake", "om:{03}:deliver:due another").Err())
			return rung(other.Wake(ooo.DeliverQueue))
		})
		other.claims(ooo.DeliverQueue, long)
		s.Offer(ooo.DeliverQueue, 1, 100*time.Millisecond)
		s.read(ann, on)
		if got := s.handed(ooo.DeliverQueue); len(got) != 1 {
			t.Fatalf("handed = %+v, want ann", got)
		}
		other.claim(ooo.DeliverQueue, ann, long) // long before it would ask by itself
	},
}
