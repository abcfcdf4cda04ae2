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
	Sentinels []*Server
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
	host, port, _ := strings.Cut(master.Addr(), ":")
	replica := Start(t, append([]string{"replicaof " + host + " " + port}, options...)...)
	s := &Sentinel{t: t, Nodes: []*Server{master, replica}}
	await.True(t, "the replica has synced", func() bool {
		return replica.infoContains("replication", "master_link_status:up")
	})
	for range 3 {
		monitor := fmt.Sprintf("sentinel monitor %s %s %s 2", masterName, host, port)
		s.Sentinels = append(s.Sentinels, launch(t, Server{sentinel: true}, append([]string{monitor}, watching...)))
	}
	s.until("the Sentinels know the replica and each other", func(one *Server) bool {
		return one.infoContains("sentinel", "status=ok", "slaves=1,sentinels=3")
	})
	return s
}

// URL returns the URL of the Sentinels for go-redis.
func (s *Sentinel) URL() string {
	return fmt.Sprintf("redis://%s?master_name=%s&addr=%s&addr=%s",
		s.Sentinels[0].Addr(), masterName, s.Sentinels[1].Addr(), s.Sentinels[2].Addr())
}

// Master returns the master according to the first Sentinel.
func (s *Sentinel) Master() *Server {
	s.t.Helper()
	return s.named(s.Sentinels[0])
}

// Failover kills the master, waits until all Sentinels name the other node as master and
// returns it. [Server.Restart] restarts the old master; the Sentinels make it a replica
// after some seconds.
func (s *Sentinel) Failover() *Server {
	s.t.Helper()
	old := s.Master()
	old.Kill()
	s.until("all Sentinels name another master", func(one *Server) bool { return s.named(one) != old })
	return s.Master()
}

// named returns the master according to a Sentinel.
func (s *Sentinel) named(by *Server) *Server {
	s.t.Helper()
	answer, _ := by.do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).([]any)
	for _, n := range s.Nodes {
		if len(answer) == 2 && n.Addr() == fmt.Sprintf("%v:%v", answer[0], answer[1]) {
			return n
		}
	}
	s.t.Fatalf("the Sentinel names %v as master", answer)
	return nil
}

// until waits until a condition holds for all Sentinels.
func (s *Sentinel) until(what string, condition func(*Server) bool) {
	s.t.Helper()
	await.True(s.t, what, func() bool {
		return !slices.ContainsFunc(s.Sentinels, func(one *Server) bool { return !condition(one) })
	})
}
