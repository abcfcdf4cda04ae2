package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
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
	retryingLate(t, func(t *testing.T, w *world, ask func(ctx context.Context, email, status string) int) {
		story(t, w, func(email, status string) int { return ask(t.Context(), email, status) })
	})
}

// retryingLate is for requests that come with a context of their own.
func retryingLate(t *testing.T, story func(t *testing.T, w *world, ask func(ctx context.Context, email, status string) int)) {
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
		story(t, w, func(ctx context.Context, email, status string) int {
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/monitor", strings.NewReader(fmt.Sprintf(`{"email":%q,"status":%q}`, email, status)))
			r.Header.Set("Content-Type", "application/json")
			answer := httptest.NewRecorder()
			engine.ServeHTTP(answer, r)
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

// has says whether a user is monitored, and how many stops were retried with success.
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
				w.set(func() { w.late = nil })
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

// TestAStopThatIsPassedOnTooLateIsCarriedOut has no time left for the request.
func TestAStopThatIsPassedOnTooLateIsCarriedOut(t *testing.T) {
	const who = "Ann@contoso.example"
	retryingLate(t, func(t *testing.T, w *world, ask func(ctx context.Context, email, status string) int) {
		ended, end := context.WithCancel(t.Context())
		end()
		if code := ask(ended, who, "False"); code != 503 {
			t.Errorf("answer = %d, want 503", code)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if monitored, late := w.has(who); monitored || late != 1 {
			t.Errorf("monitored = %v after %d late stops, want false after one", monitored, late)
		}
	})
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
		r := httptest.NewRequest(http.MethodPost, "/monitor", strings.NewReader(`{"email":"Ann@contoso.example","status":"False"}`))
		r.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		handler(t, w).ServeHTTP(answer, r)
		want := ooo.Hint{ID: id, Kind: ooo.HintWish, Subject: folded}
		if h := w.hints; answer.Code != 200 || len(h) != 1 || h[0].ID != want.ID || h[0].Kind != want.Kind || h[0].Subject != want.Subject {
			t.Errorf("answer %d, hints %+v, want one for the mailbox %s", answer.Code, h, id)
		}
	}
}
