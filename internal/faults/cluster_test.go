package faults_test

import (
	"fmt"
	"strings"
	"testing"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/redistest"
)

func redisCluster(t testing.TB) redisSetup {
	c := redistest.StartCluster(t)
	return redisSetup{url: c.URL(), cluster: c}
}

// clusterWithReplica starts a Cluster whose second master has a replica.
func clusterWithReplica(t testing.TB) redisSetup {
	s := redisCluster(t)
	s.spare = redistest.Start(t, "cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000", "cluster-replica-validity-factor 0")
	host, port, _ := strings.Cut(s.cluster.Masters[0].Addr(), ":")
	s.spare.Do("CLUSTER", "MEET", host, port)
	second := nodeID(s.cluster.Masters[1])
	await.True(t, "the new node knows the masters", func() bool {
		return strings.Contains(fmt.Sprint(s.spare.Do("CLUSTER", "NODES")), second)
	})
	s.spare.Do("CLUSTER", "REPLICATE", second)
	await.True(t, "the replica has synced and all masters know it", func() bool {
		for _, m := range s.cluster.Masters {
			if !strings.Contains(fmt.Sprint(m.Do("CLUSTER", "NODES")), "slave "+second) {
				return false
			}
		}
		return s.spare.InfoContains("replication", "master_link_status:up")
	})
	return s
}

func nodeID(s *redistest.Server) string {
	return fmt.Sprint(s.Do("CLUSTER", "MYID"))
}

// migrate moves the slot of all keys from one master, which must have it, to another.
func migrate(c *redistest.Cluster, from, to *redistest.Server) {
	host, port, _ := strings.Cut(to.Addr(), ":")
	slot := from.Do("CLUSTER", "KEYSLOT", "om:{om}:owners")
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", nodeID(from))
	from.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", nodeID(to))
	for {
		keys, _ := from.Do("CLUSTER", "GETKEYSINSLOT", slot, 2).([]any)
		if len(keys) == 0 {
			break
		}
		from.Do(append([]any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}, keys...)...)
	}
	for _, m := range c.Masters {
		m.Do("CLUSTER", "SETSLOT", slot, "NODE", nodeID(to))
	}
}
