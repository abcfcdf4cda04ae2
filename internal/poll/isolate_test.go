package poll_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/store"
)

// A bad mailbox delays the others only once, when its fault begins, and returns to the batches
// when its fault ends.
func TestBadMailboxDelaysNoOther(t *testing.T) {
	const bad = "id-user03"
	for name, fault := range map[string]callFault{
		"hangs":         {delay: time.Hour},
		"breaks calls":  {err: fmt.Errorf("%w: cut off", ooo.ErrUnavailable)},
		"takes seconds": {delay: 4 * time.Second},
		"is slow":       {delay: 1200 * time.Millisecond},
	} {
		for _, size := range []int{10, 400} { // few batches; many batches
			t.Run(fmt.Sprintf("%s among %d", name, size), func(t *testing.T) {
				run(t, nil, users(size), func(f *fixture) {
					singles := func() int {
						f.graph.locked(func() { f.graph.batches = nil })
						time.Sleep(10 * time.Second)
						f.graph.mu.Lock()
						defer f.graph.mu.Unlock()
						return len(slices.DeleteFunc(f.graph.batches, func(n int) bool { return n > 1 }))
					}
					checkOthers := func(when string, maxGap time.Duration) {
						t.Helper()
						for i := range size {
							id := idOf(userName(i))
							if id == bad {
								continue
							}
							var at []time.Time
							f.graph.locked(func() { at, f.graph.answers[id] = f.graph.answers[id], nil })
							if longestGap(at) > maxGap {
								t.Errorf("%s, %s was read %v apart, want at most %v", when, id, longestGap(at), maxGap)
							}
							if m := f.get(userName(i)); m.Condition != ooo.Watching {
								t.Errorf("%s, %s is %s", when, id, m.Condition)
							}
						}
					}
					time.Sleep(4 * time.Second)
					before := singles()
					f.graph.locked(func() { f.graph.callFaults[bad] = fault; clear(f.graph.answers); clear(f.graph.reads) })
					time.Sleep(8 * time.Second)
					checkOthers("at first", 4100*time.Millisecond)
					time.Sleep(60 * time.Second)
					if n := len(f.graph.takeReads(bad)); n < 5 {
						t.Errorf("%d reads of the bad mailbox in a minute, want retries", n)
					}
					checkOthers("later", 2300*time.Millisecond)
					f.graph.locked(func() { delete(f.graph.callFaults, bad); f.graph.settings[bad] = on })
					time.Sleep(12 * time.Second)
					if m := f.get("user03"); !m.State.Away || m.Condition != ooo.Watching {
						t.Errorf("record = %s, %+v, want it read again", m.Condition, m.State)
					}
					time.Sleep(20 * time.Second)
					if n := singles(); n > before+before/10 {
						t.Errorf("%d mailboxes read alone in the end, want %d as before", n, before)
					}
				})
			})
		}
	}
}

// Regular reads stay on time if every tenth call is slow, whatever is in it, and while Graph takes
// long for each round of a batch. Then batches are small if that needs few calls.
func TestSlowCallsDelayNoMailbox(t *testing.T) {
	tenth := func(_ *poll.Config, g *faultyGraph) {
		g.latency, g.slowEach, g.slowTime = 350*time.Millisecond, 10, 1200*time.Millisecond
	}
	rounds := func(_ *poll.Config, g *faultyGraph) { g.round = 300 * time.Millisecond }
	for name, tt := range map[string]struct {
		slow    func(*poll.Config, *faultyGraph)
		size    int
		largest int // batch; 0: any
	}{
		"every tenth call":            {tenth, 2000, 0},
		"each round, 200 mailboxes":   {rounds, 200, 4},
		"each round, 2,000 mailboxes": {rounds, 2000, 20},
	} {
		t.Run(name, func(t *testing.T) {
			runUnchanged(t, tt.slow, tt.size, func(f *fixture) {
				time.Sleep(20 * time.Second)
				f.graph.locked(func() { f.graph.batches = nil })
				f.graph.takeAllReads()
				time.Sleep(20*time.Second + 50*time.Millisecond)
				f.graph.locked(func() {
					if got := slices.Max(f.graph.batches); tt.largest != 0 && got != tt.largest {
						f.Errorf("largest batch = %d, want %d", got, tt.largest)
					}
				})
				for id, at := range f.graph.takeAllReads() {
					if len(at) < 9 || longestGap(at) > 2300*time.Millisecond {
						f.Errorf("%s was read %d times in 20 s, at most %v apart, want 2.3 s", id, len(at), longestGap(at))
					}
				}
			})
		})
	}
}

