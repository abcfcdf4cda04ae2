package store

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

// ErrTooOld means that this Redis lacks commands that the store uses.
var ErrTooOld = errors.New("outlook-monitor needs Redis 6.2 or later, or Valkey")

// oldest is the lowest version of Redis that is supported.
var oldest = []int{6, 2}

// Finding is something about the configuration of Redis by which users may be lost.
type Finding struct {
	Problem string
	Remedy  string
	Servers []string // the masters of a Cluster that have it; empty without a Cluster
}

// Findings are those of all servers.
type Findings []Finding

// String returns them in one line.
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

// Inspect says what is wrong with the configuration of Redis, of every master of a
// Cluster. What a managed Redis does not show is taken to be right. Findings of the
// servers that answered come with an error too. The error is [ErrTooOld] or
// [ErrReplica], or says why a server did not answer.
func (s *Store) Inspect(ctx context.Context) (Findings, error) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return judge([]examined{s.examine(ctx, s.client)})
	}
	var mu sync.Mutex
	var all []examined
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		one := s.examine(ctx, master)
		one.name = master.Options().Addr
		mu.Lock()
		defer mu.Unlock()
		// A replica was a master when the Cluster was asked.
		if one.info["role"] != replicaRole {
			all = append(all, one)
		}
		return nil
	})
	if err != nil {
		return nil, translate(err)
	}
	slices.SortFunc(all, func(a, b examined) int { return cmp.Compare(a.name, b.name) })
	return judge(all)
}

// examined is what one server answered.
type examined struct {
	name      string            // empty without a Cluster
	info      map[string]string // INFO
	save      string            // the setting; asked for if there is no append-only file
	saveKnown bool
	err       error // it did not answer
}

const replicaRole = "slave" // as INFO spells it

// examine asks one server. What it refuses to show stays unknown.
func (s *Store) examine(ctx context.Context, server redis.Cmdable) (e examined) {
	text, err := server.Info(ctx).Result()
	if e.err = unanswered(err); err != nil {
		return e
	}
	e.info = map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			e.info[name] = value
		}
	}
	if e.info["aof_enabled"] != "0" || s.reading.configDenied.Load() {
		return e
	}
	settings, err := server.ConfigGet(ctx, "save").Result()
	if e.err = unanswered(err); err != nil {
		s.reading.configDenied.Store(e.err == nil) // don't ask again
		return e
	}
	e.save, e.saveKnown = settings["save"]
	return e
}

// unanswered is nil if Redis refused, which is an answer.
func unanswered(err error) error {
	if _, refused := errors.AsType[redis.Error](err); refused {
		return nil
	}
	return translate(err)
}

// judge turns what servers answered into findings, each problem once.
func judge(servers []examined) (found Findings, err error) {
	for _, e := range servers {
		for _, f := range e.problems() {
			i := slices.IndexFunc(found, func(known Finding) bool { return known.Problem == f.Problem })
			if i < 0 {
				i, found = len(found), append(found, f)
			}
			if e.name != "" {
				found[i].Servers = append(found[i].Servers, e.name)
			}
		}
		if worse := e.unusable(); err == nil || errors.Is(worse, ErrTooOld) {
			err = worse
		}
	}
	return found, err
}

// unusable says why a server can't be used.
func (e examined) unusable() error {
	version := e.info["redis_version"]
	switch {
	case e.err != nil:
		return e.err
	case tooOld(version):
		return fmt.Errorf("%s is version %.20s: %w", strings.TrimSpace("Redis "+e.name), version, ErrTooOld)
	case e.info["role"] == replicaRole:
		return ErrReplica
	}
	return nil
}

// tooOld compares a version with the oldest that is supported. One that can't be read
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

// policyProblem begins the findings about maxmemory-policy.
const policyProblem = "maxmemory-policy is "

// problems lists what is wrong with one server.
func (e examined) problems() (found []Finding) {
	evict := func(policy, what string) {
		found = append(found, Finding{
			Problem: policyProblem + policy + ", so Redis evicts " + what + " when it reaches maxmemory",
			Remedy:  "set maxmemory-policy to noeviction, and maxmemory high enough",
		})
	}
	switch policy := e.info["maxmemory_policy"]; {
	case strings.HasPrefix(policy, "volatile-"):
		evict(policy, "locks") // nothing else expires
	case policy != "" && policy != "noeviction":
		evict(policy, "users")
	}
	if e.saveKnown && e.save == "" {
		found = append(found, Finding{
			Problem: "Redis has no persistence, neither append-only file nor snapshots",
			Remedy:  "set appendonly to yes, or a restart loses histories, and all users if this service restarts too",
		})
	}
	return found
}
