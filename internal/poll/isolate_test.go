package poll_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/store"
)

// One mailbox that hangs, is slow or breaks the call of all delays nobody else but once,
// when it begins, and is read with others again once it answers.
func TestOneBadMailboxDelaysNobodyElse(t *testing.T) {
	for _, size := range []int{10, 400} { // all in few batches; many batches
		for name, bad := range map[string]func(g *faultyGraph, id ooo.ObjectID, is bool){
			"hangs":    func(g *faultyGraph, id ooo.ObjectID, is bool) { g.hangs[id] = is },
			"cuts off": func(g *faultyGraph, id ooo.ObjectID, is bool) { g.cuts[id] = is },
			"takes seconds": func(g *faultyGraph, id ooo.ObjectID, is bool) {
				g.slow[id] = map[bool]time.Duration{true: 4 * time.Second}[is]
			},
			"is slow": func(g *faultyGraph, id ooo.ObjectID, is bool) {
				g.slow[id] = map[bool]time.Duration{true: 1200 * time.Millisecond}[is]
			},
		} {
			t.Run(fmt.Sprintf("%s among %d", name, size), func(t *testing.T) {
				run(t, func(cfg *poll.Config, _ *faultyGraph) { cfg.Interval = 2 * time.Second }, crowd(size), func(w *world) {
					single := func() (n int) {
						w.graph.set(func() { w.graph.batches = nil })
						time.Sleep(10 * time.Second)
						w.graph.mu.Lock()
						defer w.graph.mu.Unlock()
						return len(slices.DeleteFunc(w.graph.batches, func(n int) bool { return n > 1 }))
					}
					time.Sleep(4 * time.Second)
					usual := single()
					w.graph.set(func() { bad(w.graph, "id-user03", true); clear(w.graph.answers); clear(w.graph.reads) })
					time.Sleep(8 * time.Second) // it begins
					others := func(when string, most time.Duration) {
						t.Helper()
						for i := range size {
							id := nameID(fmt.Sprintf("user%02d", i))
							var at []time.Time
							w.graph.set(func() { at, w.graph.answers[id] = w.graph.answers[id], nil })
							if id != "id-user03" && longest(at) > most {
								t.Errorf("%s, %s was read %v apart, want %v at most", when, id, longest(at), most)
							}
							if m, _ := w.registry.Get(ooo.RecordID(id)); id != "id-user03" && m.Condition != ooo.Watching {
								t.Errorf("%s, %s is %s", when, id, m.Condition)
							}
						}
					}
					others("when it began", 4100*time.Millisecond)
					time.Sleep(60 * time.Second)
					if n := len(w.graph.readsOf("id-user03")); n < 5 {
						t.Errorf("the bad one was read %d times in a minute, want it tried", n)
					}
					others("later", 2300*time.Millisecond)
					w.graph.set(func() { bad(w.graph, "id-user03", false); w.graph.settings["id-user03"] = on })
					time.Sleep(12 * time.Second)
					if m := w.get("user03"); !m.State.Away || m.Condition != ooo.Watching {
						t.Errorf("record = %s, %+v, want it read again", m.Condition, m.State)
					}
					time.Sleep(20 * time.Second)
					if n := single(); n > usual+usual/10 {
						t.Errorf("%d mailboxes read alone in the end, want them together, as %d at first", n, usual)
					}
				})
			})
		}
	}
}

// While Graph is away no more is asked than usual, and what comes after is no storm.
func TestAnOutageCausesNoStorm(t *testing.T) {
	for name, down := range map[string]func(g *faultyGraph, is bool){
		"refuses": func(g *faultyGraph, is bool) {
			g.down = map[bool]error{true: fmt.Errorf("%w: refused", ooo.ErrUnavailable)}[is]
		},
		"hangs": func(g *faultyGraph, is bool) {
			g.latency = map[bool]time.Duration{true: time.Hour, false: 50 * time.Millisecond}[is]
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, crowd(400), func(w *world) {
				time.Sleep(10 * time.Second)
				usual, asked := 0, 0
				count := func() (calls, mailboxes int) {
					w.graph.mu.Lock()
					defer w.graph.mu.Unlock()
					for _, n := range w.graph.batches {
						mailboxes += n
					}
					return len(w.graph.batches), mailboxes
				}
				usual, _ = count()
				w.graph.set(func() { down(w.graph, true); w.graph.batches = nil })
				time.Sleep(60 * time.Second)
				calls, asked := count()
				if calls > 8*usual || asked > 60*400/2*11/10 {
					t.Errorf("%d calls for %d mailboxes in a minute, want hardly more than %d for %d", calls, asked, 6*usual, 60*400/2)
				}
				w.graph.set(func() { down(w.graph, false); w.graph.batches = nil; clear(w.graph.reads) })
				time.Sleep(12 * time.Second)
				if _, asked = count(); asked > 400*8 {
					t.Errorf("%d reads in 12 s after, want no storm", asked)
				}
				for i := range 400 {
					if m := w.get(fmt.Sprintf("user%02d", i)); m.Condition != ooo.Watching {
						t.Errorf("%s is %s after the outage", m.ID, m.Condition)
					}
					if n := len(w.graph.readsOf(nameID(fmt.Sprintf("user%02d", i)))); n < 1 {
						t.Errorf("user%02d was read %d times in 12 s after the outage", i, n)
					}
				}
			})
		})
	}
}

