package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// Description is what Redis tells of itself, for people; of a Cluster, one master
// speaks for all. What it keeps to itself is empty.
type Description struct {
	Server  string // such as "Redis 7.2.4" or "Valkey 8.0.1"
	Form    string // such as "Cluster of 3 masters" or "by Sentinel"; empty: a single one
	Keeping string // how it keeps its data over a restart
	Policy  string // maxmemory-policy
	Memory  string // used, and of how much
}

// Evicts says whether the finding is about what Redis throws away to have room.
func (f Finding) Evicts() bool { return strings.HasPrefix(f.Problem, "maxmemory-policy") }

// ErrOneOfACluster means that others have most of the keys.
var ErrOneOfACluster = errors.New("this Redis is one of a Cluster: name another of its servers in REDIS_URL, as in redis://host1:6379?addr=host2:6379")

// Describe asks Redis what it is and, unlike [Store.Ready], writes nothing. The
// error is [ErrNewerSchema] or [ErrOneOfACluster], or says why Redis did not
// answer.
func (s *Store) Describe(ctx context.Context) (Description, error) {
	// What Sentinels say of a master that they don't know is a redis.Nil too.
	if err := s.Ping(ctx); err != nil {
		return Description{}, err
	}
	one := s.look(ctx, s.client)
	if _, alone := s.client.(*redis.Client); alone && one.info["cluster_enabled"] == "1" {
		return Description{}, ErrOneOfACluster
	}
	version, err := s.client.Get(ctx, schemaKey).Int()
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return Description{}, err
	case version > schema:
		return Description{}, ErrNewerSchema
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
			return d, err
		}
		d.Form = fmt.Sprintf("a Cluster of %d masters", masters.Load())
	case *redis.Client:
		// A failover client dials whoever is master, under this name.
		if client.Options().Addr == "FailoverClient" {
			d.Form = "the master that Sentinel names"
		}
	}
	return d, one.err
}

// describe puts what one server told into words.
func (l looked) describe() Description {
	d := Description{Server: "Redis of an unknown version", Policy: l.info["maxmemory_policy"]}
	for _, of := range []struct{ name, version string }{{"Valkey", l.info["valkey_version"]}, {"Redis", l.info["redis_version"]}} {
		if of.version != "" {
			d.Server = fmt.Sprintf("%s %.20s", of.name, of.version)
			break
		}
	}
	switch {
	case l.info["aof_enabled"] == "1":
		d.Keeping = "an append-only file"
	case l.asks && l.save != "":
		d.Keeping = "snapshots alone: the last minutes before a crash are lost, appendonly yes keeps them"
	}
	if used := l.info["used_memory_human"]; used != "" {
		d.Memory = used + " used"
		if limit := l.info["maxmemory"]; limit != "" && limit != "0" {
			d.Memory += " of " + l.info["maxmemory_human"]
		}
	}
	return d
}
