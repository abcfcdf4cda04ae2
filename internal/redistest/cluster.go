package redistest

import (
	"strings"
	"testing"

	"outlook-monitor/internal/await"
)

const slots = 16384 // of a Redis Cluster

// Cluster is a Redis Cluster of three masters without replicas.
type Cluster struct{ Masters []*Server }

// StartCluster starts three masters that share the slots, and waits until all slots are
// served. options are additional directives for each master.
func StartCluster(t testing.TB, options ...string) *Cluster {
	t.Helper()
	c := &Cluster{}
	options = append(options, "cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000")
	for range 3 {
		c.Masters = append(c.Masters, Start(t, options...))
	}
	for i, m := range c.Masters {
		m.Do("CLUSTER", "ADDSLOTSRANGE", i*slots/3, (i+1)*slots/3-1)
		m.Do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
	}
	host, port, _ := strings.Cut(c.Masters[0].addr, ":")
	for _, m := range c.Masters[1:] {
		m.Do("CLUSTER", "MEET", host, port)
	}
	await.True(t, "all masters know all slots and each other", func() bool {
		for _, m := range c.Masters {
			info, _ := m.Do("CLUSTER", "INFO").(string)
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3\r\n") {
				return false
			}
		}
		return true
	})
	return c
}

// URL returns the URL of the cluster for go-redis.
func (c *Cluster) URL() string {
	return c.Masters[0].URL() + "?addr=" + c.Masters[1].addr + "&addr=" + c.Masters[2].addr
}