func TestSlowGraphIsRead(t *testing.T) {
	const size = 2000
	tests := map[string]struct {
		each int           // every so many calls are slow, whatever is in them
		time time.Duration // that they take
		want int           // answers of a mailbox in a minute, on average
	}{"all calls are slow": {1, 6 * time.Second, 5}, "a fifth hangs": {5, time.Hour, 24}}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			runUnchanged(t, func(_ *poll.Config, g *faultyGraph) { g.slowEach, g.slowTime = tt.each, tt.time }, size, func(f *fixture) {
				time.Sleep(time.Minute)
				answers, unknown := 0, 0
				for i := range size {
					f.graph.locked(func() { answers += len(f.graph.answers[idOf(userName(i))]) })
					if f.get(userName(i)).Condition != ooo.Watching {
						unknown++
					}
				}
				if answers < tt.want*size || unknown > size/20 {
					t.Errorf("%d answers in a minute and %d mailboxes unknown, want %d and hardly any", answers, unknown, tt.want*size)
				}
			})
		})
	}
}

func TestShortWaitsAddNoReads(t *testing.T) {
	run(t, func(cfg *poll.Config, g *faultyGraph) {
		cfg.Interval, g.errs[annID] = 10*time.Second, &ooo.Throttled{After: time.Second}
	}, onlyAnn(away), func(f *fixture) {
		time.Sleep(time.Minute)
		if n := len(f.graph.takeReads(annID)); n < 6 || n > 8 {
			f.Errorf("%d reads in a minute, want one each 10 s", n)
		}
	})
}

// A mailbox that hangs before, during and after an outage stays isolated.
func TestOutageReturnsNoBadMailboxToBatches(t *testing.T) {
	const bad = "id-user03"
	run(t, nil, users(40), func(f *fixture) {
		time.Sleep(5 * time.Second)
		f.graph.locked(func() { f.graph.callFaults[bad] = callFault{delay: time.Hour} })
		time.Sleep(30 * time.Second)
		f.graph.locked(func() { f.graph.down, f.graph.callFaults[bad] = ooo.ErrUnavailable, callFault{} })
		time.Sleep(time.Minute)
		f.graph.locked(func() {
			f.graph.down, f.graph.callFaults[bad], f.graph.shared = nil, callFault{delay: time.Hour}, map[ooo.ObjectID]int{}
		})
		time.Sleep(30 * time.Second)
		f.graph.mu.Lock()
		defer f.graph.mu.Unlock()
		if n := f.graph.shared[bad]; n > 0 {
			t.Errorf("%d batches with the bad mailbox after the outage, want none", n)
		}
	})
}

// During an outage and after it Graph gets hardly more calls than usual.
func TestOutageCausesNoStorm(t *testing.T) {
	const size, latency = 400, 50 * time.Millisecond
	type outage struct {
		down    error
		latency time.Duration
	}
	tests := map[string]outage{
		"Graph refuses":  {fmt.Errorf("%w: refused", ooo.ErrUnavailable), latency},
		"Graph hangs":    {nil, time.Hour},
		"Graph says 401": {ooo.ErrUnauthorized, latency},
	}
	runEach(t, tests, nil, users(size), func(f *fixture, o outage) {
		count := func() (calls, mailboxes int) {
			f.graph.mu.Lock()
			defer f.graph.mu.Unlock()
			for _, n := range f.graph.batches {
				mailboxes += n
			}
			return len(f.graph.batches), mailboxes
		}
		time.Sleep(10*time.Second + 100*time.Millisecond) // between two phases, when no call is in flight
		usual, _ := count()
		f.graph.locked(func() { f.graph.down, f.graph.latency, f.graph.batches = o.down, o.latency, nil })
		time.Sleep(60 * time.Second)
		if calls, mailboxes := count(); calls > 8*usual || mailboxes > 60*size/2*11/10 {
			f.Errorf("%d calls for %d mailboxes in a minute, want hardly more than %d for %d", calls, mailboxes, 6*usual, 60*size/2)
		}
		f.graph.locked(func() { f.graph.down, f.graph.latency, f.graph.batches = nil, latency, nil; clear(f.graph.reads) })
		time.Sleep(12 * time.Second)
		if _, mailboxes := count(); mailboxes > size*8 {
			f.Errorf("%d reads in the next 12 s, want no storm", mailboxes)
		}
		for i := range size {
			m := f.get(userName(i))
			if n := len(f.graph.takeReads(m.Person.ID)); n < 1 || m.Condition != ooo.Watching {
				f.Errorf("%s was read %d times and is %s in the next 12 s", m.ID, n, m.Condition)
			}
		}
	})
}

