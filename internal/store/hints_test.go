package store_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

var hintSuite = map[string]func(*testing.T, *fixture){
	"hints coalesce, keep their content, and are only removed if unchanged": func(t *testing.T, f *fixture) {
		m := newMailbox("ann")
		read := newHint(m, ooo.HintRead, "1")
		moved := ooo.Hint{
			ID: ooo.UnresolvedID(`"a|b: c"@x`), Kind: ooo.HintMove, Subject: `"a|b: c"@x`, Nonce: "2", At: time.UnixMilli(5).UTC(),
			Reason: "re:ason", Moved: &ooo.Address{Spelling: "A"}, MovedState: &ooo.State{Away: true},
		}
		f.must(f.LeaveHints(t.Context(), false))
		f.must(f.LeaveHints(t.Context(), true, read, moved))
		old := read
		read.Nonce, read.Source = "12", ooo.SourceNotification
		f.must(f.LeaveHints(t.Context(), false, read))
		hints := f.hints()
		if len(hints) != 2 || hints[ooo.HintRead] != read {
			t.Errorf("hints = %+v, want the last of each kind", hints)
		}
		if got := hints[ooo.HintMove]; !reflect.DeepEqual(got, moved) {
			t.Errorf("hint = %+v, want %+v", got, moved)
		}
		f.must(f.RemoveHints(t.Context(), old, moved, newHint(m, ooo.HintStray, "")))
		if hints := f.hints(); len(hints) != 1 || hints[ooo.HintRead] != read {
			t.Errorf("hints = %+v, want only the one that changed", hints)
		}
	},
}

var messageSuite = map[string]func(*testing.T, *fixture){
	"messages have the content of the hints": func(t *testing.T, f *fixture) {
		messages := f.listen()
		m := newMailbox("ann")
		received := func(h ooo.Hint) {
			t.Helper()
			if got := messages.next(); len(got.Hints) != 1 || got.Hints[0] != h || f.hints()[h.Kind] != h {
				t.Errorf("message = %+v, want %+v", got, h)
			}
		}
		read, stray := newHint(m, ooo.HintRead, "1"), newHint(m, ooo.HintStray, "3")
		wish := newWish("ann", "a")
		f.must(f.LeaveHints(t.Context(), false, newHint(m, ooo.HintCheck, "0"))) // not published
		f.must(f.LeaveHints(t.Context(), true, read))
		received(read)
		f.swapWish(ooo.Wish{}, wish)
		received(hintOf(wish))
		f.must(f.Save(t.Context(), store.Save{Lease: f.own(m), Record: m, NewHints: []ooo.Hint{stray}}))
		received(stray)
		f.must(f.SetWait(t.Context(), "reads", store.Wait{Length: time.Minute}))
		if got := messages.next(); !got.TableChanged || f.table().Waits["reads"].Length != time.Minute {
			t.Errorf("message = %+v, want a changed table with the wait", got)
		}
	},
	"messages only reach the same service": func(t *testing.T, f *fixture) {
		other := store.Config{URL: f.url, Fingerprint: t.Name() + "/other"}
		messages := openWith(t, other).listen()
		f.must(f.LeaveHints(t.Context(), true, newHint(newMailbox("ann"), ooo.HintRead, "1")))
		own := newHint(newMailbox("bob"), ooo.HintRead, "2")
		f.must(openWith(t, other).LeaveHints(t.Context(), true, own))
		if got := messages.next(); len(got.Hints) != 1 || got.Hints[0] != own {
			t.Errorf("message = %+v, want %+v", got, own)
		}
	},
	"many hints are sent in several messages": func(t *testing.T, f *fixture) {
		messages := f.listen()
		var hints []ooo.Hint
		for i := range 450 {
			hints = append(hints, newHint(newMailbox(fmt.Sprint(i)), ooo.HintRead, "1"))
		}
		f.must(f.LeaveHints(t.Context(), true, hints...))
		got := 0
		for range 3 {
			got += len(messages.next().Hints)
		}
		if got != len(hints) {
			t.Errorf("%d hints in 3 messages, want %d", got, len(hints))
		}
		f.must(f.RemoveHints(t.Context(), append(hints, hints...)...))
		if left := f.hints(); len(left) != 0 {
			t.Errorf("hints = %v, want none", left)
		}
	},
}
