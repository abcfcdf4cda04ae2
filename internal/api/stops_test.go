package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
)

// slowFailure makes a retry of a stop take a second to fail.
func slowFailure(ctx context.Context, err error) error {
	if err != nil && isRetry(ctx) {
		time.Sleep(time.Second)
	}
	return err
}

// replica is an API whose Run is running.
type replica struct {
	*fixture
	engine http.Handler
}

// running calls test with a replica, in a bubble.
func running(t *testing.T, f *fixture, test func(r replica)) {
	t.Helper()
	a, engine := f.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	defer func() { cancel(); run.Wait() }()
	test(replica{f, engine})
}

// update changes f under its lock.
func (f *fixture) update(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// step is something that happens to a replica. It returns the status of a request, or 0.
type step func(t *testing.T, r replica) int

func TestRetriedStops(t *testing.T) {
	const ann = "Ann@contoso.example"
	change := func(change func(f *fixture)) step {
		return func(_ *testing.T, r replica) int {
			r.update(func() { change(r.fixture) })
			return 0
		}
	}
	send := func(request request) step {
		return func(_ *testing.T, r replica) int {
			answer, _ := request.ask(r.engine)
			return answer.Code
		}
	}
	sendToOther := func(request request) step {
		return func(t *testing.T, r replica) int {
			answer, _ := request.ask(handler(t, r.fixture))
			return answer.Code
		}
	}
	wait := func(d time.Duration) step {
		return func(*testing.T, replica) int { time.Sleep(d); return 0 }
	}
	away, back := change(func(f *fixture) { f.err = errAway }), change(func(f *fixture) { f.err = nil })
	unready, ready := change(func(f *fixture) { f.unready = true }), change(func(f *fixture) { f.unready = false })
	newerWish := change(func(f *fixture) {
		wish := f.wishes[ooo.FoldAddress(ann)]
		wish.At = time.Now().Add(time.Second)
		f.wishes[ooo.FoldAddress(ann)] = wish
	})
	start, stop := send(monitor(ann, "True")), send(monitor(ann, "False"))
	duringRetry, betweenRetries := wait(1500*time.Millisecond), wait(500*time.Millisecond)
	tests := map[string]struct {
		steps     []step
		monitored bool // in the end
		retried   bool // a stop is retried once Redis is back
	}{
		"Redis unreachable for a minute":  {[]step{away, stop, wait(time.Minute), back}, false, true},
		"other letter case":               {[]step{away, send(monitor("ANN@contoso.example", "False")), back}, false, true},
		"Redis not reached yet":           {[]step{unready, away, stop, ready, back}, false, true},
		"failed start":                    {[]step{away, stop, start, wait(time.Minute), back}, true, false},
		"failed start and stop":           {[]step{away, stop, start, stop, wait(time.Minute), back}, false, true},
		"failed start during a retry":     {[]step{away, stop, duringRetry, unready, start, ready, back}, true, false},
		"failed start, stop during retry": {[]step{away, stop, duringRetry, start, stop, back}, false, true},
		"start":                           {[]step{away, stop, betweenRetries, back, start}, true, false},
		"newer wish of another replica":   {[]step{away, stop, newerWish, back}, true, true},
		// A start by the mediator writes no wish. The requested sync names the user again.
		"start at another replica":      {[]step{away, stop, betweenRetries, back, sendToOther(monitor(ann, "True"))}, false, true},
		"PUT at another replica":        {[]step{away, stop, betweenRetries, back, sendToOther(put("/api/users/ann@contoso.example"))}, true, true},
		"bulk start at another replica": {[]step{away, stop, betweenRetries, back, sendToOther(bulkStart("ann@contoso.example"))}, true, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := monitorFixture()
				f.afterWish = slowFailure
				running(t, f, func(r replica) {
					for i, step := range tt.steps {
						unavailable := f.err != nil || f.unready
						if status := step(t, r); status != 0 && (unavailable && status != 503 || !unavailable && status >= 300) {
							t.Errorf("step %d = %d, want 503 while Redis is unreachable and otherwise success", i, status)
						}
					}
					f.update(func() { f.retried, f.syncRequests = nil, 0 })
					time.Sleep(time.Minute)
					synctest.Wait()
					if requested := f.syncRequests > 0; requested != (tt.retried && !tt.monitored) {
						t.Errorf("sync requested: %t, want one only after a stop that was stored", requested)
					}
					if on := f.wishes[ooo.FoldAddress(ann)].On; on != tt.monitored || len(f.retried) > 0 != tt.retried {
						t.Errorf("monitored = %t after %d retries, want %t, and retries: %t", on, len(f.retried), tt.monitored, tt.retried)
					}
				})
			})
		})
	}
}

