package api_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
)

// slow is a store that takes a while to fail a stop that is retried.
type slow struct{ *world }

func (s slow) Wish(ctx context.Context, address string) (ooo.Wish, error) {
	if ctx.Err() != nil {
		return ooo.Wish{}, ctx.Err()
	}
	w, err := s.world.Wish(ctx, address)
	if err != nil && late(ctx) {
		time.Sleep(time.Second)
	}
	return w, err
}

// retrying runs a story with an API that retries stops.
func retrying(t *testing.T, story func(t *testing.T, w *world, ask func(email, status string) int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := monitorWorld()
		a, engine := w.open(t, slow{w}, w)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := a.Run(ctx); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
		defer func() { cancel(); running.Wait() }()
		story(t, w, func(email, status string) int {
			answer, _ := asJSON(fmt.Sprintf(`{"email":%q,"status":%q}`, email, status)).ask(engine)
			return answer.Code
		})
	})
}

// set changes what the store says.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// has reports whether a user is monitored, and how many stops were retried with success.
func (w *world) has(address string) (monitored bool, late int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	monitored = w.wishes[ooo.FoldAddress(address)].On
	return monitored, len(w.late)
}

func TestAStopThatCouldNotBeStoredIsCarriedOutLater(t *testing.T) {
	const who = "Ann@contoso.example"
	away := func(w *world) { w.set(func() { w.err = errors.New("redis: connection refused") }) }
	back := func(w *world) { w.set(func() { w.err = nil }) }
	tests := map[string]struct {
		story     func(w *world, ask func(email, status string) int) (statuses []int)
		monitored bool
		late      bool // a stop was carried out late
	}{
		"Redis is away for a while": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			code := ask(who, "False")
			time.Sleep(time.Minute)
			back(w)
			return []int{code}
		}, false, true},
		"in another letter case": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			code := ask("ANN@contoso.example", "False")
			back(w)
			return []int{code}
		}, false, true},
		"Redis was not reached yet": {func(w *world, ask func(email, status string) int) []int {
			w.unready = true
			away(w)
			code := ask(who, "False")
			w.unready = false
			back(w)
			return []int{code}
		}, false, true},
		"a start that could not be stored either": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			codes := []int{ask(who, "False"), ask(who, "True")}
			time.Sleep(time.Minute)
			back(w)
			return codes
		}, true, false},
		"a stop after such a start": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			codes := []int{ask(who, "False"), ask(who, "True"), ask(who, "False")}
			time.Sleep(time.Minute)
			back(w)
			return codes
		}, false, true},
		"a start that comes while the stop is tried, and could not be stored either": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			codes := []int{ask(who, "False")}
			time.Sleep(500 * time.Millisecond)
			w.unready = true
			codes = append(codes, ask(who, "True"))
			w.unready = false
			back(w)
			return codes
		}, true, false},
		"a stop after a start that came while an older one was tried": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			codes := []int{ask(who, "False")}
			time.Sleep(500 * time.Millisecond)
			codes = append(codes, ask(who, "True"), ask(who, "False"))
			back(w)
			return codes
		}, false, true},
		"somebody else stored something later": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			code := ask(who, "False")
			w.set(func() {
				wish := w.wishes[ooo.FoldAddress(who)]
				wish.At = time.Now().Add(time.Second)
				w.wishes[ooo.FoldAddress(who)], w.err = wish, nil
			})
			return []int{code}
		}, true, true},
		"a start of another replica's that finds nothing to do": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			code := ask(who, "False")
			time.Sleep(10 * time.Millisecond) // it was tried once, and waits
			back(w)
			if response, _ := asJSON(`{"email":"Ann@contoso.example","status":"True"}`).ask(handler(t, w)); response.Code != 200 {
				return nil
			}
			return []int{code}
		}, false, true}, // the mediator, which is asked for its users, names it again
		"an operator's start at another replica that finds nothing to do": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			code := ask(who, "False")
			time.Sleep(10 * time.Millisecond)
			back(w)
			put := put("/api/users/ann@contoso.example")
			if response, _ := put.ask(handler(t, w)); response.Code != 200 {
				return nil
			}
			return []int{code}
		}, true, true},
		"many starts of another replica's": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			code := ask(who, "False")
			time.Sleep(10 * time.Millisecond)
			back(w)
			many := postJSON("/api/users", `{"emails":["ann@contoso.example"]}`)
			if response, _ := many.ask(handler(t, w)); response.Code != 202 {
				return nil
			}
			return []int{code}
		}, true, true},
		"a start that was stored": {func(w *world, ask func(email, status string) int) []int {
			away(w)
			codes := []int{ask(who, "False")}
			time.Sleep(10 * time.Millisecond) // it was tried once, and waits
			back(w)
			if ask(who, "True") != 200 {
				return nil
			}
			return codes
		}, true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			retrying(t, func(t *testing.T, w *world, ask func(email, status string) int) {
				codes := tt.story(w, ask)
				w.set(func() { w.late, w.owed = nil, 0 })
				time.Sleep(time.Minute)
				synctest.Wait()
				for _, code := range codes {
					if code != 503 {
						t.Errorf("answers = %v, want 503 each", codes)
					}
				}
				if owed := w.owed > 0; owed != (tt.late && !tt.monitored) {
					t.Errorf("the mediator is asked for its users: %v, want it after a stop that was carried out", owed)
				}
				if monitored, late := w.has(who); len(codes) == 0 || monitored != tt.monitored || late > 0 != tt.late {
					t.Errorf("monitored = %v after %d late stops (answers %v), want %v and %v", monitored, late, codes, tt.monitored, tt.late)
				}
			})
		})
	}
}

