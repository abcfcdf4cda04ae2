package redistest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/await"
)

// masterName is the name of the master in the Sentinels.
const masterName = "om"

// Sentinel is a master and a replica watched by three Sentinels.
type Sentinel struct {
	t         testing.TB
	Nodes     []*Server // master and replica; a failover swaps their roles
	sentinels []*Server
}

// StartSentinel starts the servers and waits until the replica has synced and the
// Sentinels know the replica and each other. options are additional directives for master
// and replica. requirepass sets their password, but none for the Sentinels.
func StartSentinel(t testing.TB, options ...string) *Sentinel {
	t.Helper()
	options = append([]string{"repl-diskless-sync-delay 0"}, options...)
	watching := []string{"sentinel down-after-milliseconds " + masterName + " 1000", "sentinel failover-timeout " + masterName + " 5000"}
	for _, option := range options {
		if password, ok := strings.CutPrefix(option, "requirepass "); ok {
			options = append(options, "masterauth "+password)
			watching = append(watching, "sentinel auth-pass "+masterName+" "+password)
		}
	}
	master := Start(t, options...)
	host, port, _ := strings.Cut(master.addr, ":")
	replica := Start(t, append(options, "replicaof "+host+" "+port)...)
	await.True(t, "the replica has synced", func() bool {
		return replica.InfoContains("replication", "master_link_status:up")
	})
	s := &Sentinel{t: t, Nodes: []*Server{master, replica}}
	for range 3 {
		monitor := fmt.Sprintf("sentinel monitor %s %s %s 2", masterName, host, port)
		s.sentinels = append(s.sentinels, launch(t, Server{sentinel: true}, append([]string{monitor}, watching...)))
	}
	await.True(t, "the Sentinels know the replica and each other", func() bool {
		return s.report("status=ok,address=" + master.addr + ",slaves=1,sentinels=3")
	})
	return s
}

// URL returns the URL of the Sentinels for go-redis.
func (s *Sentinel) URL() string {
	return fmt.Sprintf("redis://%s?master_name=%s&addr=%s&addr=%s",
		s.sentinels[0].addr, masterName, s.sentinels[1].addr, s.sentinels[2].addr)
}

// Failover kills the master, waits until all Sentinels name the other node as master, and
// returns the old one. [Server.Restart] restarts it; the Sentinels make it a replica after
// some seconds.
func (s *Sentinel) Failover() (old *Server) {
	s.t.Helper()
	old, next := s.Nodes[0], s.Nodes[1]
	if s.report(",address=" + next.addr + ",") {
		old, next = next, old
	}
	old.Kill()
	await.True(s.t, "all Sentinels name another master", func() bool { return s.report(",address=" + next.addr + ",") })
	return old
}

// report reports whether all Sentinels have text in their INFO about the master.
func (s *Sentinel) report(text string) bool {
	s.t.Helper()
	return !slices.ContainsFunc(s.sentinels, func(one *Server) bool { return !one.InfoContains("sentinel", text) })
}
