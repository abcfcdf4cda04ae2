package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

var wishSuite = map[string]func(*testing.T, *world){
	"a wish is swapped with its hint, by its nonce": func(t *testing.T, w *world) {
		if got := w.wish("ann@contoso.example"); got != (ooo.Wish{}) {
			t.Fatalf("wish = %+v, want none", got)
		}
		m := mailbox("ann")
		steps := []struct {
			name     string
			old, new ooo.Wish
			want     bool
		}{
			{"there is one already", on("ann", "x"), on("ann", "a"), false},
			{"the first", ooo.Wish{}, on("ann", "a"), true},
			{"the answer was lost", ooo.Wish{}, on("ann", "a"), true},
			{"two firsts", ooo.Wish{}, on("ann", "b"), false},
			{"in another spelling", on("ann", "a"), on("ANN", "ab"), true},
			{"by a part of the nonce", on("ann", "a"), on("ann", "c"), false},
		}
		for _, step := range steps {
			h := hint(m, ooo.HintWish, step.new.Nonce)
			if got, err := w.SwapWish(t.Context(), step.old, step.new, h); got != step.want || err != nil {
				t.Errorf("%s: swapped = %v, %v, want %v", step.name, got, err, step.want)
			}
		}
		want := on("ANN", "ab")
		want.At = want.At.Add(time.Millisecond) // later than the one before, though both name the same time
		if got := w.wish("aNN@contoso.example "); got != want {
			t.Errorf("wish = %+v, want that in capitals", got)
		}
		if got := w.hints()[ooo.HintWish].Nonce; got != "ab" {
			t.Errorf("hint = %q, want that of the last wish", got)
		}
		if got, err := w.SwapWish(t.Context(), want, on("ANN", "e"), ooo.Hint{}); !got || err != nil {
			t.Errorf("swapped without a hint = %v, %v, want true", got, err)
		}
		if got := w.hints(); len(got) != 1 || got[ooo.HintWish].Nonce != "ab" || w.wish("ann@contoso.example").Nonce != "e" {
			t.Errorf("hints = %v, want the one that was there", got)
		}
		if _, err := w.SwapWish(t.Context(), on("ANN", "ab"), on("ann", ""), hint(m, ooo.HintWish, "d")); err == nil {
			t.Error("a wish without a nonce was taken")
		}
	},
	"of two writers within ms one wins": func(t *testing.T, w *world) {
		m := mailbox("ann")
		last := ooo.Wish{}
		for round := range 30 {
			var wg sync.WaitGroup
			won := make([]bool, 2)
			for i := range won {
				wg.Go(func() {
					var err error
					nonce := fmt.Sprintf("%d-%d", round, i)
					if won[i], err = w.SwapWish(context.Background(), last, on("ann", nonce), hint(m, ooo.HintWish, nonce)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			winner := 0
			if won[1] {
				winner = 1
			}
			last = w.wish("ann@contoso.example")
			nonce := fmt.Sprintf("%d-%d", round, winner)
			if won[0] == won[1] || last.Nonce != nonce || w.hints()[ooo.HintWish].Nonce != nonce {
				t.Fatalf("round %d: won %v, wish %q, hint %q", round, won, last.Nonce, w.hints()[ooo.HintWish].Nonce)
			}
		}
	},
	"many are swapped each by itself": func(t *testing.T, w *world) {
		w.must(w.raw.ScriptFlush(t.Context()).Err())
		var changes []store.WishChange
		var addresses []string
		for i := range 1203 {
			name := fmt.Sprint("u", i)
			c := store.WishChange{New: on(name, "1"), Hint: hint(mailbox(name), ooo.HintWish, "1")}
			if i%100 == 7 {
				c.Old.Nonce = "foreign"
			}
			changes, addresses = append(changes, c), append(addresses, strings.ToUpper(c.New.Address))
		}
		swapped, err := w.SwapWishes(t.Context(), changes)
		w.must(err)
		wishes, err := w.Wishes(t.Context(), addresses...)
		w.must(err)
		all, err := w.AllWishes(t.Context())
		w.must(err)
		if len(swapped) != len(changes) || len(wishes) != len(changes) || len(all) != len(changes)-12 {
			t.Fatalf("%d swapped, %d wishes, %d in all", len(swapped), len(wishes), len(all))
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
	"a damaged wish hides no other and can be replaced": func(t *testing.T, w *world) {
		bad := map[string]string{"a": "", "b": "x", "c": "n:{", "d": ":{}", "e": `n:{"address":"other@x"}`}
		addresses := []string{"ann@contoso.example"}
		for name, value := range bad {
			address := name + "@contoso.example"
			w.must(w.raw.HSet(t.Context(), "om:{om}:wants", address, value).Err())
			addresses = append(addresses, address)
		}
		w.wants(ooo.Wish{}, on("ann", "1"), hint(mailbox("ann"), ooo.HintWish, "1"))
		wishes, err := w.Wishes(t.Context(), addresses...)
		w.must(err)
		all, err := w.AllWishes(t.Context())
		w.must(err)
		if wishes[0] != on("ann", "1") || len(all) != 1 {
			t.Errorf("wishes = %+v, in all %+v", wishes, all)
		}
		for i, address := range addresses[1:] {
			got, err := w.Wish(t.Context(), address)
			w.is(err, store.ErrDamaged)
			if got != wishes[i+1] || strings.Contains(err.Error(), "contoso") {
				t.Errorf("wish = %+v and %+v, %v", got, wishes[i+1], err)
			}
			name, _, _ := strings.Cut(address, "@")
			if ok, err := w.SwapWish(t.Context(), got, on(name, "2"), hint(mailbox(name), ooo.HintWish, "2")); !ok || err != nil {
				t.Errorf("%s: swapped = %v, %v", name, ok, errors.Unwrap(err))
			}
		}
	},
}
