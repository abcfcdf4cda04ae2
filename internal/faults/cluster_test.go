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
	redisDo(t, s.spare, "CLUSTER", "MEET", host, port)
	second := nodeID(t, s.cluster.Masters[1])
	await.True(t, "the new node knows the masters", func() bool {
		return strings.Contains(fmt.Sprint(redisDo(t, s.spare, "CLUSTER", "NODES")), second)
	})
	redisDo(t, s.spare, "CLUSTER", "REPLICATE", second)
	await.True(t, "the replica has synced and all masters know it", func() bool {
		for _, m := range s.cluster.Masters {
			if !strings.Contains(fmt.Sprint(redisDo(t, m, "CLUSTER", "NODES")), "slave "+second) {
				return false
			}
		}
		return strings.Contains(fmt.Sprint(redisDo(t, s.spare, "INFO", "replication")), "master_link_status:up")
	})
	return s
}

func nodeID(t testing.TB, s *redistest.Server) string {
	return fmt.Sprint(redisDo(t, s, "CLUSTER", "MYID"))
}

func isMaster(t testing.TB, s *redistest.Server) bool {
	return strings.Contains(fmt.Sprint(redisDo(t, s, "INFO", "replication")), "role:master")
}

// migrate moves the slots that hold keys from one master to another.
func migrate(t testing.TB, c *redistest.Cluster, from, to *redistest.Server) {
	t.Helper()
	host, port, _ := strings.Cut(to.Addr(), ":")
	for slot := range occupied(t, from) {
		redisDo(t, to, "CLUSTER", "SETSLOT", slot, "IMPORTING", nodeID(t, from))
		redisDo(t, from, "CLUSTER", "SETSLOT", slot, "MIGRATING", nodeID(t, to))
		for {
			keys, _ := redisDo(t, from, "CLUSTER", "GETKEYSINSLOT", slot, 2).([]any)
			if len(keys) == 0 {
				break
			}
			redisDo(t, from, append([]any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}, keys...)...)
		}
		for _, m := range c.Masters {
			redisDo(t, m, "CLUSTER", "SETSLOT", slot, "NODE", nodeID(t, to))
		}
	}
}

// occupied returns the slots of a server that hold keys.
func occupied(t testing.TB, s *redistest.Server) map[int64]bool {
	t.Helper()
	slots := map[int64]bool{}
	keys, _ := redisDo(t, s, "KEYS", "*").([]any)
	for _, key := range keys {
		if slot, ok := redisDo(t, s, "CLUSTER", "KEYSLOT", key).(int64); ok {
			slots[slot] = true
		}
	}
	return slots
}
