package redisstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/redistest"
)

// described opens a store and asks its Redis what it is.
func described(t *testing.T, url string) (redisstore.Description, error) {
	t.Helper()
	s, err := redisstore.Open(redisstore.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Describe(t.Context())
}

func TestDescriptions(t *testing.T) {
	tests := map[string]struct {
		options         []string
		keeping, memory string
	}{
		"an append-only file": {[]string{"maxmemory 50mb"}, "an append-only file", "of 50.00M"},
		"snapshots":           {[]string{"appendonly no", "save 3600 1"}, "snapshots alone", "used"},
		"nothing":             {[]string{"appendonly no"}, "", "used"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := described(t, redistest.Start(t, tt.options...).URL())
			if err != nil || !strings.HasPrefix(got.Server, "Redis ") && !strings.HasPrefix(got.Server, "Valkey ") || got.Form != "" || got.Policy != "noeviction" ||
				!strings.HasPrefix(got.Keeping, tt.keeping) || (tt.keeping == "") != (got.Keeping == "") || !strings.HasSuffix(got.Memory, tt.memory) {
				t.Errorf("Describe = %+v, %v, want %q and %q", got, err, tt.keeping, tt.memory)
			}
		})
	}
}

func TestDescriptionWritesNothing(t *testing.T) {
	server := redistest.Start(t)
	if _, err := described(t, server.URL()); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	if n, err := client.DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("keys = %d, %v, want none", n, err)
	}
	if err := client.Set(t.Context(), "om:schema", 99, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := described(t, server.URL()); !errors.Is(err, redisstore.ErrNewerSchema) {
		t.Errorf("Describe of a newer one's Redis = %v, want ErrNewerSchema", err)
	}
}

func TestAClusterIsDescribed(t *testing.T) {
	cluster := redistest.StartCluster(t)
	if got, err := described(t, cluster.URL()); err != nil || got.Form != "a Cluster of 3 masters" {
		t.Errorf("Describe = %+v, %v, want three masters", got, err)
	}
	if _, err := described(t, "redis://"+cluster.Masters[0].Addr()); !errors.Is(err, redisstore.ErrOneOfACluster) {
		t.Errorf("Describe of one of them = %v, want ErrOneOfACluster", err)
	}
	alone := redistest.Start(t)
	if _, err := described(t, alone.URL()+"?addr="+alone.Addr()); err == nil || !strings.Contains(err.Error(), "cluster support disabled") {
		t.Errorf("Describe of no Cluster = %v, want that told", err)
	}
}

func TestAMasterBySentinelIsDescribed(t *testing.T) {
	sentinel := redistest.StartSentinel(t)
	if got, err := described(t, sentinel.URL()); err != nil || got.Form != "the master that Sentinel names" {
		t.Errorf("Describe = %+v, %v, want the master that Sentinel names", got, err)
	}
	if _, err := described(t, strings.Replace(sentinel.URL(), "master_name=", "master_name=other", 1)); err == nil || !strings.Contains(err.Error(), "all sentinels") {
		t.Errorf("Describe of another master = %v, want that told", err)
	}
}
