package faults_test

import (
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/redistest"
)

// Faults of Redis.

func redisSentinel(t testing.TB) redisSetup {
	s := redistest.StartSentinel(t)
	return redisSetup{url: s.URL(), sentinel: s}
}

func redisEverySecond(t testing.TB) redisSetup {
	return withRelay(t, redistest.Start(t, "appendfsync everysec"))
}

func redisWithClock(t testing.TB) redisSetup { return withRelay(t, redistest.StartWithClock(t)) }

// dropAnswers loses the answers to matching requests until enough were lost.
func (tb *testbed) dropAnswers(requests match, enough func() bool) {
	tb.intercept(func(request []byte, pass func()) (cut bool) {
		if !requests(request) {
			return false
		}
		pass()
		time.Sleep(50 * time.Millisecond) // for Redis to process the request
		return true
	}, func() { tb.awaitTarget(enough) })
}

// crashRedis kills a server.
func (tb *testbed) crashRedis(s *redistest.Server) {
	s.Kill()
	tb.kills++
}

var redisCells = []cell{
	{name: "Redis killed and restarted with its AOF", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.crashRedis(tb.redis.server)
		hold(time.Second, 5*time.Second)
		tb.redis.server.Restart()
	}},
	{name: "Redis restarted empty", short: true, duplicates: afterLostAnswer, losesHistory: true, inject: func(tb *testbed) {
		tb.kills++
		tb.redis.server.RestartEmpty()
		tb.historyLostAt = time.Now()
		hold(time.Second, 5*time.Second)
	}},
	{name: "Redis comes back with older data", short: true, duplicates: afterLostAnswer, losesHistory: true, inject: func(tb *testbed) {
		tb.redis.server.Snapshot()
		time.Sleep(time.Second + tb.randomPart(2*time.Second))
		tb.startLeaver() // the older data has neither this start nor the following stop
		tb.stopLeaver()
		time.Sleep(time.Second + tb.randomPart(2*time.Second))
		tb.kills++
		tb.redis.server.RestartFromSnapshot()
		tb.historyLostAt = time.Now()
		hold(3*time.Second, 6*time.Second)
	}},
	{name: "Redis answers to saves are lost", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		var n atomic.Int64
		tb.dropAnswers(func(piece []byte) bool { return changeSaved(piece) && n.Add(1)%2 == 0 }, func() bool { return n.Load() > 3 })
		tb.dropAnswers(func(piece []byte) bool { return deliverySaved(piece) && n.Add(1)%2 == 0 }, func() bool { return n.Load() > 8 })
	}},
	{name: "Redis answers to rounds of the table are lost", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		var n atomic.Int64
		tb.dropAnswers(func(piece []byte) bool { return contains("\r\nbeat:")(piece) && n.Add(1)%3 > 0 }, func() bool { return n.Load() > 12 })
	}},
	{name: "Redis down", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.crashRedis(tb.redis.server)
		hold(10*time.Second, 30*time.Second)
		tb.redis.server.Restart()
	}},
	{name: "Redis hangs", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.redis.server.Pause()
		hold(10*time.Second, 30*time.Second)
		tb.redis.server.Resume()
	}},
	{name: "Redis 200 ms slow", inject: func(tb *testbed) {
		tb.redis.relay.delay.Store(int64(200 * time.Millisecond))
		hold(6*time.Second, 20*time.Second)
		tb.redis.relay.delay.Store(0)
	}},
	{name: "Redis at maxmemory with noeviction", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.redis.server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
		tb.redis.server.Do("CONFIG", "SET", "maxmemory", "100kb")
		hold(6*time.Second, 15*time.Second)
		tb.redis.server.Do("CONFIG", "SET", "maxmemory", "0")
	}},
	{name: "Redis refuses writes", duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.redis.server.Do("CONFIG", "SET", "min-replicas-to-write", "1")
		hold(6*time.Second, 15*time.Second)
		tb.redis.server.Do("CONFIG", "SET", "min-replicas-to-write", "0")
	}},
	{name: "AOF disk full, appendfsync everysec", duplicates: afterLostAnswer, newRedis: redisEverySecond, inject: func(tb *testbed) {
		tb.redis.server.FillDisk()
		hold(6*time.Second, 15*time.Second)
		tb.redis.server.FreeDisk()
	}},
	{name: "AOF disk full, appendfsync always", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.redis.server.FillDisk() // Redis exits then rather than lose acknowledged writes
		hold(6*time.Second, 15*time.Second)
		tb.kills++
		tb.redis.server.Restart()
	}},
	{name: "the Redis clock jumps 10 min ahead and back", short: true, newRedis: redisWithClock, inject: func(tb *testbed) {
		for _, ahead := range []time.Duration{10 * time.Minute, -10 * time.Minute, 0} {
			tb.redis.server.SetClock(ahead)
			hold(2*time.Second, 5*time.Second)
		}
	}},
	{name: "Sentinel failover", duplicates: afterLostAnswer, losesWrites: true, newRedis: redisSentinel, inject: func(tb *testbed) {
		tb.kills++
		old := tb.redis.sentinel.Failover()
		hold(3*time.Second, 5*time.Second)
		old.Restart()
	}},
	{name: "Cluster master killed, its replica promoted", duplicates: afterLostAnswer, losesWrites: true, newRedis: clusterWithReplica, inject: func(tb *testbed) {
		tb.crashRedis(tb.redis.cluster.Masters[1])
		eventually(func() bool { return tb.redis.spare.InfoContains("replication", "role:master") })
		promoted := time.Now()
		tb.awaitTarget(func() bool { return tb.allReadSince(promoted) }) // while the old master stays away
		tb.redis.cluster.Masters[1].Restart()
	}},
	{name: "Cluster slot migration", newRedis: redisCluster, inject: func(tb *testbed) {
		c := tb.redis.cluster
		for range 3 {
			migrate(c, c.Masters[1], c.Masters[0])
			migrate(c, c.Masters[0], c.Masters[1])
		}
	}},
}
