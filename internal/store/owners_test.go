package store_test

import (
	"reflect"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

var ownersSuite = map[string]func(*testing.T, *world){
	"a round writes the beat and reads the table": func(t *testing.T, w *world) {
		mine := store.Beat{Number: 7, Mailboxes: 400, Settings: 3, Answered: 1500 * time.Millisecond, Stopping: true}
		theirs := store.Beat{Number: 1, Answered: -1}
		lease := store.Lease{Life: "me", Tenure: 5}
		if _, err := w.Round(t.Context(), "them", theirs); err != nil {
			t.Fatal(err)
		}
		if !w.swap(store.Swap{Field: store.LeaseField(63), New: lease.String()},
			store.Swap{Field: store.FieldSettings, New: "3 abc"}, store.Swap{Field: store.FieldFingerprint, New: "f"}) {
			t.Fatal("the swap was refused")
		}
		w.must(w.SetSaves(t.Context(), lease, 63, 12))
		w.must(w.SetSync(t.Context(), "mark", false))
		w.must(w.SetWait(t.Context(), "reads", 10*time.Second))
		w.must(w.raw.HSet(t.Context(), "om:{om}:owners", "beat:odd", "?", "lease:64", "x:1", "lease:1", "x", "saves:x", "1", "new", "1").Err())
		o, err := w.Round(t.Context(), "me", mine)
		w.must(err)
		if _, there := o.Beats["me"]; there {
			t.Error("the table is not that from before the round")
		}
		o, err = w.Round(t.Context(), "me", mine)
		w.must(err)
		if want := map[string]store.Beat{"me": mine, "them": theirs, "odd": {Answered: -1}}; !reflect.DeepEqual(o.Beats, want) {
			t.Errorf("Beats = %v, want %v", o.Beats, want)
		}
		if o.Leases[63] != lease || o.Leases[1] != (store.Lease{}) || o.Saves[63] != 12 || o.Settings != "3 abc" || o.Fingerprint != "f" || o.SyncMark == "" {
			t.Errorf("table = %+v", o)
		}
		if wait := o.Waits["reads"]; wait.Length != 10*time.Second || wait.Until.IsZero() {
			t.Errorf("wait = %v", wait)
		}
		if o.Field("beat:odd") != "?" || o.Field("lease:1") != "x" || o.Field("none") != "" {
			t.Error("the texts of fields are others")
		}
		// What was read compares as it was written.
		if !w.swap(store.Swap{Field: store.BeatField("them"), Old: o.Beats["them"].String()}, store.Swap{Field: store.BeatField("me"), Old: mine.String()},
			store.Swap{Field: store.WaitField("reads"), Old: o.Waits["reads"].String()}) {
			t.Error("the table's own texts were refused")
		}
	},
	"a beat that arrives late changes nothing": func(t *testing.T, w *world) {
		for _, number := range []int64{9, 10, 9} {
			if _, err := w.Round(t.Context(), "me", store.Beat{Number: number}); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.table().Beats["me"].Number; got != 10 {
			t.Errorf("beat = %d, want 10", got)
		}
	},
	"swaps are all or nothing": func(t *testing.T, w *world) {
		a, b := store.LeaseField(1), store.LeaseField(2)
		steps := []struct {
			name  string
			swaps []store.Swap
			want  bool
		}{
			{"both are free", []store.Swap{{Field: a, New: "x:1"}, {Field: b, New: "x:1"}}, true},
			{"the answer was lost", []store.Swap{{Field: a, New: "x:1"}, {Field: b, New: "x:1"}}, true},
			{"one is taken", []store.Swap{{Field: store.LeaseField(3), New: "y:1"}, {Field: b, New: "y:1"}}, false},
			{"one is another's", []store.Swap{{Field: a, Old: "x:1", New: "y:1"}, {Field: b, Old: "z:1", New: "y:1"}}, false},
			{"a part of the text", []store.Swap{{Field: a, Old: "x", New: "y:1"}}, false},
			{"taken and released", []store.Swap{{Field: a, Old: "x:1", New: "y:2"}, {Field: b, Old: "x:1"}}, true},
			{"the release's answer was lost", []store.Swap{{Field: a, Old: "x:1", New: "y:2"}, {Field: b, Old: "x:1"}}, true},
			{"the old owner releases", []store.Swap{{Field: a, Old: "x:1"}}, false},
		}
		for _, step := range steps {
			if got := w.swap(step.swaps...); got != step.want {
				t.Errorf("%s: swapped = %v, want %v", step.name, got, step.want)
			}
		}
		o := w.table()
		if o.Leases[1] != (store.Lease{Life: "y", Tenure: 2}) || o.Leases[2] != (store.Lease{}) || o.Leases[3] != (store.Lease{}) {
			t.Errorf("leases = %v", o.Leases[:4])
		}
	},
	"the number of saves is the owner's to set": func(t *testing.T, w *world) {
		lease := store.Lease{Life: "me", Tenure: 2}
		w.is(w.SetSaves(t.Context(), lease, 9, 5), ooo.ErrNotOwner)
		w.swap(store.Swap{Field: store.LeaseField(9), New: lease.String()})
		w.must(w.SetSaves(t.Context(), lease, 9, 5))
		w.is(w.SetSaves(t.Context(), store.Lease{Life: "me", Tenure: 1}, 9, 6), ooo.ErrNotOwner)
		if got := w.load(9).Saves; got != 5 {
			t.Errorf("saves = %d, want 5", got)
		}
	},
	"a sync mark is cleared by compare": func(t *testing.T, w *world) {
		w.must(w.SetSync(t.Context(), "mark", false))
		first := w.table().SyncMark
		w.must(w.SetSync(t.Context(), "another", true))
		second := w.table().SyncMark
		w.must(w.SetSync(t.Context(), "a third", false)) // leaves what is there
		w.must(w.ClearSync(t.Context(), first))
		if got := w.table().SyncMark; got != second || first == second {
			t.Errorf("mark = %q, want the second one %q", got, second)
		}
		w.must(w.ClearSync(t.Context(), second))
		if got := w.table().SyncMark; got != "" {
			t.Errorf("mark = %q, want none", got)
		}
	},
	"another schema is refused, and the check finds nothing else wrong and leaves nothing": func(t *testing.T, w *world) {
		for schema, want := range map[int]error{1: store.ErrOlderSchema, 2: nil, 3: store.ErrNewerSchema} {
			w.must(w.raw.Set(t.Context(), "om:schema", schema, 0).Err())
			w.is(w.Ready(t.Context()), want)
			w.is(w.Check(t.Context()), want)
		}
		if n, err := w.raw.Exists(t.Context(), "om:{om}:probe", "om:{om}:probe:stream", "om:{om}:probe:text").Result(); n != 0 || err != nil {
			t.Errorf("%d keys of the probe are left, %v", n, err)
		}
	},
}
