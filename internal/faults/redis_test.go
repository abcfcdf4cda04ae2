package faults_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/redistest"
)

// What befalls Redis.

// order sends one command to a server.
func order(t testing.TB, s *redistest.Server, args ...any) any {
	t.Helper()
	options, err := redis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	options.MaxRetries = -1
	client := redis.NewClient(options)
	defer client.Close()
	answer, err := client.Do(context.Background(), args...).Result()
	if err != nil {
		t.Fatalf("redis %v = %v", args, err)
	}
	return answer
}

func sentinels(t testing.TB) stores {
	s := redistest.StartSentinel(t)
	return stores{url: s.URL(), sentinel: s}
}

func eachSecond(t testing.TB) stores { return behind(t, redistest.Start(t, "appendfsync everysec")) }

func withClock(t testing.TB) stores { return behind(t, redistest.StartWithClock(t)) }

// lose has the answers to some requests lost until enough of them were.
func (w *world) lose(some aim, enough func() bool) {
	w.store.way.loses.Store(&some)
	w.met(enough)
	w.store.way.loses.Store(nil)
}

// crashRedis ends a server as a crash would.
func (w *world) crashRedis(s *redistest.Server) {
	s.Kill()
	w.kills++
}

var redisCells = []cell{
	{name: "Redis killed and restarted with its AOF", short: true, allowed: unanswered, apply: func(w *world) {
		w.crashRedis(w.store.server)
		last(time.Second, 5*time.Second)
		w.store.server.Restart()
	}},
	{name: "Redis restarted empty", short: true, allowed: unanswered, forgets: true, apply: func(w *world) {
		w.kills++
		w.store.server.RestartEmpty()
		w.forgot = time.Now()
		last(time.Second, 5*time.Second)
	}},
	{name: "Redis comes back with older data", short: true, allowed: unanswered, forgets: true, apply: func(w *world) {
		w.store.server.Keep()
		time.Sleep(time.Second + w.part(2*time.Second))
		w.enter() // one starts and another one stops, which the older data does not have
		w.leave()
		time.Sleep(time.Second + w.part(2*time.Second))
		w.kills++
		w.store.server.RestartOlder()
		w.forgot = time.Now()
		last(3*time.Second, 6*time.Second)
	}},
	{name: "Redis' answers to saves get lost", short: true, allowed: unanswered, apply: func(w *world) {
		var n atomic.Int64
		w.lose(func(piece []byte) bool { return changeSaved(piece) && n.Add(1)%2 == 0 }, func() bool { return n.Load() > 3 })
		w.lose(func(piece []byte) bool { return deliverySaved(piece) && n.Add(1)%2 == 0 }, func() bool { return n.Load() > 8 })
	}},
	{name: "Redis' answers to rounds get lost", allowed: unanswered, apply: func(w *world) {
		var n atomic.Int64
		w.lose(func(piece []byte) bool { return bears("\r\nbeat:")(piece) && n.Add(1)%3 > 0 }, func() bool { return n.Load() > 12 })
	}},
	{name: "Redis away", short: true, allowed: unanswered, apply: func(w *world) {
		w.crashRedis(w.store.server)
		last(10*time.Second, 30*time.Second)
		w.store.server.Restart()
	}},
	{name: "Redis silent", allowed: unanswered, apply: func(w *world) {
		w.store.server.Pause()
		last(10*time.Second, 30*time.Second)
		w.store.server.Resume()
	}},
	{name: "Redis 200 ms slow", apply: func(w *world) {
		w.store.way.delay.Store(int64(200 * time.Millisecond))
		last(6*time.Second, 20*time.Second)
		w.store.way.delay.Store(0)
	}},
	{name: "Redis at maxmemory with noeviction", allowed: unanswered, apply: func(w *world) {
		order(w.t, w.store.server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
		order(w.t, w.store.server, "CONFIG", "SET", "maxmemory", "100kb")
		last(6*time.Second, 15*time.Second)
		order(w.t, w.store.server, "CONFIG", "SET", "maxmemory", "0")
	}},
	{name: "Redis refuses writes", allowed: unanswered, apply: func(w *world) {
		order(w.t, w.store.server, "CONFIG", "SET", "min-replicas-to-write", "1")
		last(6*time.Second, 15*time.Second)
		order(w.t, w.store.server, "CONFIG", "SET", "min-replicas-to-write", "0")
	}},
	{name: "the AOF's disk is full, synced each second", allowed: unanswered, store: eachSecond, apply: func(w *world) {
		w.store.server.Fill()
		last(6*time.Second, 15*time.Second)
		w.store.server.Empty()
	}},
	{name: "the AOF's disk is full, synced at once", short: true, allowed: unanswered, apply: func(w *world) {
		w.store.server.Fill() // it ends itself then, rather than lose what it has acknowledged
		last(6*time.Second, 15*time.Second)
		w.kills++
		w.store.server.Restart()
	}},
	{name: "Redis' clock leaps 10 min ahead and back", short: true, store: withClock, apply: func(w *world) {
		for _, ahead := range []time.Duration{10 * time.Minute, -10 * time.Minute, 0} {
			w.store.server.SetClock(ahead)
			last(2*time.Second, 5*time.Second)
		}
	}},
	{name: "Sentinel failover", allowed: unanswered, lossy: true, store: sentinels, apply: func(w *world) {
		w.kills++
		old := w.store.sentinel.Master()
		w.store.sentinel.Failover()
		last(3*time.Second, 5*time.Second)
		old.Restart()
	}},
	{name: "Cluster master killed, its replica promoted", allowed: unanswered, lossy: true, store: spared, apply: func(w *world) {
		w.crashRedis(w.store.cluster.Masters[1])
		soon(func() bool { return master(w.t, w.store.spare) })
		last(3*time.Second, 10*time.Second)
		w.store.cluster.Masters[1].Restart()
	}},
	{name: "Cluster slot migration", store: clustered, apply: func(w *world) {
		c := w.store.cluster
		for range 3 {
			migrate(w.t, c, c.Masters[0], c.Masters[1])
			migrate(w.t, c, c.Masters[1], c.Masters[0])
		}
	}},
}
