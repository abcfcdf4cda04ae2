package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// restricted opens a Redis as a user who may do all that the store needs; allow adds ACL rules.
func restricted(t *testing.T) (f *fixture, allow func(rules ...any)) {
	server := redistest.Start(t)
	allow = func(rules ...any) { server.Do(append([]any{"ACL", "SETUSER", "om"}, rules...)...) }
	allow("on", ">p/w", "+@all", "~om:*", "resetchannels", "&om:*")
	return open(t, strings.Replace(server.URL(), "://", "://om:p%2Fw@", 1)), allow
}

func TestRepeatedSaveCompletesPartialSave(t *testing.T) {
	for _, denied := range []string{"xadd", "hdel", "hincrby", "del"} {
		t.Run(denied, func(t *testing.T) {
			f, allow := restricted(t)
			lease, m := f.saved("ann")
			p := m.ID.Partition()
			done, stray := newHint(m, ooo.HintRead, "1"), newHint(m, ooo.HintStray, "2")
			f.must(f.LeaveHints(t.Context(), false, done))
			f.swapWish(ooo.Wish{}, newWish("ann", "a"))
			before := f.stored(m.ID)
			moved := newWish("ann", "b")
			m = nextVersion(m)
			s := store.Save{
				Lease: lease, Record: m, DoneHints: []ooo.Hint{done}, NewHints: []ooo.Hint{stray}, DeletedHistories: []string{"old@x"},
				Events: []ooo.FeedEntry{event(m, ooo.EventChanged), {Address: "old@x"}},
				Wishes: []store.WishChange{{Old: ooo.Wish{Nonce: "a"}, New: moved}},
			}
			allow("-" + denied)
			for range 2 {
				if err := f.Save(t.Context(), s); err == nil || errors.Is(err, store.ErrVersion) {
					t.Fatalf("Save = %v, want the error of Redis", err)
				}
			}
			if got := f.stored(m.ID); got.Version != before.Version {
				t.Errorf("version = %d, want %d", got.Version, before.Version)
			}
			allow("+" + denied)
			f.must(f.Save(t.Context(), s))
			f.must(f.Save(t.Context(), s))
			hints := f.hints()
			if got := f.stored(m.ID); got.Version != m.Version || f.wish("ann@contoso.example") != moved ||
				hints[ooo.HintRead].Nonce != "" || hints[ooo.HintStray] != stray {
				t.Errorf("stored %+v with hints %v, want everything in the save", got, hints)
			}
			if f.load(p).Saves < 2 || f.length("feed") < 2 || f.length("history:ann@contoso.example") < 1 || f.length("history:old@x") != 0 {
				t.Error("saves, feed or histories are incomplete")
			}
		})
	}
}

func TestRefusedSwapWritesNothing(t *testing.T) {
	f, allow := restricted(t)
	f.swap(store.Swap{Field: "lease:1", New: "me:1"})
	swaps := []store.Swap{{Field: "lease:2", New: "me:1"}, {Field: "lease:1", Old: "me:1"}}
	allow("-hdel")
	if _, err := f.SwapTable(t.Context(), swaps...); err == nil {
		t.Error("SwapTable = nil without permission")
	}
	if o := f.table(); o.Field("lease:1") != "me:1" || o.Field("lease:2") != "" {
		t.Errorf("leases = %v, want them unchanged", o.Leases[:3])
	}
	allow("+hdel")
	if !f.swap(swaps...) {
		t.Error("the swap was not applied")
	}
}

// remedy returns the ACL rules that an error recommends.
func remedy(t *testing.T, err error) (rules []any) {
	t.Helper()
	_, text, _ := strings.Cut(err.Error(), "ACL SETUSER … ")
	text, _, ok := strings.Cut(text, ")")
	if !ok {
		t.Fatalf("error = %v, want a remedy", err)
	}
	for rule := range strings.FieldsSeq(text) {
		rules = append(rules, rule)
	}
	return rules
}

func TestCheckNamesRefusedCommands(t *testing.T) {
	for name, tt := range map[string]struct {
		rules []any
		want  error
		text  string
	}{
		"all scripts":       {[]any{"-@scripting"}, store.ErrRefused, "EVAL"},
		"scripts by text":   {[]any{"-eval"}, store.ErrRefused, "EVAL"},
		"scripts by hash":   {[]any{"-evalsha"}, store.ErrRefused, "EVAL"},
		"streams":           {[]any{"-@stream"}, store.ErrRefused, "XADD, XRANGE, XREVRANGE in scripts"},
		"one command":       {[]any{"-hincrby"}, store.ErrRefused, "HINCRBY in scripts"},
		"all data keys":     {[]any{"resetkeys", "~om:schema"}, store.ErrRefused, ""},
		"channel":           {[]any{"resetchannels"}, store.ErrNoMessages, "messages"},
		"publish":           {[]any{"-publish"}, store.ErrNoMessages, "messages"},
		"subscribe":         {[]any{"-subscribe"}, store.ErrNoMessages, "messages"},
		"unneeded commands": {[]any{"-@dangerous", "-@admin"}, nil, ""},
	} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, script known to Redis: %t", name, known), func(t *testing.T) {
				f, allow := restricted(t)
				f.must(f.Ready(t.Context()))
				if known {
					f.must(f.Check(t.Context()))
				}
				allow(tt.rules...)
				err := f.Check(t.Context())
				f.wantErr(err, tt.want)
				if tt.want == nil {
					return
				}
				if !strings.Contains(err.Error(), tt.text) {
					t.Errorf("Check = %v, want an error with %q", err, tt.text)
				}
				if name != "channel" {
					allow("+@all")
				}
				allow(remedy(t, err)...)
				f.must(f.Check(t.Context()))
			})
		}
	}
}

func TestUserWithoutChannel(t *testing.T) {
	f, allow := restricted(t)
	allow("resetchannels")
	f.must(f.Ready(t.Context()))
	var allowed, connected atomic.Bool
	await.Run(t, func(ctx context.Context) error {
		return f.Listen(ctx, func(store.Message) {
			if connected.Store(true); !allowed.Load() {
				t.Error("Listen received a message without permission")
			}
		})
	})
	lease, m := f.saved("ann")
	f.must(f.Save(t.Context(), store.Save{Lease: lease, Record: nextVersion(m), NewHints: []ooo.Hint{newHint(m, ooo.HintStray, "1")}}))
	f.must(f.LeaveHints(t.Context(), true, newHint(m, ooo.HintRead, "1")))
	f.swapWish(ooo.Wish{}, newWish("ann", "a"))
	f.must(f.SetWait(t.Context(), "reads", store.Wait{Length: 1}))
	f.table()
	if len(f.hints()) != 3 || f.stored(m.ID).Version != 2 {
		t.Error("the hints or the record were not written")
	}
	allowed.Store(true)
	allow("&om:*") // closes no connection
	await.True(t, "Listen is connected", connected.Load)
}
