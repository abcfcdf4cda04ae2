package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// within returns a context with a timeout.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestRedisOutages(t *testing.T) {
	server := redistest.Start(t)
	f := open(t, server.URL())
	f.must(f.Ready(t.Context()))
	messages := f.listen()
	lease, m := f.saved("ann")
	server.Kill()
	ctx := within(t, 20*time.Second)
	for name, call := range map[string]func() error{
		"Round":      func() error { _, err := f.Round(ctx, "me", store.Beat{Number: 2}); return err },
		"Ping":       func() error { return f.Ping(ctx) },
		"User":       func() error { _, err := f.User(ctx, "ann@contoso.example"); return err },
		"Search":     func() error { _, err := f.Search(ctx, ooo.Query{Limit: 1}); return err },
		"Users":      func() error { _, _, err := f.Users(ctx, 1, ""); return err },
		"History":    func() error { _, err := f.History(ctx, "ann@contoso.example", 1); return err },
		"FeedAfter":  func() error { _, _, err := f.FeedAfter(ctx, "1-1"); return err },
		"RecentFeed": func() error { _, _, err := f.RecentFeed(ctx, 1); return err },
		"Reports":    func() error { _, _, err := f.Reports(ctx, time.Hour); return err },
		"Lock":       func() error { _, err := f.Lock(ctx, "a", time.Minute); return err },
		"Get":        func() error { _, err := f.Storage("a").Get(ctx, "a"); return err },
		"Inspect":    func() error { _, err := f.Inspect(ctx); return err },
	} {
		err := call()
		for _, other := range []error{
			nil, ooo.ErrNotMonitored, store.ErrLocked, store.ErrDamaged, store.ErrTooOld, store.ErrReplica, context.DeadlineExceeded,
		} {
			if errors.Is(err, other) {
				t.Errorf("%s without Redis = %v, want a connection error", name, err)
			}
		}
	}
	server.Restart()
	messages.connected()
	await.True(t, "the save is answered", func() bool {
		return f.Save(t.Context(), store.Save{Lease: lease, Record: nextVersion(m)}) == nil
	})
	if got := f.load(m.ID.Partition()); len(got.Records) != 1 || got.Records[0].Version != 2 || got.Saves != 2 {
		t.Errorf("loaded %+v, want the saves before and after the restart", got)
	}
	await.True(t, "a round is answered", func() bool {
		_, err := f.Round(within(t, 800*time.Millisecond), "me", store.Beat{Number: 3})
		return err == nil
	})

	// Messages are lost while the listener is disconnected.
	f.must(f.raw.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
	read := newHint(m, ooo.HintRead, "1")
	f.must(f.LeaveHints(t.Context(), false, read))
	messages.connected()
	if f.hints()[ooo.HintRead] != read {
		t.Error("the hint is not in Redis")
	}

	// A hanging Redis carries out commands later.
	s := store.Save{Lease: lease, Record: nextVersion(nextVersion(m)), Events: []ooo.FeedEntry{event(m, ooo.EventChanged)}}
	check := newHint(m, ooo.HintCheck, "1")
	server.Pause()
	for name, try := range map[string]func(context.Context) error{
		"Round":      func(ctx context.Context) error { _, err := f.Round(ctx, "me", store.Beat{Number: 4}); return err },
		"Save":       func(ctx context.Context) error { return f.Save(ctx, s) },
		"LeaveHints": func(ctx context.Context) error { return f.LeaveHints(ctx, true, check) },
	} {
		if err := try(within(t, 200*time.Millisecond)); err == nil {
			t.Errorf("%s = nil while Redis hangs", name)
		}
	}
	var leaving sync.WaitGroup
	for i := range 200 {
		leaving.Go(func() { f.must(f.LeaveHints(t.Context(), true, newHint(newMailbox(fmt.Sprint(i)), ooo.HintRead, "1"))) })
	}
	time.Sleep(200 * time.Millisecond)
	server.Resume()
	leaving.Wait()
	if n := f.raw.PoolStats().TotalConns; n > 30 {
		t.Errorf("%d connections, want hints left at once to share a few", n)
	}
	if all, err := f.Hints(t.Context()); err != nil || len(all) < 200 {
		t.Errorf("Hints = %d, %v, want all that were left", len(all), err)
	}
	f.must(f.Save(t.Context(), s))
	f.must(f.LeaveHints(t.Context(), true, check))
	if o, err := f.Round(t.Context(), "me", store.Beat{Number: 5}); err != nil || o.Saves[m.ID.Partition()] != 3 {
		t.Errorf("Round = %v saves, %v, want 3", o.Saves[m.ID.Partition()], err)
	}
	if got := f.stored(m.ID); got == nil || got.Version != 3 || f.length("feed") != 1 || f.hints()[ooo.HintCheck] != check {
		t.Errorf("stored %+v with %d events, want one more save and the hint", got, f.length("feed"))
	}
	for m := messages.next(); len(m.Hints) == 0; m = messages.next() {
	}
}

// muted is the connection to a client that no answer reaches any more once another generation of
// connections has begun.
type muted struct {
	net.Conn
	born       int32
	generation *atomic.Int32
}

