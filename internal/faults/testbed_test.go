package faults_test

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/graphtest"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// Set by scripts/faults.
var (
	form = cmp.Or(os.Getenv("FAULTS"), "short") // short, long, broken or replicas
	seed = uint64(programtest.EnvInt("FAULTS_SEED", 1))
	runs = programtest.EnvInt("FAULTS_RUNS", 1) // of each cell, each with the next seed
)

// config configures a testbed. Zero values stand for the defaults.
type config struct {
	cell
	seed         uint64
	replicaCount int     // default: 2
	program      program // default: unmodified

	onAnswered func(mediatorsim.Call) // called after each answer of the mediator; may be nil
}

// testbed is the program's replicas and their dependencies.
type testbed struct {
	config
	t         testing.TB
	random    *rand.Rand // not for the changes: their stream has its own
	sim       graphtest.Graph
	mediator  *mediatorsim.Server
	redis     redisSetup
	replicas  []*replica
	proxy     *relay          // to all replicas
	monitored []graphsim.User // users that should be monitored
	leaver    graphsim.User   // the user whose monitoring was stopped

	answered atomic.Int64 // setstatus calls that the mediator answered
	kills    int          // processes ended by faults
	aims     int          // targets that faults waited for
	hits     int          // targets that were hit

	historyLostAt time.Time       // older history may be lost
	restarted     map[string]bool // ids of users whose monitoring was stopped and started again

	mu         sync.Mutex
	violations []violation // guarded by mu
}

// redisSetup is the Redis of a testbed: a server behind a relay, Sentinel or a Cluster.
type redisSetup struct {
	url string

	server *redistest.Server
	relay  *relay

	sentinel *redistest.Sentinel

	cluster *redistest.Cluster
	spare   *redistest.Server // replica of the Cluster's second master; may be nil
}

func singleRedis(t testing.TB) redisSetup { return withRelay(t, redistest.Start(t)) }

// withRelay puts a relay in front of a server.
func withRelay(t testing.TB, server *redistest.Server) redisSetup {
	r := newRelay(t, server.Addr())
	return redisSetup{url: "redis://" + r.Addr(), server: server, relay: r}
}

func newRand(seed uint64, name string, stream uint64) *rand.Rand {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, sum.Sum64()+stream))
}

// newTestbed starts a testbed.
func newTestbed(t testing.TB, p config) *testbed {
	t.Helper()
	tb := &testbed{config: p, t: t, random: newRand(p.seed, p.name, 0), restarted: map[string]bool{}}
	if tb.program == nil {
		tb.program = unmodified
	}
	for _, build := range []program{tb.program, tb.extraBuild} { // not during a fault: it takes minutes
		if build == nil {
			continue
		}
		if _, err := build(); err != nil {
			t.Fatal(err)
		}
	}
	tb.users, tb.replicaCount = cmp.Or(tb.users, 12), cmp.Or(tb.replicaCount, 2)
	tb.settleTimeout = cmp.Or(tb.settleTimeout, settleTimeout)
	tb.startSimulators()
	if tb.newRedis == nil {
		tb.newRedis = singleRedis
	}
	tb.redis = tb.newRedis(t)
	addrs := make([]string, tb.replicaCount)
	for i := range addrs {
		addrs[i] = programtest.FreeAddress(t)
	}
	tb.proxy = newRelay(t, addrs...)
	tb.mediator.SetMonitorURL("http://" + tb.proxy.Addr())
	ca := filetest.Temp(t, "ca.pem", string(tb.sim.CAPEM()))
	for i, addr := range addrs {
		log := programtest.NewLog(t, fmt.Sprint("replica ", i))
		tb.replicas = append(tb.replicas, &replica{t: t, program: tb.program, addr: addr, log: log, env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SSL_CERT_FILE=" + ca,
			"AZURE_TENANT_ID=" + tb.sim.TenantID(), "AZURE_CLIENT_ID=" + graphsim.DefaultClientID,
			"AZURE_CLIENT_SECRET=" + graphsim.DefaultClientSecret, "AZURE_AUTHORITY_HOST=" + tb.sim.URL(),
			"GRAPH_ENDPOINT=" + tb.sim.URL(), "REDIS_URL=" + tb.redis.url, "MEDIATOR_URL=" + tb.mediator.URL(),
			"LISTEN_ADDR=" + addr, "PUBLIC_URL=http://" + tb.proxy.Addr(), "SWEEP_INTERVAL=10s", "LOG_FORMAT=json",
		}})
	}
	for _, r := range tb.replicas {
		r.start()
	}
	return tb
}

// startSimulators starts Graph and the mediator and adds the users to both.
func (tb *testbed) startSimulators() {
	tb.t.Helper()
	tb.sim = graphtest.Start(tb.t, graphsim.Config{Seed: tb.random.Uint64(), TokenLifetime: tb.tokenLifetime})
	received := func(c mediatorsim.Call) {
		tb.answered.Add(1)
		if tb.onAnswered != nil {
			tb.onAnswered(c)
		}
	}
	var err error
	if tb.mediator, err = mediatorsim.New(mediatorsim.Config{Received: received}); err != nil {
		tb.t.Fatal(err)
	}
	await.Run(tb.t, tb.mediator.Run)
	tb.monitored = tb.sim.AddUsers(tb.users + 1)
	for _, u := range tb.monitored {
		tb.mediator.Add(u.UserPrincipalName)
	}
}

func (tb *testbed) anyReplica() *replica { return tb.replicas[tb.random.IntN(len(tb.replicas))] }

// hold waits while a fault lasts: short, or longer in the long form.
func hold(short, longer time.Duration) {
	if form == "long" {
		short = longer
	}
	time.Sleep(short)
}

// unlessShort returns short in the short form, and otherwise longer.
func unlessShort[T any](short, longer T) T {
	if form == "short" {
		return short
	}
	return longer
}

// eventually waits up to 10 seconds until a condition holds, and reports whether it did.
func eventually(condition func() bool) bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}
