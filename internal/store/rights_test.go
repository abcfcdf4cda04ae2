package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// restricted opens a Redis as a user with these rights only; allow changes them.
func restricted(t *testing.T, rules ...string) (w *world, allow func(rules ...string)) {
	server := redistest.Start(t)
	admin := open(t, server.URL(), "")
	allow = func(rules ...string) {
		t.Helper()
		args := []any{"ACL", "SETUSER", "om"}
		for _, rule := range rules {
			args = append(args, rule)
		}
		admin.must(admin.raw.Do(t.Context(), args...).Err())
	}
	allow(append([]string{"on", ">p/w", "resetchannels"}, rules...)...)
	return open(t, strings.Replace(server.URL(), "://", "://om:p%2Fw@", 1), ""), allow
}

func TestASaveThatEndedMidwayIsRepeatedWholly(t *testing.T) {
	for _, denied := range []string{"xadd", "hdel", "hincrby", "del"} {
		t.Run(denied, func(t *testing.T) {
			w, allow := restricted(t, "+@all", "~om:*", "&om:*")
			lease, m := w.saved("ann")
			p := m.ID.Partition()
			done, stray := hint(m, ooo.HintRead, "1"), hint(m, ooo.HintStray, "2")
			w.must(w.LeaveHints(t.Context(), false, done))
			w.wants(ooo.Wish{}, on("ann", "a"), wishHint(on("ann", "a")))
			before := w.stored(m.ID)
			moved := on("ann", "b")
			m = next(m)
			s := store.Save{
				Lease: lease, Record: m, DoneHints: []ooo.Hint{done}, NewHints: []ooo.Hint{stray}, DeletedHistories: []string{"old@x"},
				Events: []ooo.FeedEntry{event(m, ooo.EventChanged), {Address: "old@x"}}, Wishes: []store.WishSwap{{Address: "ann@contoso.example", Nonce: "a", New: &moved}},
			}
			allow("-" + denied)
			for range 2 {
				if err := w.Save(t.Context(), s); err == nil || errors.Is(err, store.ErrVersion) {
					t.Fatalf("Save = %v, want what Redis says", err)
				}
			}
			if got := w.stored(m.ID); got.Version != before.Version {
				t.Errorf("version = %d, want that from before", got.Version)
			}
			allow("+" + denied)
			w.must(w.Save(t.Context(), s))
			w.must(w.Save(t.Context(), s))
			hints := w.hints()
			if got := w.stored(m.ID); got.Version != m.Version || w.wish("ann@contoso.example") != moved || hints[ooo.HintRead].Nonce != "" || hints[ooo.HintStray] != stray {
				t.Errorf("stored %+v with hints %v, want all of the save", got, hints)
			}
			if w.load(p).Saves < 2 || w.length("feed") < 2 || w.length("history:ann@contoso.example") < 1 || w.length("history:old@x") != 0 {
				t.Error("count, feed or history lacks the save")
			}
		})
	}
}

func TestASwapThatIsRefusedMidwayWritesNothing(t *testing.T) {
	w, allow := restricted(t, "+@all", "~om:*")
	w.swap(store.Swap{Field: "lease:1", New: "me:1"})
	swaps := []store.Swap{{Field: "lease:2", New: "me:1"}, {Field: "lease:1", Old: "me:1"}}
	allow("-hdel")
	if _, err := w.SwapOwners(t.Context(), swaps...); err == nil {
		t.Error("the swap was carried out without the right to")
	}
	if o := w.table(); o.Field("lease:1") != "me:1" || o.Field("lease:2") != "" {
		t.Errorf("leases = %v, want those from before", o.Leases[:3])
	}
	allow("+hdel")
	if !w.swap(swaps...) {
		t.Error("the swap was not carried out")
	}
}

// remedy returns the rules that an error recommends.
func remedy(t *testing.T, err error) []string {
	t.Helper()
	_, rules, _ := strings.Cut(err.Error(), "ACL SETUSER … ")
	rules, _, ok := strings.Cut(rules, ")")
	if !ok {
		t.Fatalf("error = %v, want a remedy", err)
	}
	return strings.Fields(rules)
}

func TestWhatIsRefusedIsNamed(t *testing.T) {
	tests := map[string]struct {
		rules []string
		want  error
		named string
	}{
		"all scripts":        {[]string{"+@all", "~om:*", "&om:*", "-@scripting"}, store.ErrRefused, "EVAL"},
		"scripts by digest":  {[]string{"+@all", "~om:*", "&om:*", "-evalsha"}, store.ErrRefused, "EVAL"},
		"scripts by text":    {[]string{"+@all", "~om:*", "&om:*", "-eval"}, store.ErrRefused, "EVAL"},
		"streams":            {[]string{"+@all", "~om:*", "&om:*", "-@stream"}, store.ErrRefused, "XADD, XRANGE, XREVRANGE in scripts"},
		"a command":          {[]string{"+@all", "~om:*", "&om:*", "-hincrby"}, store.ErrRefused, "HINCRBY in scripts"},
		"all keys of ours":   {[]string{"+@all", "~om:schema", "&om:*"}, store.ErrRefused, ""},
		"the channel":        {[]string{"+@all", "~om:*"}, store.ErrNoMessages, "messages"},
		"to publish":         {[]string{"+@all", "~om:*", "&om:*", "-publish"}, store.ErrNoMessages, "messages"},
		"to subscribe":       {[]string{"+@all", "~om:*", "&om:*", "-subscribe"}, store.ErrNoMessages, "messages"},
		"what is not needed": {[]string{"+@all", "~om:*", "&om:*", "-@dangerous", "-@admin"}, nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, allow := restricted(t, tt.rules...)
			w.must(w.Ready(t.Context()))
			err := w.Check(t.Context())
			w.is(err, tt.want)
			if tt.want == nil {
				return
			}
			if !strings.Contains(err.Error(), tt.named) {
				t.Errorf("Check = %v, want %q named", err, tt.named)
			}
			rules := remedy(t, err)
			if errors.Is(err, store.ErrNoMessages) && !slices.Contains(tt.rules, "&om:*") {
				allow(rules...)
			} else {
				allow(append([]string{"+@all"}, rules...)...)
			}
			w.must(w.Check(t.Context()))
		})
	}
}

func TestAUserWithoutTheChannelWorks(t *testing.T) {
	w, _ := restricted(t, "+@all", "~om:*")
	w.must(w.Ready(t.Context()))
	w.listen() // in vain
	lease, m := w.saved("ann")
	w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: next(m), NewHints: []ooo.Hint{hint(m, ooo.HintStray, "1")}}))
	w.must(w.LeaveHints(t.Context(), true, hint(m, ooo.HintRead, "1")))
	w.wants(ooo.Wish{}, on("ann", "a"), wishHint(on("ann", "a")))
	w.must(w.SetWait(t.Context(), "reads", 1))
	w.table()
	if len(w.hints()) != 3 || w.stored(m.ID).Version != 2 {
		t.Error("hints or the record are not written")
	}
}

func TestADeniedEVALIsNamedThoughRedisKnowsTheScript(t *testing.T) {
	w, allow := restricted(t, "+@all", "~om:*", "&om:*")
	w.must(w.Ready(t.Context()))
	w.must(w.Check(t.Context()))
	for _, command := range []string{"eval", "evalsha"} {
		allow("-" + command)
		w.is(w.Check(t.Context()), store.ErrRefused)
		allow("+" + command)
	}
	w.must(w.Check(t.Context()))
}
