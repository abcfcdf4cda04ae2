package faults_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/redistest"
)

func clustered(t testing.TB) stores {
	c := redistest.StartCluster(t)
	return stores{url: c.URL(), cluster: c}
}

// spared is a Cluster whose second master has a replica.
func spared(t testing.TB) stores {
	s := clustered(t)
	s.spare = redistest.Start(t, "cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000", "cluster-replica-validity-factor 0")
	host, port, _ := strings.Cut(s.cluster.Masters[0].Addr(), ":")
	order(t, s.spare, "CLUSTER", "MEET", host, port)
	second := id(t, s.cluster.Masters[1])
	wait(t, "the new node knows the masters", func() bool {
		return strings.Contains(fmt.Sprint(order(t, s.spare, "CLUSTER", "NODES")), second)
	})
	order(t, s.spare, "CLUSTER", "REPLICATE", second)
	wait(t, "the replica has the master's data and all masters know it", func() bool {
		for _, m := range s.cluster.Masters {
			if !strings.Contains(fmt.Sprint(order(t, m, "CLUSTER", "NODES")), "slave "+second) {
				return false
			}
		}
		return strings.Contains(fmt.Sprint(order(t, s.spare, "INFO", "replication")), "master_link_status:up")
	})
	return s
}

func id(t testing.TB, s *redistest.Server) string { return fmt.Sprint(order(t, s, "CLUSTER", "MYID")) }

func master(t testing.TB, s *redistest.Server) bool {
	return strings.Contains(fmt.Sprint(order(t, s, "INFO", "replication")), "role:master")
}

func wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// migrate moves the slots that hold keys from one master to another, as a
// resharding does.
func migrate(t testing.TB, c *redistest.Cluster, from, to *redistest.Server) {
	t.Helper()
	host, port, _ := strings.Cut(to.Addr(), ":")
	for slot := range occupied(t, from) {
		order(t, to, "CLUSTER", "SETSLOT", slot, "IMPORTING", id(t, from))
		order(t, from, "CLUSTER", "SETSLOT", slot, "MIGRATING", id(t, to))
		for {
			keys, _ := order(t, from, "CLUSTER", "GETKEYSINSLOT", slot, 2).([]any)
			if len(keys) == 0 {
				break
			}
			order(t, from, append([]any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}, keys...)...)
		}
		for _, m := range c.Masters {
			order(t, m, "CLUSTER", "SETSLOT", slot, "NODE", id(t, to))
		}
	}
}

// occupied returns the slots of a server that hold keys.
func occupied(t testing.TB, s *redistest.Server) map[int64]bool {
	t.Helper()
	slots := map[int64]bool{}
	keys, _ := order(t, s, "KEYS", "*").([]any)
	for _, key := range keys {
		if slot, ok := order(t, s, "CLUSTER", "KEYSLOT", key).(int64); ok {
			slots[slot] = true
		}
	}
	return slots
}
