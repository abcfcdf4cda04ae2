package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrTooOld means that this Redis lacks commands that the store uses. The guides and doctor
	// name the version too.
	ErrTooOld = errors.New("outlook-monitor needs Redis 6.2 or later, or Valkey")
	// ErrClusterNode means that the URL names a node of a Cluster as a single server.
	ErrClusterNode = errors.New("this Redis is a node of a Cluster: name another node in REDIS_URL, as in redis://host1:6379?addr=host2:6379")
)

// Report is what Redis reports about itself, for people. What a managed Redis hides is empty
// and causes no finding.
type Report struct {
	Server      string // such as "Redis 7.2.4" or "Valkey 8.0.1"
	Topology    string // such as "Cluster, data at HOST:PORT"; empty: single server
	Persistence string
	Policy      string // maxmemory-policy
	Memory      string // used, and the limit
	Findings    []Finding
}

// Finding is a problem in the configuration of Redis that may lose users.
type Finding struct {
	Problem  string
	Remedy   string
	Eviction bool // about the eviction policy
}

// Inspect asks Redis about its version and configuration. Of a Cluster it asks the master that
// has the data: all keys but the schema's. It writes nothing. It returns [ErrTooOld],
// [ErrReplica], [ErrClusterNode] or the error of a server that did not answer.
func (s *Store) Inspect(ctx context.Context) (Report, error) {
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, ownersKey)
		if err != nil {
			return Report{}, translate(err)
		}
		r, err := inspect(ctx, master)
		r.Topology = "Cluster, data at " + master.Options().Addr
		if errors.Is(err, ErrClusterNode) || errors.Is(err, ErrReplica) { // ErrReplica: demoted since the client read the topology
			err = nil
		}
		return r, err
	}
	if err := s.Ping(ctx); err != nil { // INFO may be denied, which inspect ignores
		return Report{}, err
	}
	client := s.client.(*redis.Client)
	r, err := inspect(ctx, client)
	if client.Options().Addr == "FailoverClient" { // set by go-redis for a Sentinel client
		r.Topology = "master found by Sentinel"
	}
	return r, err
}

// inspect asks one server. What the server refuses to show is left empty.
func inspect(ctx context.Context, server redis.Cmdable) (Report, error) {
	r := Report{Server: "Redis, version unknown"}
	text, err := server.Info(ctx).Result()
	if err != nil {
		return r, unanswered(err)
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	if v := info["valkey_version"]; v != "" { // Valkey reports a redis_version too
		r.Server = fmt.Sprintf("Valkey %.20s", v)
	} else if v := info["redis_version"]; v != "" {
		r.Server = fmt.Sprintf("Redis %.20s", v)
	}
	if r.Policy = info["maxmemory_policy"]; r.Policy != "" && r.Policy != "noeviction" {
		evicts := "users"
		if strings.HasPrefix(r.Policy, "volatile-") {
			evicts = "locks" // only locks and loads expire
		}
		r.Findings = append(r.Findings, Finding{
			Problem:  "maxmemory-policy is " + r.Policy + ", so Redis evicts " + evicts + " when it reaches maxmemory",
			Remedy:   "set maxmemory-policy to noeviction, and maxmemory high enough",
			Eviction: true,
		})
	}
	if used := info["used_memory_human"]; used != "" {
		r.Memory = used + " used"
		if limit := info["maxmemory"]; limit != "" && limit != "0" {
			r.Memory += " of " + info["maxmemory_human"]
		}
	}
	switch info["aof_enabled"] {
	case "1":
		r.Persistence = "append-only file"
	case "0":
		settings, err := server.ConfigGet(ctx, "save").Result()
		if err = unanswered(err); err != nil {
			return r, err
		}
		switch save, known := settings["save"]; {
		case known && save == "":
			r.Findings = append(r.Findings, Finding{
				Problem: "Redis has no persistence, neither append-only file nor snapshots",
				Remedy:  "set appendonly to yes, or a restart loses histories, and all users if this service restarts too",
			})
		case known:
			r.Persistence = "snapshots only, the last minutes before a crash are lost: set appendonly to yes"
		}
	}
	switch version := info["redis_version"]; {
	case tooOld(version):
		return r, fmt.Errorf("Redis is version %.20s: %w", version, ErrTooOld)
	case info["role"] == "slave":
		return r, ErrReplica
	case info["cluster_enabled"] == "1":
		return r, ErrClusterNode
	}
	return r, nil
}

// unanswered returns nil if Redis answered, even by refusing the command, and otherwise err.
func unanswered(err error) error {
	if _, refused := errors.AsType[redis.Error](err); refused {
		return nil
	}
	return translate(err)
}

// tooOld reports whether a version is below 6.2. An unknown format counts as new.
func tooOld(version string) bool {
	var major, minor int
	read, _ := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return read > 0 && (major < 6 || major == 6 && minor < 2)
}

var (
	// ErrRefused means that Redis, or the ACL of its user, refuses required commands.
	ErrRefused = errors.New("refused by Redis: allow its user all commands on om:* (ACL SETUSER … +@all ~om:* &om:*), or use a Redis that has them")
	// ErrNoMessages means that the Redis user may not publish or subscribe. Everything works,
	// but requests to another replica may wait 5 s.
	ErrNoMessages = errors.New("messages between replicas are refused by Redis, changes may wait 5 s: allow its user the channel (ACL SETUSER … &om:*)")
)

// Check tries the commands that the service needs, without side effects. It returns
// [ErrRefused] with the refused commands, [ErrNoMessages] if only messages are refused,
// [ErrNewerSchema], [ErrOlderSchema], or the error if Redis did not answer.
func (s *Store) Check(ctx context.Context) error {
	if err := s.checkSchema(ctx); err != nil {
		return err
	}
	keys := []string{probeKey, probeStreamKey, probeTextKey}
	failed, err := probe.Eval(ctx, s.client, keys).StringSlice() // Run would only try EVALSHA if Redis knows the script
	if err == nil {
		err = probe.EvalSha(ctx, s.client, keys).Err()
	}
	if refusal(err) {
		return fmt.Errorf("scripts (EVAL, EVALSHA) are %w", ErrRefused)
	}
	if err != nil {
		return translate(err)
	}
	var refused []string
	for failure := range slices.Chunk(failed, 2) { // command, error
		if !slices.ContainsFunc(temporary, func(code string) bool { return strings.Contains(failure[1], code) }) {
			refused = append(refused, failure[0])
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("%s in scripts: %w", strings.Join(refused, ", "), ErrRefused)
	}
	if err = s.client.Publish(ctx, s.channel, "{}").Err(); err == nil {
		sub := s.messages.Subscribe(ctx, s.channel)
		defer sub.Close()
		_, err = sub.ReceiveTimeout(ctx, callTimeout)
	}
	if refusal(err) {
		return ErrNoMessages
	}
	return translate(err)
}

// temporary are the codes of errors that depend on the state of Redis, not on permissions.
var temporary = []string{"OOM", "MISCONF", "NOREPLICAS", "READONLY"}

// refusal reports whether Redis denied a command or does not know it.
func refusal(err error) bool {
	refused, ok := errors.AsType[redis.Error](err)
	return ok && (strings.HasPrefix(refused.Error(), "NOPERM") || strings.HasPrefix(refused.Error(), "ERR"))
}
