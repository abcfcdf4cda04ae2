package redistest

import (
	"strings"
	"testing"
)

// slots is how many a Redis Cluster has.
const slots = 16384

// Cluster is a Redis Cluster of three masters without replicas.
type Cluster struct{ Masters []*Server }

// StartCluster starts three masters that share the slots, and waits until all of
// them serve all slots.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range 3 {
		c.Masters = append(c.Masters, Start(t, "cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000"))
	}
	for i, m := range c.Masters {
		m.do("CLUSTER", "ADDSLOTSRANGE", i*slots/3, (i+1)*slots/3-1)
		if i > 0 {
			host, port, _ := strings.Cut(m.Addr(), ":")
			c.Masters[0].do("CLUSTER", "MEET", host, port)
		}
	}
	until(t, "the cluster is complete", func() bool {
		for _, m := range c.Masters {
			info, _ := m.do("CLUSTER", "INFO").(string)
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return false
			}
		}
		return true
	})
	return c
}

// URL is the cluster's in go-redis' form.
func (c *Cluster) URL() string {
	url := c.Masters[0].URL()
	for i, m := range c.Masters[1:] {
		url += string("?&"[min(i, 1)]) + "addr=" + m.Addr()
	}
	return url
}