// A save that waits for Redis delays no other mailbox.
func TestASaveThatWaitsDelaysNobody(t *testing.T) {
	run(t, nil, crowd(40), func(w *world) {
		time.Sleep(5 * time.Second)
		w.store.BeforeSaves(func(s store.Save) error {
			if s.Record.ID == "id-user05" {
				return errors.New("no answer from Redis")
			}
			return nil
		})
		w.graph.set(func() {
			for i := range 40 {
				w.graph.settings[nameID(fmt.Sprintf("user%02d", i))] = on
			}
			clear(w.graph.reads)
		})
		time.Sleep(10 * time.Second)
		if got := len(w.noticed()); got != 39 {
			t.Errorf("%d changes, want those of all others", got)
		}
		for i := range 40 {
			at := w.graph.readsOf(nameID(fmt.Sprintf("user%02d", i)))
			if i != 5 && (len(at) < 4 || longest(at) > 2100*time.Millisecond) {
				t.Errorf("user%02d: %d reads, %v apart", i, len(at), longest(at))
			}
		}
		w.store.BeforeSaves(nil)
		time.Sleep(3 * time.Second)
		if got := len(w.noticed()); got != 40 || !w.get("user05").State.Away {
			t.Errorf("%d changes, want the last one too", got)
		}
	})
}

// Whoever has not heard of Redis in time starts nothing, and goes on as soon as it has.
func TestReadsStopWhileTheReplicaMayNotAct(t *testing.T) {
	run(t, nil, crowd(100), func(w *world) {
		time.Sleep(5 * time.Second)
		w.registry.SetLate(true)
		time.Sleep(time.Second)
		w.graph.set(func() { clear(w.graph.reads) })
		time.Sleep(10 * time.Second)
		w.graph.set(func() {
			if n := len(w.graph.reads); n > 0 {
				t.Errorf("%d mailboxes read, want none", n)
			}
		})
		w.registry.SetLate(false)
		time.Sleep(2200 * time.Millisecond)
		w.graph.set(func() {
			if n := len(w.graph.reads); n != 100 {
				t.Errorf("%d mailboxes read soon after, want all", n)
			}
		})
		w.registry.Drop(ooo.RecordID("id-user00").Partition())
		w.graph.readsOf("id-user00")
		time.Sleep(5 * time.Second)
		if at := w.graph.readsOf("id-user00"); len(at) > 1 {
			t.Errorf("%d reads after it was dropped", len(at))
		}
	})
}

// many is a store of a crowd that is never saved, so that there can be many.
type many struct {
	mailbox.Store
	records [ooo.Partitions][]*ooo.Mailbox
}

func (m *many) Load(_ context.Context, p int) (store.Loaded, error) {
	return store.Loaded{Records: m.records[p]}, nil
}

func (m *many) Hints(context.Context) ([]ooo.Hint, error)                   { return nil, nil }
func (m *many) PutReads(context.Context, map[int]store.Reads) error         { return nil }
func (m *many) Listen(ctx context.Context, heard func(store.Message)) error { <-ctx.Done(); return nil }

// As many mailboxes as one app may read keep their cadence.
func TestAFullAppKeepsItsCadence(t *testing.T) {
	const size = 25_600
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, graph: newGraph(), waits: map[string]time.Time{}}
		all := &many{}
		for i := range size {
			m := record(fmt.Sprintf("u%05d", i), off)
			all.records[m.ID.Partition()] = append(all.records[m.ID.Partition()], m)
			w.graph.settings[m.ID.ObjectID()] = off
		}
		w.start(nil, all, func(w *world) {
			time.Sleep(6 * time.Second)
			w.graph.set(func() { clear(w.graph.reads); w.graph.batches = nil })
			time.Sleep(16 * time.Second)
			var gaps []time.Duration
			w.graph.mu.Lock()
			defer w.graph.mu.Unlock()
			for _, at := range w.graph.reads {
				for i := 1; i < len(at); i++ {
					gaps = append(gaps, at[i].Sub(at[i-1]))
				}
			}
			slices.Sort(gaps)
			t.Logf("%d gaps in %d calls: half %v, p99 %v, longest %v", len(gaps), len(w.graph.batches), gaps[len(gaps)/2], gaps[len(gaps)*99/100], gaps[len(gaps)-1])
			if len(gaps) < 6*size || gaps[len(gaps)*99/100] > 2050*time.Millisecond || gaps[len(gaps)-1] > 2300*time.Millisecond {
				t.Errorf("%d gaps, p99 %v, longest %v, want 2.05 s and 2.3 s", len(gaps), gaps[len(gaps)*99/100], gaps[len(gaps)-1])
			}
		})
	})
}
