package faults_test

import (
	"cmp"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// What scripts/faults asks for.
var (
	form = cmp.Or(os.Getenv("FAULTS"), "short") // short, long, broken or replicas
	seed = uint64(number("FAULTS_SEED", 1))
	runs = number("FAULTS_RUNS", 1) // of each cell, each with the next seed
)

func number(variable string, standard int) int {
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil || n < 0 {
		return standard
	}
	return n
}

const (
	users = 12 // and one who leaves
	crew  = 2  // replicas
)

// plan is what a world is like.
type plan struct {
	seed    uint64
	name    string
	users   int // one more is there, who leaves
	crew    int
	store   func(testing.TB) stores // nil: one redis-server
	tokens  time.Duration           // life of Graph's tokens; 0: the usual
	program program                 // nil: the plain one

	received func(mediatorsim.Call) // hears of each call once it is answered; may be nil
	patience time.Duration          // how long it may take until all is quiet; 0: the usual
}

// world is what a cell breaks: replicas of the program and what they meet.
type world struct {
	plan
	t        testing.TB
	random   *rand.Rand // of the fault alone
	sim      *graphsim.Server
	mediator *mediatorsim.Server
	store    stores
	replicas []*replica
	front    *relay          // of all replicas
	people   []graphsim.User // those who are to be monitored
	left     graphsim.User   // who is not any more

	heard atomic.Int64 // calls of the mediator that were answered
	kills int          // processes that were ended
	aims  int          // moments that were waited for
	hits  int          // those that were met

	forgot  time.Time       // what the history had before may be lost
	started map[string]bool // ids of users whose monitoring was stopped and started again

	mu         sync.Mutex
	violations []violation // guarded by mu
}

// stores is the Redis of a world. Of its fields those are set that its kind has.
type stores struct {
	url      string
	server   *redistest.Server // one alone, behind way
	way      *relay
	sentinel *redistest.Sentinel
	cluster  *redistest.Cluster
	spare    *redistest.Server // replica of the Cluster's second master
}

func alone(t testing.TB) stores { return behind(t, redistest.Start(t)) }

// behind is a server with a relay in front.
func behind(t testing.TB, server *redistest.Server) stores {
	way := newRelay(t, server.Addr())
	return stores{url: "redis://" + way.addr(), server: server, way: way}
}

func dice(seed uint64, name string, stream uint64) *rand.Rand {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, sum.Sum64()+stream))
}

// build starts a world.
func build(t testing.TB, p plan) *world {
	t.Helper()
	w := &world{plan: p, t: t, random: dice(p.seed, p.name, 0), started: map[string]bool{}}
	if w.program == nil {
		w.program = plain
	}
	if _, err := w.program(); err != nil {
		t.Fatal(err)
	}
	w.patience = cmp.Or(w.patience, patience)
	w.surround()
	open := alone
	if p.store != nil {
		open = p.store
	}
	w.store = open(t)
	addrs := make([]string, p.crew)
	for i := range addrs {
		addrs[i] = programtest.FreeAddress(t)
	}
	w.front = newRelay(t, addrs...)
	w.mediator.SetMonitorURL("http://" + w.front.addr())
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, w.sim.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		w.replicas = append(w.replicas, &replica{t: t, program: w.program, addr: addr, file: filepath.Join(t.TempDir(), "log"), env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SSL_CERT_FILE=" + ca,
			"AZURE_TENANT_ID=" + w.sim.TenantID(), "AZURE_CLIENT_ID=" + graphsim.DefaultClientID,
			"AZURE_CLIENT_SECRET=" + graphsim.DefaultClientSecret, "AZURE_AUTHORITY_HOST=" + w.sim.URL(),
			"GRAPH_ENDPOINT=" + w.sim.URL(), "REDIS_URL=" + w.store.url, "MEDIATOR_URL=" + w.mediator.URL(),
			"LISTEN_ADDR=" + addr, "PUBLIC_URL=http://" + w.front.addr(), "SWEEP_INTERVAL=10s", "LOG_FORMAT=json",
		}})
	}
	t.Cleanup(w.end)
	for _, r := range w.replicas {
		r.start()
	}
	return w
}

// surround starts the Graph and the mediator with their users.
func (w *world) surround() {
	w.t.Helper()
	var err error
	if w.sim, err = graphsim.New(graphsim.Config{Seed: w.random.Uint64(), TokenLifetime: w.tokens}); err != nil {
		w.t.Fatal(err)
	}
	received := func(c mediatorsim.Call) {
		w.heard.Add(1)
		if w.received != nil {
			w.received(c)
		}
	}
	if w.mediator, err = mediatorsim.New(mediatorsim.Config{Received: received}); err != nil {
		w.t.Fatal(err)
	}
	await.Run(w.t, w.sim.Run)
	await.Run(w.t, w.mediator.Run)
	if w.people, err = w.sim.AddUsers(w.users+1, "contoso.example"); err != nil {
		w.t.Fatal(err)
	}
	for _, u := range w.people {
		w.mediator.Add(u.UserPrincipalName)
	}
}

// end ends the replicas and shows their logs if something was wrong.
func (w *world) end() {
	for i, r := range w.replicas {
		if r.Process == nil {
			continue
		}
		r.Kill()
		if w.t.Failed() {
			w.t.Logf("log of replica %d:\n%s", i, r.log(60))
		}
	}
}

// one picks a replica.
func (w *world) one() *replica { return w.replicas[w.random.IntN(len(w.replicas))] }

// fault makes Graph misbehave until [graphsim.Server.ClearFaults].
func (w *world) fault(f graphsim.Fault) {
	w.t.Helper()
	if _, err := w.sim.SetFault(f); err != nil {
		w.t.Fatal(err)
	}
}

// last lets a fault last: for short, in the long form for longer.
func last(short, longer time.Duration) {
	if form == "long" {
		short = longer
	}
	time.Sleep(short)
}

// soon waits until something is the case, or gives up after some seconds: what
// is waited for makes a fault sharper and need not be so.
func soon(is func() bool) bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if is() {
			return true
		}
	}
	return false
}

// told reports whether the mediator's last state of a user is the mailbox's.
func (w *world) told(u graphsim.User) bool {
	mailbox, err := w.sim.AutomaticReplies(u.ID)
	if err != nil {
		w.t.Error(err)
		return false
	}
	state, ok := w.mediator.State(u.UserPrincipalName)
	away := mailbox.Status == "alwaysEnabled"
	return ok && (state.Status == "True") == away &&
		(!away || strings.Trim(mailbox.ExternalReplyMessage, "<p/>") == state.Message)
}

func (w *world) allTold() bool {
	for _, u := range w.people {
		if !w.told(u) {
			return false
		}
	}
	return true
}
