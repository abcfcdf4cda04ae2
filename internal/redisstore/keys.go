package redisstore

import (
	"fmt"
	"hash/fnv"
	"slices"

	"outlook-monitor/internal/ooo"
)

// shards is part of the schema: changing it orphans every record.
const shards = 16

const (
	schemaKey    = "om:schema" // STRING the schema version
	wakeChannel  = "om:wake"   // Pub/Sub: the key of the due set, or of what is marked again, a space, and who made it so
	secretPrefix = "om:secret:"
	lockPrefix   = "om:lock:"   // STRING owner, PX
	stampPrefix  = "om:stamp:"  // STRING ms
	pausePrefix  = "om:pause:"  // STRING ms until which something is left alone, PX
	budgetPrefix = "om:budget:" // STRING ms at which the budget is whole again, PX
	vaultPrefix  = "om:vault:"  // STRING what a vault keeps under a name

	replicasKey = "om:{replicas}:alive" // HASH id of a process -> ms of its last beat|JSON, PX
	loadsKey    = "om:{replicas}:loads" // STREAM capped, what each process did, PX
)

// shardOf returns the shard that a user lives in.
func shardOf(key ooo.Key) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % shards)
}

// shardKey returns a key of a shard. The braces make all of them hash to one
// Cluster slot.
func shardKey(shard int, part string) string { return prefixes[shard] + part }

var prefixes = func() (all [shards]string) {
	for shard := range all {
		all[shard] = fmt.Sprintf("om:{%02d}:", shard)
	}
	return all
}()

func briefKey(shard int) string             { return shardKey(shard, "brief") }           // HASH key -> object id LF fingerprint
func checkedKey(shard int) string           { return shardKey(shard, "checked") }         // HASH key -> ms of the last good read
func namesKey(shard int) string             { return shardKey(shard, "names") }           // ZSET folded addresses, by name
func markerKey(shard int) string            { return shardKey(shard, "marker") }          // STRING present unless the shard was emptied
func spokeKey(shard int) string             { return shardKey(shard, "spoke") }           // HASH key -> tag=ms; of each subscription that spoke
func feedKey(shard int) string              { return shardKey(shard, "feed") }            // STREAM capped, the histories' newest; luaUser names it too
func digestKey(shard int) string            { return shardKey(shard, "digest") }          // HASH key -> a line of what is asked about all, PX; luaUser names it too
func matesKey(shard int) string             { return shardKey(shard, "mates") }           // HASH key -> the other keys of the mailbox that it covers, by spaces
func holdKey(shard int, q ooo.Queue) string { return shardKey(shard, string(q)+":hold") } // STRING ms until which nothing is claimed, PX

func userKey(key ooo.Key) string    { return shardKey(shardOf(key), "u:"+string(key)) } // HASH the record
func historyKey(key ooo.Key) string { return shardKey(shardOf(key), "h:"+string(key)) } // STREAM capped

// mailboxKey names who takes part in a mailbox. It has a slot of its own: the
// users of one mailbox live in different shards.
func mailboxKey(id ooo.ObjectID) string { return "om:mailbox:{" + string(id) + "}" } // ZSET key -> ms of joining; of leavers more than urgentShift

// queueParts are the keys of one queue in one shard, in the order that scripts
// expect.
var queueParts = [queueNames]string{
	"due",   // ZSET key -> due ms; urgent ones less urgentShift
	"held",  // HASH key -> token of the claim
	"again", // HASH key -> due ms of marks made while held, or "x": stopped
	"floor", // HASH key -> ms before which marks don't count
	"why",   // HASH key -> lead ms|source|ms|id of the mark
	"fails", // HASH key -> failures in a row
}

const queueNames = 6

// places are the queues of all shards, spelled once: they are named in every call.
var places = func() map[ooo.Queue]*[shards]place {
	all := map[ooo.Queue]*[shards]place{}
	for _, q := range ooo.Queues {
		all[q] = new([shards]place)
		for shard := range shards {
			var keys []string
			for _, part := range queueParts {
				keys = append(keys, shardKey(shard, string(q)+":"+part))
			}
			all[q][shard] = place{
				queue: slices.Clip(keys),
				shard: slices.Concat(keys, []string{briefKey(shard), holdKey(shard, q), checkedKey(shard), spokeKey(shard)}),
			}
		}
	}
	return all
}()

type place struct{ queue, shard []string }

// queueKeys returns the keys of one queue in one shard, as queueParts.
func queueKeys(shard int, q ooo.Queue) []string { return places[q][shard].queue }

// shardKeys returns the KEYS of scripts that work on one queue of one shard.
func shardKeys(shard int, q ooo.Queue) []string { return places[q][shard].shard }

// wakers says what a message of wakeChannel is about, by the name in it.
var wakers = func() map[string]waker {
	all := map[string]waker{}
	for _, q := range ooo.Queues {
		for shard := range shards {
			keys := queueKeys(shard, q)
			all[keys[0]] = waker{q, shard, false}
			all[keys[2]] = waker{q, shard, true}
		}
	}
	return all
}()

// waker is a queue of a shard where something became due, or where something that
// is held was marked.
type waker struct {
	queue ooo.Queue
	shard int
	held  bool
}
