package watch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/watch"
)

// run watches until the test's part of the story is told.
func run(t *testing.T, w *world, story func(noticed func() []watch.Noticed)) {
	t.Helper()
	var mu sync.Mutex
	var all []watch.Noticed
	watcher, err := watch.New(watch.Config{
		Queue: w, Store: w, Graph: w, Interval: 2 * time.Second,
		Noticed: func(n watch.Noticed) { mu.Lock(); defer mu.Unlock(); all = append(all, n) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := watcher.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	story(func() []watch.Noticed { mu.Lock(); defer mu.Unlock(); return all })
	cancel()
	running.Wait()
}

var (
	off = ooo.Setting{Status: ooo.Disabled, ExternalReply: "<p>old</p>"}
	on  = ooo.Setting{Status: ooo.AlwaysEnabled, ExternalReply: "<p>Away</p>"}
)

func TestEachUserIsReadEveryIntervalWhateverItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for i := range 50 {
			w.add(fmt.Sprintf("user%02d", i), off)
		}
		w.latency = 300 * time.Millisecond
		run(t, w, func(func() []watch.Noticed) { time.Sleep(20*time.Second + 500*time.Millisecond) })
		for id, at := range w.reads {
			if len(at) != 11 {
				t.Fatalf("%s read %d times in 20 s, want 11", id, len(at))
			}
			for i := 2; i < len(at); i++ {
				if gap := at[i].Sub(at[i-1]); gap > 2200*time.Millisecond {
					t.Errorf("%s: %v between two reads, want at most 2.2 s", id, gap)
				}
			}
		}
		for i, n := range w.batches {
			if n > 20 {
				t.Errorf("batch %d has %d requests, want at most 20", i, n)
			}
		}
	})
}

func TestOnlyChangesAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("ann", off)
		run(t, w, func(noticed func() []watch.Noticed) {
			steps := []struct {
				what    string
				setting ooo.Setting
				total   int
			}{
				{"the first state", off, 1},
				{"a new text while disabled", ooo.Setting{Status: ooo.Disabled, ExternalReply: "new"}, 1},
				{"switched on", on, 2},
				{"the same again", on, 2},
				{"another audience", ooo.Setting{Status: on.Status, ExternalReply: on.ExternalReply, ExternalAudience: "all"}, 2},
				{"a new text while away", ooo.Setting{Status: on.Status, ExternalReply: "Gone"}, 3},
				{"switched off", off, 4},
			}
			for _, step := range steps {
				w.set(func() { w.graph["id-ann"] = ooo.Reading{ID: "id-ann", Setting: step.setting} })
				time.Sleep(2100 * time.Millisecond)
				if got := len(noticed()); got != step.total {
					t.Fatalf("after %s: %d changes noticed, want %d", step.what, got, step.total)
				}
			}
		})
		if w.users["ann"].Sequence != 4 {
			t.Errorf("Sequence = %d, want 4", w.users["ann"].Sequence)
		}
	})
}

func TestOnlyAnswersThatDifferAreDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("ann", off)
		run(t, w, func(noticed func() []watch.Noticed) {
			time.Sleep(time.Millisecond) // the first look
			for _, step := range []struct {
				what    string
				change  func()
				decoded int
				changes int
			}{
				{"nothing", func() {}, 0, 1},
				{"the placeholder dates slide", func() { w.noise++ }, 1, 1},
				{"another replica records what it read", func() {
					c := w.claims["ann"]
					c.Fingerprint = on.Fingerprint()
					w.claims["ann"] = c
				}, 1, 1},
				{"the record has to be written anew", func() {
					c := w.claims["ann"]
					c.Fingerprint = ""
					w.claims["ann"] = c
				}, 1, 1},
				{"ann leaves", func() { w.graph["id-ann"] = ooo.Reading{ID: "id-ann", Setting: on} }, 1, 2},
				{"ann is back, and all is as it once was", func() { w.graph["id-ann"] = ooo.Reading{ID: "id-ann", Setting: off} }, 1, 3},
			} {
				var reads, same int
				w.set(func() { reads, same = len(w.reads["id-ann"]), w.same; step.change() })
				time.Sleep(20*time.Second + time.Millisecond)
				w.set(func() {
					if got := len(w.reads["id-ann"]) - reads - (w.same - same); got != step.decoded {
						t.Errorf("%s: %d answers decoded, want %d", step.what, got, step.decoded)
					}
				})
				if got := len(noticed()); got != step.changes {
					t.Errorf("%s: %d changes in all, want %d", step.what, got, step.changes)
				}
			}
		})
	})
}

