package store_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

var hintSuite = map[string]func(*testing.T, *world){
	"hints coalesce and come back as they were left": func(t *testing.T, w *world) {
		m := mailbox("ann")
		read := hint(m, ooo.HintRead, "1")
		odd := ooo.Hint{
			ID: ooo.UnresolvedID(`"a|b: c"@x`), Kind: ooo.HintWish, Subject: `"a|b: c"@x`, Nonce: "2", At: time.UnixMilli(5).UTC(), Reason: "re:ason",
			Carry: &ooo.Address{Spelling: "A"}, CarryState: &ooo.State{Away: true},
		}
		w.must(w.LeaveHints(t.Context(), false))
		w.must(w.LeaveHints(t.Context(), true, read, odd))
		read.Nonce, read.Source = "3", ooo.SourceNotification
		w.must(w.LeaveHints(t.Context(), false, read))
		hints := w.hints()
		if len(hints) != 2 || hints[ooo.HintRead] != read {
			t.Errorf("hints = %+v, want one of each kind", hints)
		}
		got := hints[ooo.HintWish]
		if got.Carry == nil || got.Carry.Spelling != "A" || !got.CarryState.Away || got.ID != odd.ID || got.Subject != odd.Subject || got.Nonce != "2" || got.Reason != odd.Reason {
			t.Errorf("hint = %+v, want %+v", got, odd)
		}
	},
	"a hint that was left again stays": func(t *testing.T, w *world) {
		m := mailbox("ann")
		old, other := hint(m, ooo.HintRead, "1"), hint(m, ooo.HintCheck, "1")
		w.must(w.LeaveHints(t.Context(), false, old, other))
		w.must(w.LeaveHints(t.Context(), false, hint(m, ooo.HintRead, "12")))
		w.must(w.RemoveHints(t.Context(), old, other, hint(m, ooo.HintStray, "")))
		if hints := w.hints(); len(hints) != 1 || hints[ooo.HintRead].Nonce != "12" {
			t.Errorf("hints = %+v, want the one that was left again", hints)
		}
	},
	"damaged hints are reported once, without their address, and hide nothing": func(t *testing.T, w *world) {
		var logged strings.Builder
		damaged := 0
		s, err := store.Open(store.Config{
			URL: w.url, Log: slog.New(slog.NewTextHandler(&logged, nil)), OnDamaged: func(kind string) {
				if damaged++; kind != "hint" {
					t.Errorf("damaged %s, want hint", kind)
				}
			},
		})
		w.must(err)
		defer s.Close()
		m := mailbox("ann")
		w.must(w.LeaveHints(t.Context(), false, hint(m, ooo.HintRead, "1")))
		for i, bad := range []string{"", "x", "1:{", ":{}", "1:[]"} {
			w.must(w.raw.HSet(t.Context(), "om:{om}:hints", fmt.Sprintf("wish\tid\tsecret%d@x", i), bad).Err())
		}
		w.must(w.raw.HSet(t.Context(), "om:{om}:hints", "secret@x", "1:{}").Err())
		for range 2 {
			if hints, err := s.Hints(t.Context()); len(hints) != 1 || damaged != 6 || err != nil {
				t.Fatalf("%d hints, %d damaged, %v, want 1 and 6", len(hints), damaged, err)
			}
		}
		if text := logged.String(); strings.Contains(text, "secret") || strings.Count(text, "damaged entry") != 6 {
			t.Errorf("log = %s, want each once, without its address", text)
		}
	},
}

var messageSuite = map[string]func(*testing.T, *world){
	"what is left is heard, with the same content": func(t *testing.T, w *world) {
		heard := w.listen()
		heard.connected()
		m := mailbox("ann")
		read := hint(m, ooo.HintRead, "1")
		w.must(w.LeaveHints(t.Context(), false, hint(m, ooo.HintCheck, "0"))) // not published
		w.must(w.LeaveHints(t.Context(), true, read))
		if got := heard.next(); len(got.Hints) != 1 || got.Hints[0] != read || got.Hints[0] != w.hints()[ooo.HintRead] {
			t.Errorf("message = %+v, want %+v", got, read)
		}
		asked := hint(m, ooo.HintWish, "2")
		w.wants(ooo.Wish{}, on("ann", "a"), asked)
		if got := heard.next(); len(got.Hints) != 1 || got.Hints[0] != asked {
			t.Errorf("message = %+v, want %+v", got, asked)
		}
		stray := hint(m, ooo.HintStray, "3")
		w.must(w.Save(t.Context(), store.Save{Lease: w.own(m), Record: m, NewHints: []ooo.Hint{stray}}))
		if got := heard.next(); len(got.Hints) != 1 || got.Hints[0] != stray {
			t.Errorf("message = %+v, want %+v", got, stray)
		}
		w.must(w.SetWait(t.Context(), "reads", time.Minute))
		if got := heard.next(); !got.TableChanged || w.table().Waits["reads"].Length != time.Minute {
			t.Errorf("message = %+v, want one about the table with the wait", got)
		}
	},
	"another service on the same Redis hears nothing": func(t *testing.T, w *world) {
		service := t.Name() + "/other"
		heard := open(t, w.url, service).listen()
		heard.connected()
		w.must(w.LeaveHints(t.Context(), true, hint(mailbox("ann"), ooo.HintRead, "1")))
		mine := hint(mailbox("bob"), ooo.HintRead, "2")
		w.must(open(t, w.url, service).LeaveHints(t.Context(), true, mine))
		if got := heard.next(); len(got.Hints) != 1 || got.Hints[0] != mine {
			t.Errorf("message = %+v, want that of the same service", got)
		}
	},
	"many hints come in several messages": func(t *testing.T, w *world) {
		heard := w.listen()
		heard.connected()
		var hints []ooo.Hint
		for i := range 450 {
			hints = append(hints, hint(mailbox(fmt.Sprint(i)), ooo.HintRead, "1"))
		}
		w.must(w.LeaveHints(t.Context(), true, hints...))
		got := 0
		for range 3 {
			got += len(heard.next().Hints)
		}
		if got != len(hints) {
			t.Errorf("heard of %d hints in 3 messages, want %d", got, len(hints))
		}
		w.must(w.RemoveHints(t.Context(), append(hints, hints...)...))
		if left := w.hints(); len(left) != 0 {
			t.Errorf("hints = %v, want none", left)
		}
	},
}
