package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrTooOld means that this Redis lacks what the scripts use.
	ErrTooOld = errors.New("outlook-monitor needs Redis 6.2 or later, or Valkey")
	// ErrReplica means that what is written here is refused, or thrown away later.
	ErrReplica = errors.New("this Redis is a read-only replica: name its master in REDIS_URL, or the Sentinels that know it")
)

// oldest is the lowest version of Redis that will do.
var oldest = []int{6, 2}

// Finding is something about Redis by which stored users may be lost.
type Finding struct {
	Problem string
	Remedy  string
	Servers []string // the masters of a Cluster that it is true of; empty without a Cluster
}

// Findings are those of all servers.
type Findings []Finding

// String puts them into one line.
func (f Findings) String() string {
	var all []string
	for _, one := range f {
		text := one.Problem + ": " + one.Remedy
		if len(one.Servers) > 0 {
			text += " (" + strings.Join(one.Servers, ", ") + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// Inspect says what is wrong with how Redis is set up, with every master of a
// Cluster. What a managed Redis does not tell is taken to be well. Findings come
// with an error too, of the servers that answered. The error is [ErrTooOld] or
// [ErrReplica], or says why a server did not answer.
func (s *Store) Inspect(ctx context.Context) (Findings, error) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		one := s.look(ctx, s.client)
		return judge([]looked{one})
	}
	var mu sync.Mutex
	var all []looked
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		one := s.look(ctx, master)
		one.name = master.Options().Addr
		mu.Lock()
		defer mu.Unlock()
		// One that is a replica by now was a master when the Cluster was asked.
		if one.info["role"] != replicaRole {
			all = append(all, one)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b looked) int { return cmp.Compare(a.name, b.name) })
	return judge(all)
}

// looked is what one server told.
type looked struct {
	name string            // empty without a Cluster
	info map[string]string // INFO
	save string            // the setting; asked for if there is no append-only file
	asks bool              // save is known
	err  error             // it did not answer
}

const replicaRole = "slave" // as INFO says it

// look asks one server. What it refuses to tell stays unknown.
func (s *Store) look(ctx context.Context, server redis.Cmdable) (l looked) {
	text, err := server.Info(ctx).Result()
	if l.err = unanswered(err); err != nil {
		return l
	}
	l.info = map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			l.info[name] = value
		}
	}
	if l.info["aof_enabled"] != "0" || s.secretive.Load() {
		return l
	}
	settings, err := server.ConfigGet(ctx, "save").Result()
	if l.err = unanswered(err); err != nil {
		s.secretive.Store(l.err == nil) // ask no more
		return l
	}
	l.save, l.asks = settings["save"]
	return l
}

// unanswered leaves out that Redis refused.
func unanswered(err error) error {
	if _, refused := errors.AsType[redis.Error](err); refused {
		return nil
	}
	return err
}

// judge turns what servers told into findings, each problem once.
func judge(servers []looked) (found Findings, err error) {
	for _, l := range servers {
		for _, f := range l.problems() {
			i := slices.IndexFunc(found, func(known Finding) bool { return known.Problem == f.Problem })
			if i < 0 {
				i, found = len(found), append(found, f)
			}
			if l.name != "" {
				found[i].Servers = append(found[i].Servers, l.name)
			}
		}
		if worse := l.unfit(); err == nil || errors.Is(worse, ErrTooOld) {
			err = worse
		}
	}
	return found, err
}

// unfit says why a server can't be used.
func (l looked) unfit() error {
	version := l.info["redis_version"]
	switch {
	case l.err != nil:
		return l.err
	case tooOld(version):
		return fmt.Errorf("%s is version %.20s: %w", strings.TrimSpace("Redis "+l.name), version, ErrTooOld)
	case l.info["role"] == replicaRole:
		return ErrReplica
	}
	return nil
}

// tooOld compares a version with the oldest that will do. One that can't be read
// is taken to be new.
func tooOld(version string) bool {
	var numbers []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return false
		}
		numbers = append(numbers, n)
	}
	return slices.Compare(numbers, oldest) < 0
}

// problems lists what is wrong with one server.
func (l looked) problems() (found []Finding) {
	switch policy := l.info["maxmemory_policy"]; {
	case strings.HasPrefix(policy, "volatile-"):
		found = append(found, Finding{
			Problem: "maxmemory-policy is " + policy + ", so locks and waits are thrown away when maxmemory is reached",
			Remedy:  "set it to noeviction, and maxmemory high enough",
		})
	case policy != "" && policy != "noeviction":
		found = append(found, Finding{
			Problem: "maxmemory-policy is " + policy + ", so users are thrown away when maxmemory is reached",
			Remedy:  "set it to noeviction, and maxmemory high enough",
		})
	}
	if l.asks && l.save == "" {
		found = append(found, Finding{
			Problem: "Redis keeps nothing over a restart, neither by append-only file nor by snapshots",
			Remedy:  "set appendonly to yes, or each restart has every greeting spoken anew",
		})
	}
	return found
}