// slowRetry makes a retry of a stop take a second to read the wish.
func slowRetry(ctx context.Context, err error) error {
	if isRetry(ctx) {
		time.Sleep(time.Second)
	}
	return err
}

func TestStartCancelsWaitingStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := monitorFixture()
		f.err, f.afterWish = errAway, slowRetry
		addresses := []string{"ann@contoso.example", "carl@contoso.example", "dora@contoso.example"}
		running(t, f, func(r replica) {
			for _, address := range addresses {
				f.add(userNamed(address))
				monitor(address, "False").ask(r.engine)
			}
			f.update(func() { f.err = nil })
			time.Sleep(1500 * time.Millisecond) // the retry of one of the stops is in flight
			for _, address := range addresses {
				if answer, body := monitor(address, "True").ask(r.engine); answer.Code != 200 {
					t.Errorf("start = %d %s, want 200", answer.Code, body)
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(f.retried) != 1 {
				t.Errorf("retried stops = %q, want only the one in flight", f.retried)
			}
		})
	})
}

// A start at another replica comes between two stops, the second during the retry of the first.
func TestStopDuringRetryIsKept(t *testing.T) {
	const ann = "Ann@contoso.example"
	synctest.Test(t, func(t *testing.T) {
		f := monitorFixture()
		f.afterWish = slowRetry
		stopInOutage := func(r replica) {
			f.update(func() { f.err = errAway })
			monitor(ann, "False").ask(r.engine)
			f.update(func() { f.err = nil })
		}
		running(t, f, func(r replica) {
			stopInOutage(r)
			time.Sleep(1200 * time.Millisecond)
			if answer, body := put("/api/users/" + ann).ask(handler(t, f)); answer.Code != 200 {
				t.Errorf("start = %d %s, want 200", answer.Code, body)
			}
			time.Sleep(200 * time.Millisecond)
			stopInOutage(r)
			time.Sleep(time.Minute)
			synctest.Wait()
			if f.wishes[ooo.FoldAddress(ann)].On {
				t.Error("the user is still monitored, want the second stop to be stored")
			}
		})
	})
}

func TestStopOverTheLimitIsRetried(t *testing.T) {
	const ann = "Ann@contoso.example"
	synctest.Test(t, func(t *testing.T) {
		f := monitorFixture()
		release := make(chan struct{})
		f.afterWish = func(_ context.Context, err error) error { <-release; return err }
		running(t, f, func(r replica) {
			var requests sync.WaitGroup
			for i := range 128 {
				requests.Go(func() { monitor(fmt.Sprintf("nobody%d@contoso.example", i), "False").ask(r.engine) })
			}
			synctest.Wait()
			began := time.Now()
			answer, _ := monitor(ann, "False").ask(r.engine)
			if took := time.Since(began); answer.Code != 503 || took != 5*time.Second {
				t.Errorf("answer = %d after %v, want 503 after 5 s", answer.Code, took)
			}
			close(release)
			requests.Wait()
			time.Sleep(time.Minute)
			synctest.Wait()
			if f.wishes[ooo.FoldAddress(ann)].On {
				t.Error("the user is still monitored")
			}
		})
	})
}

func TestRetriedStopsAreLimited(t *testing.T) {
	const limit = 10_000
	synctest.Test(t, func(t *testing.T) {
		f := monitorFixture()
		f.err, f.afterWish = errAway, slowFailure
		running(t, f, func(r replica) {
			for i := range limit + 100 {
				if answer, _ := monitor(fmt.Sprintf("user%d@contoso.example", i), "False").ask(r.engine); answer.Code != 503 {
					t.Fatalf("answer = %d, want 503", answer.Code)
				}
			}
			f.update(func() { f.err, f.retried = nil, nil })
			time.Sleep(time.Minute)
			synctest.Wait()
			oldest, newest := fmt.Sprintf("user%d@contoso.example", 0), fmt.Sprintf("user%d@contoso.example", limit)
			if len(f.retried) != limit || !slices.Contains(f.retried, oldest) || slices.Contains(f.retried, newest) {
				t.Errorf("%d stops were retried, want each of the oldest %d once", len(f.retried), limit)
			}
		})
	})
}
