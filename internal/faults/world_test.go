package faults_test

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/redistest"
)

// long says whether the long form was asked for.
var long = os.Getenv("FAULTS") == "long"

const (
	users = 12
	crew  = 2 // replicas
)

// world is what a cell breaks: two replicas and what they meet.
type world struct {
	t        testing.TB
	random   *rand.Rand // of the fault alone
	sim      *graphsim.Server
	mediator *mediatorsim.Server
	store    stores
	replicas []*replica
	people   []graphsim.User
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

func alone(t testing.TB) stores {
	server := redistest.Start(t)
	way := newRelay(t, server.Addr())
	return stores{url: "redis://" + way.addr(), server: server, way: way}
}

func dice(name string, stream uint64) *rand.Rand {
	seed, err := strconv.ParseUint(os.Getenv("FAULTS_SEED"), 10, 64)
	if err != nil {
		seed = 1
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, sum.Sum64()+stream))
}

// build starts a world for a cell.
func build(t testing.TB, c cell) *world {
	t.Helper()
	w := &world{t: t, random: dice(c.name, 0)}
	w.surround(c)
	open := alone
	if c.store != nil {
		open = c.store
	}
	w.store = open(t)
	addrs := make([]string, crew)
	for i := range addrs {
		addrs[i] = freeAddress(t)
	}
	front := newRelay(t, addrs...)
	w.mediator.SetMonitorURL("http://" + front.addr())
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, w.sim.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, addr := range addrs {
		w.replicas = append(w.replicas, &replica{t: t, addr: addr, file: filepath.Join(t.TempDir(), "log"), env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SSL_CERT_FILE=" + ca,
			"AZURE_TENANT_ID=" + w.sim.TenantID(), "AZURE_CLIENT_ID=" + graphsim.DefaultClientID,
			"AZURE_CLIENT_SECRET=" + graphsim.DefaultClientSecret, "AZURE_AUTHORITY_HOST=" + w.sim.URL(),
			"GRAPH_ENDPOINT=" + w.sim.URL(), "REDIS_URL=" + w.store.url, "MEDIATOR_URL=" + w.mediator.URL(),
			"LISTEN_ADDR=" + addr, "PUBLIC_URL=http://" + front.addr(), "SWEEP_INTERVAL=10s", "LOG_FORMAT=json",
		}})
		w.replicas[i].start()
	}
	t.Cleanup(w.end)
	return w
}

// surround starts the Graph and the mediator with their users.
func (w *world) surround(c cell) {
	w.t.Helper()
	var err error
	if w.sim, err = graphsim.New(graphsim.Config{Seed: w.random.Uint64(), TokenLifetime: c.tokens}); err != nil {
		w.t.Fatal(err)
	}
	if w.mediator, err = mediatorsim.New(mediatorsim.Config{}); err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{w.sim.Run, w.mediator.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				w.t.Errorf("Run = %v, want nil", err)
			}
		})
	}
	w.t.Cleanup(func() { stop(); running.Wait() })
	if w.people, err = w.sim.AddUsers(users, "contoso.example"); err != nil {
		w.t.Fatal(err)
	}
	for _, u := range w.people {
		w.mediator.Add(u.UserPrincipalName)
	}
}

// end ends the replicas and shows their logs if something was wrong.
func (w *world) end() {
	for i, r := range w.replicas {
		r.kill()
		if w.t.Failed() {
			w.t.Logf("log of replica %d:\n%s", i, r.log(60))
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
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
	if long {
		short = longer
	}
	time.Sleep(short)
}

// soon waits until something is the case, or gives up after some seconds: what
// is waited for makes a fault sharper and need not be so.
func soon(is func() bool) {
	for deadline := time.Now().Add(5 * time.Second); !is() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// coveredOnce says whether each user has one living subscription and nobody else
// has.
func (w *world) coveredOnce() bool {
	n := map[string]int{}
	for _, sub := range w.sim.Subscriptions() {
		n[sub.UserID]++
	}
	for _, u := range w.people {
		if n[u.ID] != 1 {
			return false
		}
	}
	return len(n) == len(w.people)
}

// told says whether the mediator's last state of a user is the mailbox's.
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