// TestWhatCanNotBeStoredIsNotLost asks for starts and stops that are answered 503.
func TestWhatCanNotBeStoredIsNotLost(t *testing.T) {
	put := put("/api/users/bob@contoso.example")
	tests := map[string]struct {
		request
		owed int
	}{
		"a start": {asJSON(`{"email":"bob@contoso.example","status":"True"}`), 1},
		"a stop":  {asJSON(`{"email":"bob@contoso.example","status":"False"}`), 0}, // it is retried
		"a PUT":   {put, 0},                                                        // the mediator does not know of it
	}
	for name, tt := range tests {
		for why, set := range map[string]func(w *world){"Redis is away": func(w *world) { w.err = errAway }, "it was not reached yet": func(w *world) { w.unready = true }} {
			w := monitorWorld()
			set(w)
			if response, body := tt.ask(handler(t, w)); response.Code != 503 || w.owed != tt.owed {
				t.Errorf("%s while %s = %d %s and %d syncs, want 503 and %d", name, why, response.Code, body, w.owed, tt.owed)
			}
		}
	}
}

// TestAStopThatGetsNoTurnIsCarriedOutLater has as many requests as are worked on at once
// hang in the store.
func TestAStopThatGetsNoTurnIsCarriedOutLater(t *testing.T) {
	const who = "Ann@contoso.example"
	synctest.Test(t, func(t *testing.T) {
		w := monitorWorld()
		hanging := &hanging{world: w, release: make(chan struct{})}
		a, engine := w.open(t, hanging, w)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = a.Run(ctx) })
		stop := func(who string) (status int, took time.Duration) {
			began := time.Now()
			answer, _ := asJSON(fmt.Sprintf(`{"email":%q,"status":"False"}`, who)).ask(engine)
			return answer.Code, time.Since(began)
		}
		for i := range 128 {
			running.Go(func() { stop(fmt.Sprintf("nobody%d@contoso.example", i)) })
		}
		synctest.Wait()
		if status, took := stop(who); status != 503 || took != 5*time.Second {
			t.Errorf("answer = %d after %v, want 503 after 5 s", status, took)
		}
		close(hanging.release)
		time.Sleep(time.Minute)
		if monitored, _ := w.has(who); monitored {
			t.Error("the user is monitored, want the stop carried out")
		}
		cancel()
		running.Wait()
	})
}

// hanging is a store that does not answer until it is released.
type hanging struct {
	*world
	release chan struct{}
}

func (h *hanging) Wish(ctx context.Context, address string) (ooo.Wish, error) {
	select {
	case <-h.release:
		return h.world.Wish(ctx, address)
	case <-ctx.Done():
		return ooo.Wish{}, ctx.Err()
	}
}

func TestStopsThatAreRememberedAreBounded(t *testing.T) {
	const most = 10_000
	retrying(t, func(t *testing.T, w *world, ask func(email, status string) int) {
		w.set(func() { w.err = errors.New("redis: connection refused") })
		for i := range most + 100 {
			if code := ask(fmt.Sprintf("user%d@contoso.example", i), "False"); code != 503 {
				t.Fatalf("answer = %d, want 503", code)
			}
		}
		w.set(func() { w.err, w.late = nil, nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		late := map[string]bool{}
		w.set(func() {
			for _, address := range w.late {
				late[address] = true
			}
		})
		if len(late) < most || len(late) > most+1 || !late[fmt.Sprintf("user%d@contoso.example", most+99)] {
			t.Errorf("%d stops were carried out late, want the newest %d", len(late), most)
		}
	})
}

// TestAStopOverADamagedWish reaches the mailbox that has the address.
func TestAStopOverADamagedWish(t *testing.T) {
	for _, nonce := range []string{"damaged", ""} {
		w := monitorWorld()
		const folded = "ann@contoso.example"
		id := w.rows[folded].ID
		w.damaged, w.wishes[folded] = folded, ooo.Wish{Nonce: nonce}
		answer, _ := asJSON(`{"email":"Ann@contoso.example","status":"False"}`).ask(handler(t, w))
		want := ooo.Hint{ID: id, Kind: ooo.HintWish, Subject: folded}
		if h := w.hints; answer.Code != 200 || len(h) != 1 || h[0].ID != want.ID || h[0].Kind != want.Kind || h[0].Subject != want.Subject {
			t.Errorf("answer %d, hints %+v, want one for the mailbox %s", answer.Code, h, id)
		}
	}
}
