package redistest

import (
	"fmt"
	"strings"
	"testing"
)

// masterName is what the Sentinels call the master.
const masterName = "om"

// Sentinel is a master and a replica that three Sentinels watch.
type Sentinel struct {
	t         testing.TB
	Nodes     []*Server // the master and the replica, in turns
	Sentinels []*Server
}

// StartSentinel starts them and waits until the replica has the master's data
// and the Sentinels know it and each other. Options are further directives of
// master and replica; with requirepass they have a password, the Sentinels don't.
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
	until(t, "the replica has the master's data", func() bool {
		return replica.says("replication", "master_link_status:up")
	})
	for range 3 {
		monitor := fmt.Sprintf("sentinel monitor %s %s %s 2", masterName, host, port)
		s.Sentinels = append(s.Sentinels, launch(t, Server{sentinel: true}, append([]string{monitor}, watching...)))
	}
	s.until("the Sentinels know the replica and each other", func(one *Server) bool {
		return one.says("sentinel", "status=ok", "slaves=1,sentinels=3")
	})
	return s
}

// URL is the master's, by its Sentinels, in go-redis' form.
func (s *Sentinel) URL() string {
	return fmt.Sprintf("redis://%s?master_name=%s&addr=%s&addr=%s",
		s.Sentinels[0].Addr(), masterName, s.Sentinels[1].Addr(), s.Sentinels[2].Addr())
}

// Master is the node that the first Sentinel takes for the master.
func (s *Sentinel) Master() *Server {
	s.t.Helper()
	return s.named(s.Sentinels[0])
}

// Failover kills the master and waits until all Sentinels name the other node,
// which is then returned. The old one may be started again with
// [Server.Restart]; the Sentinels make it a replica after some seconds.
func (s *Sentinel) Failover() *Server {
	s.t.Helper()
	old := s.Master()
	old.Kill()
	s.until("another master is named", func(one *Server) bool { return s.named(one) != old })
	return s.Master()
}

// named is the node that a Sentinel takes for the master.
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

// until waits until something holds for all Sentinels.
func (s *Sentinel) until(what string, holds func(*Server) bool) {
	s.t.Helper()
	until(s.t, what, func() bool {
		for _, one := range s.Sentinels {
			if !holds(one) {
				return false
			}
		}
		return true
	})
}
