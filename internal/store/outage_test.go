package store_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// within is a context for one try.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestRedisIsKilledAndRestarted(t *testing.T) {
	server := redistest.Start(t)
	w := open(t, server.URL(), "")
	w.must(w.Ready(t.Context()))
	heard := w.listen()
	heard.connected()
	lease, m := w.saved("ann")
	server.Kill()
	if _, err := w.Round(within(t, 800*time.Millisecond), "me", store.Beat{Number: 2}); err == nil {
		t.Error("a round was answered by nobody")
	}
	if err := w.Ping(within(t, 800*time.Millisecond)); err == nil {
		t.Error("nobody answered a ping")
	}
	server.Restart()
	heard.connected()
	w.eventually("the save is answered", func() bool {
		return w.Save(t.Context(), store.Save{Lease: lease, Record: next(m)}) == nil
	})
	if got := w.load(m.ID.Partition()); len(got.Records) != 1 || got.Records[0].Version != 2 || got.Saves != 2 {
		t.Errorf("loaded %+v, want what was saved before and after", got)
	}
	w.eventually("a round is answered", func() bool {
		_, err := w.Round(within(t, 800*time.Millisecond), "me", store.Beat{Number: 3})
		return err == nil
	})

	// Messages that are sent while nobody is connected are lost.
	w.must(w.raw.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
	read := hint(m, ooo.HintRead, "1")
	w.must(w.LeaveHints(t.Context(), false, read))
	heard.connected()
	if w.hints()[ooo.HintRead] != read {
		t.Error("the hint is not found by looking")
	}
}

// TestRedisIsPausedAndResumed sends what a Redis that hangs may carry out later.
func TestRedisIsPausedAndResumed(t *testing.T) {
	server := redistest.Start(t)
	w := open(t, server.URL(), "")
	heard := w.listen()
	heard.connected()
	lease, m := w.saved("ann")
	w.table()
	s := store.Save{Lease: lease, Record: next(m), Events: []ooo.FeedEntry{event(m, ooo.EventChanged)}}
	read := hint(m, ooo.HintRead, "1")
	server.Pause()
	for name, try := range map[string]func(context.Context) error{
		"Round":      func(ctx context.Context) error { _, err := w.Round(ctx, "me", store.Beat{Number: 2}); return err },
		"Save":       func(ctx context.Context) error { return w.Save(ctx, s) },
		"LeaveHints": func(ctx context.Context) error { return w.LeaveHints(ctx, true, read) },
	} {
		if err := try(within(t, 200*time.Millisecond)); err == nil {
			t.Errorf("%s = nil from a Redis that hangs", name)
		}
	}
	server.Resume()
	w.must(w.Save(t.Context(), s))
	w.must(w.LeaveHints(t.Context(), true, read))
	if o, err := w.Round(t.Context(), "me", store.Beat{Number: 3}); err != nil || o.Saves[m.ID.Partition()] != 2 {
		t.Errorf("Round = %v saves, %v, want 2", o.Saves[m.ID.Partition()], err)
	}
	if got := w.stored(m.ID); got == nil || got.Version != 2 || w.length("feed") != 1 || w.hints()[ooo.HintRead] != read {
		t.Errorf("stored %+v with %d events, want the save once, and the hint", got, w.length("feed"))
	}
	for m := heard.next(); len(m.Hints) == 0; m = heard.next() {
	}
}

// lossy passes on what a client and a server say, but for answers that it is to lose:
// then it closes the connection after the server has answered.
type lossy struct {
	addr string
	lose atomic.Int32 // answers to lose
}

func newLossy(t *testing.T, server string) *lossy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			wg.Go(func() {
				io.Copy(upstream, client) //nolint:errcheck // either end may close
				upstream.Close()
			})
			wg.Go(func() {
				defer client.Close()
				buffer := make([]byte, 1<<16)
				for {
					n, err := upstream.Read(buffer)
					if err != nil || l.lose.Load() > 0 && l.lose.Add(-1) >= 0 {
						return
					}
					client.Write(buffer[:n]) //nolint:errcheck // either end may close
				}
			})
		}
	})
	return l
}

