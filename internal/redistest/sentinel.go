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
	Nodes     []*Server
	Sentinels []*Server
}

// StartSentinel starts them and waits until the Sentinels know each other and
// the replica.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	master := Start(t)
	host, port, _ := strings.Cut(master.Addr(), ":")
	s := &Sentinel{t: t, Nodes: []*Server{master, Start(t, "replicaof "+host+" "+port)}}
	for range 3 {
		s.Sentinels = append(s.Sentinels, launch(t, []string{
			fmt.Sprintf("sentinel monitor %s %s %s 2", masterName, host, port),
			"sentinel down-after-milliseconds " + masterName + " 1000",
			"sentinel failover-timeout " + masterName + " 5000",
		}, "--sentinel"))
	}
	until(t, "the Sentinels know each other and the replica", func() bool {
		for _, one := range s.Sentinels {
			info, _ := one.do("INFO", "sentinel").(string)
			if !strings.Contains(info, "slaves=1,sentinels=3") {
				return false
			}
		}
		return true
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
	answer, _ := s.Sentinels[0].do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).([]any)
	for _, n := range s.Nodes {
		if len(answer) == 2 && n.Addr() == fmt.Sprintf("%v:%v", answer[0], answer[1]) {
			return n
		}
	}
	s.t.Fatalf("the Sentinel names %v as master", answer)
	return nil
}

// Failover kills the master and waits until the Sentinels have made the other
// node the master.
func (s *Sentinel) Failover() {
	s.t.Helper()
	old := s.Master()
	old.Kill()
	until(s.t, "another master is named", func() bool { return s.Master() != old })
}
