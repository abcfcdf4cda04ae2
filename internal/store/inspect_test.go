package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// problems are the findings' first words, enough to tell them apart.
func problems(found store.Report) (all []string) {
	for _, f := range found.Findings {
		problem, _, _ := strings.Cut(f.Problem, ",")
		all = append(all, problem)
	}
	return all
}

// inspect asks a Redis, ready or not, what is wrong with it.
func inspect(t *testing.T, url string) (store.Report, error) {
	t.Helper()
	return open(t, url, "").Inspect(t.Context())
}

const (
	evictsUsers   = "maxmemory-policy is allkeys-lru"
	evictsLocks   = "maxmemory-policy is volatile-ttl"
	noPersistence = "Redis has no persistence"
)

func TestOneRedisIsInspectedAndDescribed(t *testing.T) {
	const file = "append-only file"
	tests := map[string]struct {
		options             []string
		want                []string
		persistence, memory string
	}{
		"set up as it should be":      {[]string{"maxmemory 50mb", "maxmemory-policy noeviction"}, nil, file, "of 50.00M"},
		"it may evict users":          {[]string{"maxmemory-policy allkeys-lru"}, []string{evictsUsers}, file, "used"},
		"it may evict locks":          {[]string{"maxmemory-policy volatile-ttl"}, []string{evictsLocks}, file, "used"},
		"snapshots only":              {[]string{"appendonly no", "save 3600 1"}, nil, "snapshots only", "used"},
		"no persistence":              {[]string{"appendonly no"}, []string{noPersistence}, "", "used"},
		"all is wrong":                {[]string{"appendonly no", "maxmemory-policy allkeys-lru"}, []string{evictsUsers, noPersistence}, "", "used"},
		"hidden settings":             {[]string{"appendonly no", `rename-command CONFIG ""`}, nil, "", "used"},
		"hidden settings, but policy": {[]string{"maxmemory-policy allkeys-lru", `rename-command CONFIG ""`}, []string{evictsUsers}, file, "used"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := open(t, redistest.Start(t, tt.options...).URL(), "")
			got, err := w.Inspect(t.Context())
			if found := problems(got); err != nil || !slices.Equal(found, tt.want) {
				t.Errorf("Inspect = %q, %v, want %q", found, err, tt.want)
			}
			for _, f := range got.Findings {
				if f.Remedy == "" || len(f.Servers) != 0 || f.Eviction != strings.HasPrefix(f.Problem, "maxmemory") || f.String() != f.Problem+": "+f.Remedy {
					t.Errorf("finding = %+v, want a remedy and no server", f)
				}
			}
			if !strings.HasPrefix(got.Server, "Redis ") && !strings.HasPrefix(got.Server, "Valkey ") || got.Topology != "" || got.Policy == "" ||
				!strings.HasPrefix(got.Persistence, tt.persistence) || (tt.persistence == "") != (got.Persistence == "") || !strings.HasSuffix(got.Memory, tt.memory) {
				t.Errorf("Inspect = %+v, want %q and %q", got, tt.persistence, tt.memory)
			}
			if n, err := w.raw.DBSize(t.Context()).Result(); n != 0 || err != nil {
				t.Errorf("keys = %d, %v, want none", n, err)
			}
		})
	}
}