func (c muted) Write(b []byte) (int, error) {
	if c.generation.Load() > c.born {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// TestSilentConnection: a server that vanishes, or a NAT that forgets, closes no connection.
func TestSilentConnection(t *testing.T) {
	t.Parallel()
	var generation atomic.Int32
	relay := programtest.NewRelay(t, programtest.Listen(t), func(client, _ net.Conn) net.Conn {
		return muted{client, generation.Load(), &generation}
	}, redistest.Start(t).Addr())
	f := open(t, "redis://"+relay.Addr())
	messages := f.listen()
	generation.Add(1)
	messages.connected()
	await.True(t, "a hint is written", func() bool {
		return f.LeaveHints(t.Context(), true, newHint(newMailbox("ann"), ooo.HintRead, "1")) == nil
	})
	for m := messages.next(); len(m.Hints) == 0; m = messages.next() {
	}
}

// lossy is a hook that loses answers: the connection breaks after Redis has answered.
type lossy struct {
	lose       atomic.Int32 // number of answers to lose
	clientSent atomic.Bool  // a CLIENT command was sent
}

func (l *lossy) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		return lossyConn{conn, l}, err
	}
}

func (*lossy) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (*lossy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

type lossyConn struct {
	net.Conn
	*lossy
}

func (c lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.lose.Load() > 0 && c.lose.Add(-1) >= 0 {
		c.Close()
		return 0, io.EOF
	}
	return n, err
}

func (c lossyConn) Write(b []byte) (int, error) {
	if bytes.Contains(bytes.ToLower(b), []byte("\r\nclient\r\n")) {
		c.clientSent.Store(true)
	}
	return c.Conn.Write(b)
}

func TestLostAnswers(t *testing.T) {
	f := open(t, redistest.Start(t).URL())
	l := &lossy{}
	for _, client := range store.Clients(f.Store) {
		client.AddHook(l)
	}
	lease, m := f.saved("ann")
	p := m.ID.Partition()
	h := newHint(m, ooo.HintWish, "1")
	f.must(f.LeaveHints(t.Context(), false, h))
	f.swapWish(ooo.Wish{}, newWish("ann", "a")) // also loads the script
	f.table()

	l.lose.Store(1)
	f.must(f.Save(t.Context(), store.Save{
		Lease: lease, Record: nextVersion(m), DoneHints: []ooo.Hint{h}, Events: []ooo.FeedEntry{event(m, ooo.EventChanged)},
	}))
	if got := f.load(p); got.Records[0].Version != 2 || got.Saves != 2 || f.length("feed") != 1 {
		t.Errorf("loaded %+v, want one save", got)
	}
	l.lose.Store(1)
	f.swapWish(newWish("ann", "a"), newWish("ann", "b"))
	if got := f.wish("ann@contoso.example").Nonce; got != "b" {
		t.Errorf("nonce = %q, want b", got)
	}
	l.lose.Store(1)
	other := store.Lease{Life: "you", Tenure: 1}
	if !f.swap(store.Swap{Field: store.LeaseField(p), Old: lease.String(), New: other.String()}) || f.table().Leases[p] != other {
		t.Error("the lease was not swapped")
	}
	// Two lost answers in a row: the outcome is unknown.
	l.lose.Store(2)
	first := store.Save{Lease: other, Record: nextVersion(nextVersion(m))}
	if err := f.Save(t.Context(), first); err == nil {
		t.Error("Save = nil without an answer")
	}
	f.must(f.Save(t.Context(), first))
	if got := f.load(p).Saves; got != 3 {
		t.Errorf("saves = %d, want 3", got)
	}
	// Round makes one attempt.
	l.lose.Store(1)
	if _, err := f.Round(t.Context(), "me", store.Beat{Number: 9}); err == nil {
		t.Error("Round = nil without an answer")
	}
	rounds := store.Clients(f.Store)[1]
	await.True(t, "a connection is opened for the next round", func() bool { return rounds.PoolStats().IdleConns > 0 })
	if l.clientSent.Load() {
		t.Error("connecting takes CLIENT commands, want only HELLO")
	}
}

func TestRedisURL(t *testing.T) {
	const encode = "percent-encode"
	for url, remedy := range map[string]string{ // no remedy: valid
		"redis://h": "", "rediss://:pw@h:1/2": "", "redis://u:p%2F%23w@h": "", "redis://:p@s+w@h": "",
		"redis://h/0?addr=i:1": "", "redis://h/2?master_name=m&addr=i:1": "",
		"redis://u:secret/34@h": encode, "redis://h?master_name=m&password=secret+b": encode, "redis://h?master_name=m&password=secret#b": encode,
		"redis://h?master_name=m&password=secret%b": encode, "redis:///0": encode, "redis://h:0": encode, "redis://h:65536": encode,
		"redis://u:12#secret@h": encode, "redis://u:100%@h": encode, "redis://:secret/w@h": encode, "redis://:secret#x@h": encode, "redis://u:1?secret@h": encode, "redis://:secret%zz@h": encode,
		"redis://:secret b@h": encode, "h:6379": encode, "": encode, "http://h": encode, "redis://:secret@h/x": encode,
		"redis://:secret@h?addr=i:1&nonsense=1": encode, "redis://h?master_name=m&password=secret&w": encode,
		"redis://:secret@h?pool_size=-1": encode, "redis://:secret@h?master_name=m&route_randomly=true": encode,
		"redis://:secret@h/2?addr=i:1": "a Cluster has only database 0",
	} {
		err := store.CheckURL(url)
		if text := fmt.Sprint(err); (err == nil) != (remedy == "") || !strings.Contains(text, remedy) || strings.Contains(text, "secret") {
			t.Errorf("CheckURL(%s) = %v, want %q without the password", url, err, remedy)
		}
	}
	for option, want := range map[string]int{"": 64, "?pool_size=5": 5} {
		if got := open(t, "redis://h"+option).raw.(*redis.Client).Options().PoolSize; got != want {
			t.Errorf("pool size with %q = %d, want %d", option, got, want)
		}
	}
}
