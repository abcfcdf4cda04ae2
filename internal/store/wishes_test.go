package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

var wishSuite = map[string]func(*testing.T, *fixture){
	"wishes are swapped by nonce, with their hints": func(t *testing.T, f *fixture) {
		if got := f.wish("ann@contoso.example"); got != (ooo.Wish{}) {
			t.Fatalf("wish = %+v, want none", got)
		}
		for _, step := range []struct {
			name     string
			old, new ooo.Wish
			want     bool
		}{
			{"missing old wish", newWish("ann", "x"), newWish("ann", "a"), false},
			{"first wish", ooo.Wish{}, newWish("ann", "a"), true},
			{"repeated after a lost answer", ooo.Wish{}, newWish("ann", "a"), true},
			{"second first wish", ooo.Wish{}, newWish("ann", "b"), false},
			{"other spelling", newWish("ann", "a"), newWish("ANN", "ab"), true},
			{"prefix of the nonce", newWish("ann", "a"), newWish("ann", "c"), false},
		} {
			if got, err := f.SwapWish(t.Context(), step.old, step.new); got != step.want || err != nil {
				t.Errorf("%s: swapped = %v, %v, want %v", step.name, got, err, step.want)
			}
		}
		want := newWish("ANN", "ab")
		want.At = want.At.Add(time.Millisecond) // must increase
		if got := f.wish("aNN@contoso.example "); got != want {
			t.Errorf("wish = %+v, want %+v", got, want)
		}
		if got := f.hints()[ooo.HintWish].Nonce; got != "ab" {
			t.Errorf("nonce of the hint = %q, want ab", got)
		}
		if _, err := f.SwapWish(t.Context(), newWish("ANN", "ab"), newWish("ann", "")); err == nil {
			t.Error("SwapWish without a nonce = nil, want an error")
		}
	},
	"one of two concurrent writers wins": func(t *testing.T, f *fixture) {
		last := ooo.Wish{}
		for round := range 30 {
			var wg sync.WaitGroup
			var won [2]bool
			nonces := [2]string{fmt.Sprint(round, "-a"), fmt.Sprint(round, "-b")}
			for i, nonce := range nonces {
				wg.Go(func() {
					var err error
					if won[i], err = f.SwapWish(t.Context(), last, newWish("ann", nonce)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			last = f.wish("ann@contoso.example")
			winner := slices.Index(nonces[:], last.Nonce)
			if won[0] == won[1] || winner < 0 || !won[winner] || f.hints()[ooo.HintWish].Nonce != last.Nonce {
				t.Fatalf("round %d: won %v, wish %q, hint %q", round, won, last.Nonce, f.hints()[ooo.HintWish].Nonce)
			}
		}
	},
	"many wishes are swapped independently": func(t *testing.T, f *fixture) {
		f.must(f.raw.ScriptFlush(t.Context()).Err())
		var changes []store.WishChange
		var addresses []string
		for i := range 1203 {
			name := fmt.Sprint("u", i)
			c := store.WishChange{New: newWish(name, "1")}
			if i%100 == 7 {
				c.Old.Nonce = "unknown"
			}
			changes, addresses = append(changes, c), append(addresses, strings.ToUpper(c.New.Address))
		}
		swapped, err := f.SwapWishes(t.Context(), changes)
		f.must(err)
		wishes, err := f.Wishes(t.Context(), addresses...)
		f.must(err)
		all, err := f.AllWishes(t.Context())
		f.must(err)
		if len(swapped) != len(changes) || len(wishes) != len(changes) || len(all) != len(changes)-12 {
			t.Fatalf("%d results, %d wishes, %d in all", len(swapped), len(wishes), len(all))
		}
		for i, wish := range wishes {
			want := changes[i].New
			if i%100 == 7 {
				want = ooo.Wish{}
			}
			if wish != want || swapped[i] != (i%100 != 7) {
				t.Fatalf("wish %d = %+v, swapped %v", i, wish, swapped[i])
			}
		}
	},
}
