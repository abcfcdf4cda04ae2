package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// problems returns the problems of the findings up to the first comma.
func problems(found store.Report) (all []string) {
	for _, finding := range found.Findings {
		problem, _, _ := strings.Cut(finding.Problem, ",")
		all = append(all, problem)
	}
	return all
}

const (
	evictsUsers   = "maxmemory-policy is allkeys-lru"
	evictsLocks   = "maxmemory-policy is volatile-ttl"
	noPersistence = "Redis has no persistence"
)

func TestInspect(t *testing.T) {
	const file = "append-only file"
	for name, tt := range map[string]struct {
		options             []string
		want                []string
		persistence, memory string
	}{
		"recommended":               {[]string{"maxmemory 50mb", "maxmemory-policy noeviction"}, nil, file, "of 50.00M"},
		"may evict users":           {[]string{"maxmemory-policy allkeys-lru"}, []string{evictsUsers}, file, "used"},
		"may evict locks":           {[]string{"maxmemory-policy volatile-ttl"}, []string{evictsLocks}, file, "used"},
		"snapshots only":            {[]string{"appendonly no", "save 3600 1"}, nil, "snapshots only", "used"},
		"no persistence":            {[]string{"appendonly no"}, []string{noPersistence}, "", "used"},
		"hidden CONFIG":             {[]string{"appendonly no", `rename-command CONFIG ""`}, nil, "", "used"},
		"hidden CONFIG, not policy": {[]string{"maxmemory-policy allkeys-lru", `rename-command CONFIG ""`}, []string{evictsUsers}, file, "used"},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, redistest.Start(t, tt.options...).URL())
			got, err := f.Inspect(t.Context())
			if found := problems(got); err != nil || !slices.Equal(found, tt.want) {
				t.Errorf("Inspect = %q, %v, want %q", found, err, tt.want)
			}
			for _, finding := range got.Findings {
				if finding.Remedy == "" || finding.Eviction != strings.HasPrefix(finding.Problem, "maxmemory") {
					t.Errorf("finding = %+v, want a remedy", finding)
				}
			}
			named := strings.HasPrefix(got.Server, "Redis ") || strings.HasPrefix(got.Server, "Valkey ")
			if !named || got.Topology != "" || got.Policy == "" || !strings.HasSuffix(got.Memory, tt.memory) ||
				!strings.HasPrefix(got.Persistence, tt.persistence) || (tt.persistence == "") != (got.Persistence == "") {
				t.Errorf("Inspect = %+v, want persistence %q and memory %q", got, tt.persistence, tt.memory)
			}
			if n, err := f.raw.DBSize(t.Context()).Result(); n != 0 || err != nil {
				t.Errorf("keys = %d, %v, want none", n, err)
			}
		})
	}
}

func TestInspectWithoutPermission(t *testing.T) {
	server := redistest.Start(t, "appendonly no", "maxmemory-policy allkeys-lru",
		"user neither on >secret ~* &* +@all -info -config", "user info on >secret ~* &* +@all -config")
	for name, want := range map[string][]string{"neither": nil, "info": {evictsUsers}} {
		t.Run(name, func(t *testing.T) {
			f := open(t, strings.Replace(server.URL(), "redis://", "redis://"+name+":secret@", 1))
			found, err := f.Inspect(t.Context())
			if got := problems(found); err != nil || !slices.Equal(got, want) {
				t.Errorf("Inspect = %q, %v, want %q", got, err, want)
			}
		})
	}
}

func TestInspectVersions(t *testing.T) {
	for version, tooOld := range map[string]bool{
		"6.0.20": true, "5.0.14": true, "2.8": true, "6": true, "6.1.99": true,
		"6.2": false, "6.2.0": false, "7.0.15": false, "10.0.1": false, "255.x": false,
	} {
		got, err := open(t, redistest.FakeVersion(t, version)).Inspect(t.Context())
		if errors.Is(err, store.ErrTooOld) != tooOld || got.Server != "Redis "+version {
			t.Errorf("Inspect of %s = %q, %v, want ErrTooOld %t", version, got.Server, err, tooOld)
		}
	}
	const valkey = "7.2.4\r\nserver_name:valkey\r\nvalkey_version:10.10.10-rc1"
	if got, err := open(t, redistest.FakeVersion(t, valkey)).Inspect(t.Context()); got.Server != "Valkey 10.10.10-rc1" || err != nil {
		t.Errorf("Inspect of a Valkey = %q, %v, want its own version", got.Server, err)
	}
}

func TestInspectCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, "appendonly no")
	var data *redistest.Server
	for _, m := range cluster.Masters {
		single := open(t, m.URL())
		_, err := single.Inspect(t.Context())
		single.wantErr(err, store.ErrClusterNode)
		policy := "volatile-ttl"
		if single.raw.Exists(t.Context(), "om:{om}:owners").Err() == nil { // the others refer to it
			data, policy = m, "allkeys-lru"
		}
		single.must(single.raw.ConfigSet(t.Context(), "maxmemory-policy", policy).Err())
	}
	inspected := func() {
		t.Helper()
		got, err := open(t, cluster.URL()).Inspect(t.Context())
		want := []string{evictsUsers, noPersistence}
		if found := problems(got); err != nil || !slices.Equal(found, want) || got.Topology != "Cluster, data at "+data.Addr() {
			t.Errorf("Inspect = %+v, %v, want the findings of the master at %s", got, err, data.Addr())
		}
	}
	inspected()
	for _, m := range cluster.Masters {
		if m != data {
			m.Kill()
			break
		}
	}
	inspected()
	data.Kill()
	if got, err := open(t, cluster.URL()).Inspect(t.Context()); err == nil {
		t.Errorf("Inspect without the master that has the data = %+v, want an error", got)
	}
	alone := redistest.Start(t)
	if _, err := open(t, alone.URL()+"?addr="+alone.Addr()).Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), "cluster support disabled") {
		t.Errorf("Inspect of a single server as a Cluster = %v, want an error with the reason", err)
	}
}
