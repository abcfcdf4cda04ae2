package redisstore_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/redistest"
)

// inspected opens a store, ready or not, and inspects its Redis.
func inspected(t *testing.T, cfg redisstore.Config) (redisstore.Findings, error) {
	t.Helper()
	s, err := redisstore.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Inspect(t.Context())
}

// problems are the findings' first words, enough to tell them apart.
func problems(found redisstore.Findings) (all []string) {
	for _, f := range found {
		problem, _, _ := strings.Cut(f.Problem, ",")
		all = append(all, problem)
	}
	return all
}

const (
	evictsUsers = "maxmemory-policy is allkeys-lru"
	evictsLocks = "maxmemory-policy is volatile-ttl"
	keepsNone   = "Redis keeps nothing over a restart"
)

func TestFindingsOfOneRedis(t *testing.T) {
	tests := map[string]struct {
		options []string
		want    []string
	}{
		"set up as it should be":             {[]string{"maxmemory 10mb", "maxmemory-policy noeviction"}, nil},
		"it may throw users away":            {[]string{"maxmemory 10mb", "maxmemory-policy allkeys-lru"}, []string{evictsUsers}},
		"a policy that waits for its limit":  {[]string{"maxmemory 0", "maxmemory-policy volatile-ttl"}, []string{evictsLocks}},
		"snapshots alone":                    {[]string{"appendonly no", "save 3600 1"}, nil},
		"nothing is kept":                    {[]string{"appendonly no"}, []string{keepsNone}},
		"all is wrong":                       {[]string{"appendonly no", "maxmemory-policy allkeys-lru"}, []string{evictsUsers, keepsNone}},
		"a Redis that hides its settings":    {[]string{"appendonly no", `rename-command CONFIG ""`}, nil},
		"hidden settings, but a wrong limit": {[]string{"maxmemory-policy allkeys-lru", `rename-command CONFIG ""`}, []string{evictsUsers}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found, err := inspected(t, redisstore.Config{URL: redistest.Start(t, tt.options...).URL()})
			if got := problems(found); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("Inspect = %q, %v, want %q", got, err, tt.want)
			}
			for _, f := range found {
				if f.Remedy == "" || len(f.Servers) != 0 || !strings.Contains(found.String(), f.Problem+": "+f.Remedy) {
					t.Errorf("finding = %+v, told as %q, want a remedy and no server", f, found)
				}
			}
		})
	}
}

func TestAUserWhoMayNotAsk(t *testing.T) {
	server := redistest.Start(t, "appendonly no", "maxmemory-policy allkeys-lru",
		"user shy on >secret ~* &* +@all -info -config", "user halfway on >secret ~* &* +@all -config")
	asked := map[string]int{}
	for name, want := range map[string][]string{"shy": nil, "halfway": {evictsUsers}} {
		t.Run(name, func(t *testing.T) {
			clear(asked)
			s, err := redisstore.Open(redisstore.Config{
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
		t.Run(version, func(t *testing.T) {
			_, err := inspected(t, redisstore.Config{URL: server.Disguise(version)})
			if errors.Is(err, redisstore.ErrTooOld) != tooOld {
				t.Errorf("Inspect = %v, want too old: %t", err, tooOld)
			}
			if tooOld && (!strings.Contains(err.Error(), "version "+version+":") || !strings.Contains(err.Error(), "needs Redis 6.2")) {
				t.Errorf("Inspect = %v, want both versions named", err)
			}
		})
	}
}

func TestEveryMasterOfAClusterIsInspected(t *testing.T) {
	cluster := redistest.StartCluster(t, "appendonly no")
	odd := cluster.Masters[1].Addr()
	client := redis.NewClient(&redis.Options{Addr: odd})
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	found, err := inspected(t, redisstore.Config{URL: cluster.URL()})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range cluster.Masters {
		all = append(all, m.Addr())
	}
	slices.Sort(all)
	want := map[string][]string{evictsUsers: {odd}, keepsNone: all}
	for i, problem := range problems(found) {
		if got := found[i].Servers; !slices.Equal(got, want[problem]) {
			t.Errorf("servers of %q = %v, want %v", problem, got, want[problem])
		}
		delete(want, problem)
	}
	if len(want) > 0 {
		t.Errorf("Inspect = %v, which lacks %v", found, want)
	}

	cluster.Masters[1].Kill()
	found, err = inspected(t, redisstore.Config{URL: cluster.URL()})
	if got := problems(found); err == nil || !slices.Equal(got, []string{keepsNone}) || slices.Contains(found[0].Servers, odd) {
		t.Errorf("Inspect without one master = %v, %v, want an error and what the others tell", found, err)
	}
}

func TestSentinelsMasterIsInspected(t *testing.T) {
	sentinel := redistest.StartSentinel(t, "maxmemory-policy allkeys-lru")
	found, err := inspected(t, redisstore.Config{URL: sentinel.URL()})
	if got := problems(found); err != nil || !slices.Equal(got, []string{evictsUsers}) {
		t.Errorf("Inspect = %q, %v, want the master's policy", got, err)
	}

	replica := sentinel.Nodes[1].URL()
	if _, err := inspected(t, redisstore.Config{URL: replica}); !errors.Is(err, redisstore.ErrReplica) {
		t.Errorf("Inspect of the replica = %v, want ErrReplica", err)
	}
	said := make(chan error, 1)
	s, err := redisstore.Open(redisstore.Config{URL: replica, Log: slog.New(heard{said})})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Ready(ctx) }()
	select {
	case err := <-said:
		if !errors.Is(err, redisstore.ErrReplica) {
			t.Errorf("Ready logs %v, want ErrReplica", err)
		}
		cancel()
	case <-ctx.Done():
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Ready = %v, want it to try on until its context ends", err)
	}
}

// heard passes on the error of the first warning.
type heard struct{ errs chan error }

func (h heard) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (h heard) WithAttrs([]slog.Attr) slog.Handler               { return h }
func (h heard) WithGroup(string) slog.Handler                    { return h }

func (h heard) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			select {
			case h.errs <- err:
			default: // the first is enough
			}
		}
		return true
	})
	return nil
}

func TestARedisOfWhichNothingIsKnown(t *testing.T) {
	embedded, err := redisstore.Embed()
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Close()
	if found, err := inspected(t, redisstore.Config{URL: embedded.URL()}); len(found) != 0 || err != nil {
		t.Errorf("Inspect of the embedded Redis = %v, %v, want nothing found", found, err)
	}
	server := redistest.Start(t)
	server.Kill()
	found, err := inspected(t, redisstore.Config{URL: server.URL()})
	if err == nil || errors.Is(err, redisstore.ErrTooOld) || errors.Is(err, redisstore.ErrReplica) || len(found) != 0 {
		t.Errorf("Inspect while Redis is away = %v, %v, want an error of its own", found, err)
	}
}