func TestAUserWhoMayNotAsk(t *testing.T) {
	server := redistest.Start(t, "appendonly no", "maxmemory-policy allkeys-lru",
		"user neither on >secret ~* &* +@all -info -config", "user info on >secret ~* &* +@all -config")
	for name, want := range map[string][]string{"neither": nil, "info": {evictsUsers}} {
		t.Run(name, func(t *testing.T) {
			asked := map[string]int{}
			s, err := store.Open(store.Config{
				URL:     strings.Replace(server.URL(), "redis://", "redis://"+name+":secret@", 1),
				Observe: func(command string, _ time.Duration, _ error) { asked[command]++ },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for range 3 {
				found, err := s.Inspect(t.Context())
				if got := problems(found); err != nil || !slices.Equal(got, want) {
					t.Errorf("Inspect = %q, %v, want %q", got, err, want)
				}
			}
			if asked["info"] != 3 || asked["config"] > 1 {
				t.Errorf("commands = %v, want INFO each time and CONFIG at most once", asked)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	server := redistest.Start(t)
	for version, tooOld := range map[string]bool{
		"6.0.20": true, "5.0.14": true, "2.8": true, "6": true, "6.1.99": true,
		"6.2": false, "6.2.0": false, "7.0.15": false, "10.0.1": false, "255.x": false,
	} {
		_, err := inspect(t, server.Disguise(version))
		if errors.Is(err, store.ErrTooOld) != tooOld {
			t.Errorf("Inspect of %s = %v, want too old: %t", version, err, tooOld)
		}
		if tooOld && (!strings.Contains(err.Error(), "version "+version+":") || !strings.Contains(err.Error(), "needs Redis 6.2")) {
			t.Errorf("Inspect of %s = %v, want both versions named", version, err)
		}
	}
}

func TestEveryMasterOfAClusterIsInspected(t *testing.T) {
	cluster := redistest.StartCluster(t, "appendonly no")
	odd := cluster.Masters[1].Addr()
	single := open(t, "redis://"+odd, "")
	single.must(single.raw.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	_, err := single.Inspect(t.Context())
	single.is(err, store.ErrClusterNode)
	w := open(t, cluster.URL(), "")
	got, err := w.Inspect(t.Context())
	if w.must(err); got.Topology != "Cluster of 3 masters" {
		t.Errorf("Form = %q, want three masters", got.Topology)
	}
	var all []string
	for _, m := range cluster.Masters {
		all = append(all, m.Addr())
	}
	slices.Sort(all)
	want := map[string][]string{evictsUsers: {odd}, noPersistence: all}
	for i, problem := range problems(got) {
		if got := got.Findings[i].Servers; !slices.Equal(got, want[problem]) {
			t.Errorf("servers of %q = %v, want %v", problem, got, want[problem])
		}
		delete(want, problem)
	}
	if len(want) > 0 {
		t.Errorf("Inspect = %v, which lacks %v", got, want)
	}
	cluster.Masters[1].Kill()
	got, err = inspect(t, cluster.URL())
	if found := problems(got); err == nil || !slices.Equal(found, []string{noPersistence}) || slices.Contains(got.Findings[0].Servers, odd) {
		t.Errorf("Inspect without one master = %v, %v, want an error and the findings of the others", got, err)
	}
	alone := redistest.Start(t)
	if _, err := inspect(t, alone.URL()+"?addr="+alone.Addr()); err == nil || !strings.Contains(err.Error(), "cluster support disabled") {
		t.Errorf("Inspect of no Cluster = %v, want an error that says so", err)
	}
}

func TestTheMasterBehindSentinelIsInspected(t *testing.T) {
	sentinel := redistest.StartSentinel(t, "maxmemory-policy allkeys-lru")
	got, err := inspect(t, sentinel.URL())
	if found := problems(got); err != nil || !slices.Equal(found, []string{evictsUsers}) || got.Topology != "master found by Sentinel" {
		t.Errorf("Inspect = %+v, %v, want the master's policy", got, err)
	}
	_, err = inspect(t, strings.Replace(sentinel.URL(), "master_name=", "master_name=other", 1))
	if err == nil || !strings.Contains(err.Error(), "all sentinels") {
		t.Errorf("Inspect of another master = %v, want an error that names the Sentinels", err)
	}
	if _, err := inspect(t, sentinel.Nodes[1].URL()); !errors.Is(err, store.ErrReplica) {
		t.Errorf("Inspect of the replica = %v, want ErrReplica", err)
	}
}
