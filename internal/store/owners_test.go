package store_test

import (
	"reflect"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

var ownersSuite = map[string]func(*testing.T, *fixture){
	"a round writes the beat, unless a newer one was written, and reads the table": func(t *testing.T, f *fixture) {
		own := store.Beat{Number: 10, Settings: 3, Answered: 1500 * time.Millisecond, Stopping: true}
		other := store.Beat{Number: 1, Answered: -1}
		lease := store.Lease{Life: "me", Tenure: 5}
		if _, err := f.Round(t.Context(), "other", other); err != nil {
			t.Fatal(err)
		}
		f.wantErr(f.SetSaves(t.Context(), lease, 63, 5), ooo.ErrNotOwner)
		if !f.swap(store.Swap{Field: store.LeaseField(63), New: lease.String()},
			store.Swap{Field: store.FieldSettings, New: "3 abc"}, store.Swap{Field: store.FieldFingerprint, New: "f"}) {
			t.Fatal("the swap was refused")
		}
		f.must(f.SetSaves(t.Context(), lease, 63, 12))
		f.wantErr(f.SetSaves(t.Context(), store.Lease{Life: "me", Tenure: 4}, 63, 6), ooo.ErrNotOwner)
		f.must(f.SetSync(t.Context(), "mark", false))
		f.must(f.SetWait(t.Context(), "reads", store.Wait{Until: time.Now(), Length: 10 * time.Second}))
		f.must(f.raw.HSet(t.Context(), "om:{om}:owners", "beat:odd", "?", "beat:older", "10 400 3 1500 1",
			"lease:64", "x:1", "lease:1", "x", "saves:x", "1", "new", "1").Err())
		o, err := f.Round(t.Context(), "me", own)
		f.must(err)
		if _, found := o.Beats["me"]; found {
			t.Error("Round returned its own beat, want the table as it was before")
		}
		for _, beat := range []store.Beat{{Number: 9}, own} { // the first arrives late
			o, err = f.Round(t.Context(), "me", beat)
			f.must(err)
			if o.Beats["me"] != own {
				t.Errorf("beat = %+v, want %+v", o.Beats["me"], own)
			}
		}
		if want := map[string]store.Beat{"me": own, "other": other, "odd": {Answered: -1}, "older": own}; !reflect.DeepEqual(o.Beats, want) {
			t.Errorf("Beats = %v, want %v", o.Beats, want)
		}
		if o.Leases[63] != lease || o.Leases[1] != (store.Lease{}) || o.Saves[63] != 12 || o.Settings != "3 abc" || o.Fingerprint != "f" ||
			o.SyncMark != "mark" || o.Waits["reads"].Length != 10*time.Second || o.Waits["reads"].Until.IsZero() {
			t.Errorf("table = %+v", o)
		}
		if o.Field("beat:me") != "10 0 3 1500 1" || o.Field("beat:odd") != "?" || o.Field("lease:1") != "x" || o.Field("none") != "" {
			t.Errorf("fields = %q, %q, %q, %q, want those in Redis", o.Field("beat:me"), o.Field("beat:odd"), o.Field("lease:1"), o.Field("none"))
		}
		// Encoding a parsed value returns the text in the table.
		if !f.swap(store.Swap{Field: store.BeatField("other"), Old: o.Beats["other"].String()},
			store.Swap{Field: store.BeatField("me"), Old: own.String()},
			store.Swap{Field: store.WaitField("reads"), Old: o.Waits["reads"].String()}) {
			t.Error("the swap with the texts of the table was refused")
		}
	},
	"swaps are all or nothing": func(t *testing.T, f *fixture) {
		a, b := store.LeaseField(1), store.LeaseField(2)
		for _, step := range []struct {
			name  string
			swaps []store.Swap
			want  bool
		}{
			{"both free", []store.Swap{{Field: a, New: "x:1"}, {Field: b, New: "x:1"}}, true},
			{"repeated after a lost answer", []store.Swap{{Field: a, New: "x:1"}, {Field: b, New: "x:1"}}, true},
			{"one taken", []store.Swap{{Field: store.LeaseField(3), New: "y:1"}, {Field: b, New: "y:1"}}, false},
			{"one with another text", []store.Swap{{Field: a, Old: "x:1", New: "y:1"}, {Field: b, Old: "z:1", New: "y:1"}}, false},
			{"prefix of the text", []store.Swap{{Field: a, Old: "x", New: "y:1"}}, false},
			{"one taken, one released", []store.Swap{{Field: a, Old: "x:1", New: "y:2"}, {Field: b, Old: "x:1"}}, true},
			{"release repeated after a lost answer", []store.Swap{{Field: a, Old: "x:1", New: "y:2"}, {Field: b, Old: "x:1"}}, true},
			{"release by the old owner", []store.Swap{{Field: a, Old: "x:1"}}, false},
		} {
			if got := f.swap(step.swaps...); got != step.want {
				t.Errorf("%s: swapped = %v, want %v", step.name, got, step.want)
			}
		}
		o := f.table()
		if o.Leases[1] != (store.Lease{Life: "y", Tenure: 2}) || o.Leases[2] != (store.Lease{}) || o.Leases[3] != (store.Lease{}) {
			t.Errorf("leases = %v", o.Leases[:4])
		}
	},
	"a sync mark is only cleared if unchanged": func(t *testing.T, f *fixture) {
		f.must(f.SetSync(t.Context(), "first", false))
		f.must(f.SetSync(t.Context(), "second", true))
		f.must(f.SetSync(t.Context(), "third", false)) // keeps the existing mark
		f.must(f.ClearSync(t.Context(), "first"))
		if got := f.table().SyncMark; got != "second" {
			t.Errorf("mark = %q, want the second one", got)
		}
		f.must(f.ClearSync(t.Context(), "second"))
		if got := f.table().SyncMark; got != "" {
			t.Errorf("mark = %q, want none", got)
		}
	},
	"Ready and Check reject another schema, and Check deletes its keys": func(t *testing.T, f *fixture) {
		for schema, want := range map[int]error{1: store.ErrOlderSchema, 2: nil, 3: store.ErrNewerSchema} {
			f.must(f.raw.Set(t.Context(), "om:schema", schema, 0).Err())
			f.wantErr(f.Ready(t.Context()), want)
			f.wantErr(f.Check(t.Context()), want)
		}
		if n, err := f.raw.Exists(t.Context(), "om:{om}:probe", "om:{om}:probe:stream", "om:{om}:probe:text").Result(); n != 0 || err != nil {
			t.Errorf("%d keys of the probe remain, %v", n, err)
		}
	},
}