func TestWindowsTurnOnTheSecondWithoutGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		began := time.Now()
		opens, closes := began.Add(30*time.Second+250*time.Millisecond), began.Add(50*time.Second)
		w.add("ann", ooo.Setting{Status: ooo.Scheduled, Start: opens, End: closes, ExternalReply: "Away"})
		run(t, w, func(noticed func() []watch.Noticed) {
			time.Sleep(10 * time.Second)
			w.set(func() { w.graph["id-ann"] = ooo.Reading{ID: "id-ann", Err: ooo.ErrUnavailable} })
			time.Sleep(time.Minute)
			got := noticed()
			if len(got) != 3 || got[0].State.Away || !got[1].State.Away || got[2].State.Away {
				t.Fatalf("noticed %+v, want not away, away, not away", got)
			}
			for i, edge := range []time.Time{opens, closes} {
				if late := got[i+1].At.Sub(edge); late < 0 || late > 50*time.Millisecond {
					t.Errorf("edge %d noticed %v after its time, want at once", i, late)
				}
				if got[i+1].Claim.Source != ooo.SourceWindow {
					t.Errorf("edge %d has source %s, want window", i, got[i+1].Claim.Source)
				}
			}
		})
	})
}

func TestFailuresOfOneMailbox(t *testing.T) {
	tests := map[string]struct {
		err            error
		unknown        bool
		fewest, mosts  int // reads within a minute after it began
		holdsOthersToo bool
	}{
		"no mailbox waits and is unknown":              {ooo.ErrNoMailbox, true, 2, 6, false},
		"denied waits and is unknown":                  {ooo.ErrDenied, true, 2, 6, false},
		"a value not known is read on and unknown":     {ooo.ErrBadSetting, true, 29, 31, false},
		"Graph busy keeps the cadence, then unknown":   {ooo.ErrUnavailable, true, 29, 31, false},
		"a throttled mailbox waits its time":           {&ooo.Throttled{After: 20 * time.Second}, true, 3, 4, false},
		"a throttled app holds everyone for that time": {&ooo.Throttled{After: 20 * time.Second, Whole: true}, false, 3, 4, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.add("ann", on)
				w.add("bob", on)
				run(t, w, func(noticed func() []watch.Noticed) {
					time.Sleep(5 * time.Second)
					w.set(func() {
						w.graph["id-ann"] = ooo.Reading{ID: "id-ann", Err: fmt.Errorf("read: %w", tt.err)}
						clear(w.reads)
					})
					time.Sleep(time.Minute)
					w.mu.Lock()
					defer w.mu.Unlock()
					if got := len(w.reads["id-ann"]); got < tt.fewest || got > tt.mosts {
						t.Errorf("%d reads in a minute, want %d to %d", got, tt.fewest, tt.mosts)
					}
					if others := len(w.reads["id-bob"]); (others < 25) != tt.holdsOthersToo {
						t.Errorf("%d reads of the other user, want them held back: %t", others, tt.holdsOthersToo)
					}
					ann := w.users["ann"]
					if (ann.Condition == ooo.Unknown) != tt.unknown {
						t.Errorf("Condition = %s, want unknown: %t", ann.Condition, tt.unknown)
					}
					if ann.State == nil || !ann.State.Away {
						t.Errorf("State = %v, want the last one kept", ann.State)
					}
				})
			})
		})
	}
}

func TestAnUnreadableMailboxComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("ann", on)
		run(t, w, func(noticed func() []watch.Noticed) {
			time.Sleep(3 * time.Second)
			w.set(func() { w.graph["id-ann"] = ooo.Reading{ID: "id-ann", Err: ooo.ErrBadSetting} })
			time.Sleep(6 * time.Second)
			w.set(func() { w.graph["id-ann"] = ooo.Reading{ID: "id-ann", Setting: on} })
			time.Sleep(3 * time.Second)
			if got := w.user("ann").Condition; got != ooo.Watching {
				t.Errorf("Condition = %s, want watching", got)
			}
			if got := len(noticed()); got != 1 {
				t.Errorf("%d changes noticed, want 1: being unknown is no change", got)
			}
		})
	})
}

func TestAnOvertakenRecordIsDecidedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("ann", on)
		w.refusals = 2
		run(t, w, func(noticed func() []watch.Noticed) {
			time.Sleep(time.Second)
			if got := len(noticed()); got != 1 {
				t.Errorf("%d changes noticed after two refusals, want 1", got)
			}
		})
	})
}

func TestLookUpsDoNotHoldUpThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.searching = 3 * time.Second
		for i := range 20 {
			w.add(fmt.Sprintf("known%02d", i), on)
		}
		for i := range 500 {
			name := fmt.Sprintf("new%03d", i)
			w.add(name, on)
			w.users[ooo.Key(name)].Person = ooo.Person{}
			w.claims[ooo.Key(name)] = ooo.Claim{Source: ooo.SourceRequest}
		}
		run(t, w, func(func() []watch.Noticed) { time.Sleep(30 * time.Second) })
		for i := range 20 {
			at := w.reads[ooo.ObjectID(fmt.Sprintf("id-known%02d", i))]
			for j := 1; j < len(at); j++ {
				if gap := at[j].Sub(at[j-1]); gap > 2500*time.Millisecond {
					t.Fatalf("known%02d: %v between two reads while others are looked up, want about 2 s", i, gap)
				}
			}
			if len(at) < 14 {
				t.Errorf("known%02d was read %d times in 30 s, want 14 at least", i, len(at))
			}
		}
		found := 0
		for i := range 500 {
			key := ooo.Key(fmt.Sprintf("new%03d", i))
			if w.users[key].Person.ID != "" {
				found++
			}
			if w.taken[key] > 30 { // half of them as it is read
				t.Errorf("%s was claimed %d times in 30 s, want it to wait for its turn", key, w.taken[key])
			}
		}
		if found < 160 {
			t.Errorf("%d of 500 found in 30 s at 24 desks and 3 s each, want 160 at least", found)
		}
	})
}

func TestAUserNotFoundYetIsLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("ann", on)
		w.users["ann"].Person = ooo.Person{}
		w.claims["ann"] = ooo.Claim{Source: ooo.SourceRequest}
		w.finding["ann@contoso.example"] = ooo.ErrNotInDirectory
		run(t, w, func(noticed func() []watch.Noticed) {
			time.Sleep(time.Second)
			if u := w.user("ann"); u.Condition != ooo.Unknown || !strings.Contains(u.Reason, "directory") {
				t.Errorf("Condition = %s (%s), want unknown because of the directory", u.Condition, u.Reason)
			}
			w.set(func() { delete(w.finding, "ann@contoso.example") })
			time.Sleep(15 * time.Second)
			if got := len(noticed()); got != 1 {
				t.Errorf("%d changes noticed once it is in the directory, want 1", got)
			}
		})
	})
}

func TestAVanishedObjectIDIsLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("ann", on)
		w.users["ann"].Person.ID = "id-gone"
		w.claims["ann"] = ooo.Claim{ObjectID: "id-gone", Source: ooo.SourceRequest}
		w.graph["id-gone"] = ooo.Reading{ID: "id-gone", Err: ooo.ErrUserGone}
		run(t, w, func(noticed func() []watch.Noticed) {
			time.Sleep(5 * time.Second)
			if got := w.user("ann").Person.ID; got != "id-ann" || len(noticed()) != 1 {
				t.Errorf("object id %q and %d changes, want id-ann and 1", got, len(noticed()))
			}
		})
	})
}

func TestAnotherPolicyIsAppliedToWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		setting := ooo.Setting{Status: ooo.AlwaysEnabled, ExternalReply: "to the world", InternalReply: "to us"}
		w.add("ann", setting)
		for _, policy := range []ooo.Policy{{}, {Message: ooo.InternalMessage}, {Message: ooo.InternalMessage, Scheduled: ooo.ScheduledAlways}, {}} {
			watcher, err := watch.New(watch.Config{Queue: w, Store: w, Graph: w, Interval: 2 * time.Second, Policy: policy})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = watcher.Run(ctx) })
			time.Sleep(5 * time.Second)
			cancel()
			running.Wait()
			want := "to the world"
			if policy.Message == ooo.InternalMessage {
				want = "to us"
			}
			if u := w.user("ann"); u.State == nil || u.State.Message != want {
				t.Errorf("under %+v: state = %+v, want the message %q", policy, u.State, want)
			}
		}
	})
}

func TestWhileReadsAreLateAllComeBackToTheirPlacesBySmallSteps(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		late time.Duration
		want []time.Duration // reads; the places are at 2 s, 4 s and so on
	}{
		"in time, it comes back at once":       {0, []time.Duration{900 * ms, 2000 * ms, 4000 * ms, 6000 * ms}},
		"late, it would crowd out others":      {200 * ms, []time.Duration{900 * ms, 2837500 * time.Microsecond, 4775 * ms, 6000 * ms}},
		"hardly late, it counts as if in time": {60 * ms, []time.Duration{900 * ms, 2000 * ms, 4000 * ms, 6000 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				began := time.Now()
				w.add("ann", off)
				w.claims["ann"] = ooo.Claim{ObjectID: "id-ann", Source: ooo.SourcePoll}
				w.due[ooo.ReadQueue]["ann"] = began.Add(900*ms - test.late)
				time.Sleep(900 * ms)
				run(t, w, func(func() []watch.Noticed) { time.Sleep(5200 * ms) })
				var got []time.Duration
				for _, at := range w.reads["id-ann"] {
					got = append(got, at.Sub(began))
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("read at %v, want %v", got, test.want)
				}
			})
		})
	}
}