func TestWaitingSavesDelayNoOther(t *testing.T) {
	run(t, nil, users(40), func(f *fixture) {
		waits := func(id ooo.RecordID) bool { return strings.HasSuffix(string(id), "5") }
		time.Sleep(5 * time.Second)
		f.store.BeforeSaves(func(s store.Save) error {
			if waits(s.Record.ID) {
				return errors.New("no answer from Redis")
			}
			return nil
		})
		f.graph.locked(func() {
			for i := range 40 {
				f.graph.settings[idOf(userName(i))] = on
			}
			clear(f.graph.reads)
		})
		time.Sleep(10 * time.Second)
		if got := len(f.changes()); got != 36 {
			t.Errorf("%d changes, want 36, all others", got)
		}
		for i := range 40 {
			id := idOf(userName(i))
			at := f.graph.takeReads(id)
			if !waits(ooo.RecordID(id)) && (len(at) < 4 || longestGap(at) > 2100*time.Millisecond) {
				t.Errorf("%s: %d reads, at most %v apart", id, len(at), longestGap(at))
			}
		}
		f.store.BeforeSaves(nil)
		time.Sleep(3 * time.Second)
		if got := len(f.changes()); got != 40 || !f.get("user05").State.Away {
			t.Errorf("%d changes, want all 40", got)
		}
	})
}

// A replica whose ownership was not confirmed in time starts no read until it is. Late reads
// return to their phase by a thirty-second of the interval, so that none is read too often.
func TestReadsStopWithoutOwnership(t *testing.T) {
	run(t, nil, users(100), func(f *fixture) {
		time.Sleep(5 * time.Second)
		f.registry.SetLate(true)
		time.Sleep(time.Second)
		inTime := f.graph.takeAllReads()
		time.Sleep(10 * time.Second)
		if n := len(f.graph.takeAllReads()); n > 0 {
			t.Errorf("%d mailboxes read without ownership, want none", n)
		}
		f.registry.SetLate(false)
		time.Sleep(2200 * time.Millisecond)
		f.graph.locked(func() {
			if n := len(f.graph.reads); n != 100 {
				t.Errorf("%d mailboxes read soon after, want all", n)
			}
		})
		time.Sleep(10 * time.Second)
		for id, at := range f.graph.takeAllReads() {
			if gap := at[1].Sub(at[0]); gap < 2*time.Second*31/32 {
				t.Errorf("%s: late read repeated after %v", id, gap)
			}
			if behind := at[len(at)-1].Sub(inTime[id][0]) % (2 * time.Second); behind != 0 {
				t.Errorf("%s: read %v after its phase, want it in phase again", id, behind)
			}
		}
	})
}

// readOnlyStore holds many records in memory and keeps no save.
type readOnlyStore struct {
	mailbox.Store
	records [ooo.Partitions][]*ooo.Mailbox
}

func (s *readOnlyStore) Load(_ context.Context, p int) (store.Loaded, error) {
	return store.Loaded{Records: s.records[p]}, nil
}

func (s *readOnlyStore) Save(context.Context, store.Save) error              { return nil }
func (s *readOnlyStore) Hints(context.Context) ([]ooo.Hint, error)           { return nil, nil }
func (s *readOnlyStore) PutReads(context.Context, map[int]store.Reads) error { return nil }
func (s *readOnlyStore) RemoveHints(context.Context, ...ooo.Hint) error      { return nil }
func (s *readOnlyStore) Listen(ctx context.Context, _ func(store.Message)) error {
	<-ctx.Done()
	return nil
}

// The mailboxes are as many as Graph's limit allows one app to read in each interval.
func TestCadenceAtFullLoad(t *testing.T) {
	const size = 25_600
	runUnchanged(t, nil, size, func(f *fixture) {
		time.Sleep(6 * time.Second)
		f.graph.locked(func() { clear(f.graph.reads); f.graph.batches = nil })
		time.Sleep(10 * time.Second)
		var gaps []time.Duration
		f.graph.mu.Lock()
		defer f.graph.mu.Unlock()
		for _, at := range f.graph.reads {
			for i := 1; i < len(at); i++ {
				gaps = append(gaps, at[i].Sub(at[i-1]))
			}
		}
		slices.Sort(gaps)
		p99, longest := gaps[len(gaps)*99/100], gaps[len(gaps)-1]
		f.Logf("%d gaps in %d calls: half %v, p99 %v, longest %v", len(gaps), len(f.graph.batches), gaps[len(gaps)/2], p99, longest)
		if len(gaps) < 3*size || p99 > 2050*time.Millisecond || longest > 2300*time.Millisecond {
			f.Errorf("%d gaps, p99 %v, longest %v, want 2.05 s and 2.3 s", len(gaps), p99, longest)
		}
		if calls := len(f.graph.batches); calls > 5*size/19 {
			f.Errorf("%d calls in five intervals, want hardly any batch of less than 20", calls)
		}
	})
}

// runUnchanged is run for the mailboxes of users(size), of which none changes. They are in
// memory, because a Redis with thousands of records takes most of the time of a test.
func runUnchanged(t *testing.T, configure func(*poll.Config, *faultyGraph), size int, test func(f *fixture)) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{T: t, graph: newGraph(), waits: map[string]time.Time{}}
		s := &readOnlyStore{}
		for _, m := range users(size)() {
			s.records[m.ID.Partition()] = append(s.records[m.ID.Partition()], m)
			f.graph.settings[m.ID.ObjectID()] = off
		}
		f.run(configure, s, test)
	})
}
