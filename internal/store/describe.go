package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// Description is what Redis says of itself, for people; in a Cluster one master stands
// for all. What it does not show is empty.
type Description struct {
	Server  string // such as "Redis 7.2.4" or "Valkey 8.0.1"
	Form    string // such as "Cluster of 3 masters"; empty: a single server
	Keeping string // its persistence
	Policy  string // maxmemory-policy
	Memory  string // used, and the limit
}

// Evicts says whether the finding is about what Redis evicts when memory is full.
func (f Finding) Evicts() bool { return strings.HasPrefix(f.Problem, policyProblem) }

// ErrOneOfACluster means that the URL names one node of a Cluster as a single server.
var ErrOneOfACluster = errors.New("this Redis is a node of a Cluster: name another node in REDIS_URL, as in redis://host1:6379?addr=host2:6379")

// Describe asks Redis what it is and, unlike [Store.Ready], writes nothing. The error
// is [ErrNewerSchema], [ErrOlderSchema] or [ErrOneOfACluster], or says why Redis did
// not answer.
func (s *Store) Describe(ctx context.Context) (Description, error) {
	// The answer of Sentinels about a master that they don't know is a redis.Nil too.
	if err := s.Ping(ctx); err != nil {
		return Description{}, err
	}
	one := s.examine(ctx, s.client)
	if _, single := s.client.(*redis.Client); single && one.info["cluster_enabled"] == "1" {
		return Description{}, ErrOneOfACluster
	}
	version, err := s.client.Get(ctx, schemaKey).Int()
	switch {
	case errors.Is(err, redis.Nil): // nobody has used it
	case err != nil:
		return Description{}, translate(err)
	case version > schema:
		return Description{}, ErrNewerSchema
	case version < schema:
		return Description{}, ErrOlderSchema
	}
	d := one.describe()
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		var masters atomic.Int32
		err := client.ForEachMaster(ctx, func(context.Context, *redis.Client) error {
			masters.Add(1)
			return nil
		})
		if err != nil {
			return d, translate(err)
		}
		d.Form = fmt.Sprintf("Cluster of %d masters", masters.Load())
	case *redis.Client:
		// A failover client dials whoever is master, under this name.
		if client.Options().Addr == "FailoverClient" {
			d.Form = "master found by Sentinel"
		}
	}
	return d, one.err
}

// describe puts what one server answered into words.
func (e examined) describe() Description {
	d := Description{Server: "Redis, version unknown", Policy: e.info["maxmemory_policy"]}
	for _, of := range []struct{ name, version string }{{"Valkey", e.info["valkey_version"]}, {"Redis", e.info["redis_version"]}} {
		if of.version != "" {
			d.Server = fmt.Sprintf("%s %.20s", of.name, of.version)
			break
		}
	}
	switch {
	case e.info["aof_enabled"] == "1":
		d.Keeping = "append-only file"
	case e.saveKnown && e.save != "":
		d.Keeping = "snapshots only, the last minutes before a crash are lost: set appendonly to yes"
	}
	if used := e.info["used_memory_human"]; used != "" {
		d.Memory = used + " used"
		if limit := e.info["maxmemory"]; limit != "" && limit != "0" {
			d.Memory += " of " + e.info["maxmemory_human"]
		}
	}
	return d
}