func TestAnswersAreLost(t *testing.T) {
	l := newLossy(t, strings.TrimPrefix(redistest.Start(t).URL(), "redis://"))
	w := open(t, "redis://"+l.addr, "")
	lease, m := w.saved("ann")
	p := m.ID.Partition()
	h := hint(m, ooo.HintWish, "1")
	w.must(w.LeaveHints(t.Context(), false, h))
	w.wants(ooo.Wish{}, on("ann", "a"), h) // the script is known now
	w.table()

	l.lose.Store(1)
	w.must(w.Save(t.Context(), store.Save{Lease: lease, Record: next(m), DoneHints: []ooo.Hint{h}, Events: []ooo.FeedEntry{event(m, ooo.EventChanged)}}))
	if got := w.load(p); got.Records[0].Version != 2 || got.Saves != 2 || w.length("feed") != 1 {
		t.Errorf("loaded %+v, want the save once", got)
	}
	l.lose.Store(1)
	if ok, err := w.SwapWish(t.Context(), on("ann", "a"), on("ann", "b"), h); !ok || err != nil || w.wish("ann@contoso.example").Nonce != "b" {
		t.Errorf("swapped = %v, %v", ok, err)
	}
	l.lose.Store(1)
	other := store.Lease{Life: "you", Tenure: 1}
	if !w.swap(store.Swap{Field: store.LeaseField(p), Old: lease.String(), New: other.String()}) || w.table().Leases[p] != other {
		t.Error("the lease was not swapped")
	}
	// Two lost in a row: the outcome is not known.
	l.lose.Store(2)
	first := store.Save{Lease: other, Record: next(next(m))}
	if err := w.Save(t.Context(), first); err == nil {
		t.Error("a save without an answer was taken for carried out")
	}
	w.must(w.Save(t.Context(), first))
	if got := w.load(p).Saves; got != 3 {
		t.Errorf("saves = %d, want 3", got)
	}
	// A round is one try.
	l.lose.Store(1)
	if _, err := w.Round(t.Context(), "me", store.Beat{Number: 9}); err == nil {
		t.Error("a round was sent twice")
	}
}

func TestRoundsEndWithTheirContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().String()
	for name, url := range map[string]string{
		"single": "redis://" + addr, "Cluster": "redis://" + addr + "?addr=" + addr, "Sentinel": "redis://" + addr + "?master_name=om",
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, url, "")
			ctx := within(t, 300*time.Millisecond)
			ended := make(chan error, 1)
			go func() {
				_, err := w.Round(ctx, "me", store.Beat{})
				ended <- err
			}()
			select {
			case err := <-ended:
				if err == nil {
					t.Error("a round was answered by nobody")
				}
			case <-time.After(20 * time.Second):
				t.Error("the round does not end")
			}
		})
	}
}

func TestRedisURL(t *testing.T) {
	for url, taken := range map[string]bool{
		"redis://h": true, "rediss://:pw@h:1/2": true, "redis://u:p%2F%23w@h": true, "redis://h?addr=i:1": true, "redis://h?master_name=m&addr=i:1": true,
		"redis://:pa@ss@h": true, "redis://:p+w@h": true, "redis://:secret/w@h": false, "redis://:secret#x@h": false, "redis://u:1?secret@h": false,
		"redis://:secret%zz@h": false, "redis://:secret b@h": false, "h:6379": false, "": false, "http://h": false, "redis://:secret@h/x": false,
		"redis://:secret@h?addr=i:1&nonsense=1": false, "redis://h?master_name=m&password=secret&w": false,
	} {
		s, err := store.Open(store.Config{URL: url})
		if err == nil {
			s.Close()
		}
		if (err == nil) != taken {
			t.Errorf("Open(%s) = %v, want it taken: %t", url, err, taken)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "percent-encode")) {
			t.Errorf("Open(%s) = %v, want the remedy without the password", url, err)
		}
	}
}

func TestWhosePasswordIsWhichBehindSentinel(t *testing.T) {
	url := redistest.StartSentinel(t, "requirepass secret").URL()
	w := open(t, url+"&password=secret", "")
	w.must(w.Check(t.Context()))
	for _, wrong := range []string{url, strings.Replace(url, "redis://", "redis://:secret@", 1)} {
		if err := open(t, wrong, "").Ping(t.Context()); err == nil {
			t.Errorf("Ping of %s = nil, want it to miss the password", wrong)
		}
	}
}
