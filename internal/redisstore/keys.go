package redisstore

import (
	"fmt"
	"hash/fnv"
	"strings"

	"outlook-monitor/internal/ooo"
)

// shards is part of the schema: changing it orphans every record.
const shards = 16

const (
	schemaKey    = "om:schema" // STRING the schema version
	wakeChannel  = "om:wake"   // Pub/Sub: the due set's key
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
func shardKey(shard int, part string) string { return fmt.Sprintf("om:{%02d}:%s", shard, part) }

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

// queueKeys returns the keys of one queue in one shard, in the order that
// scripts expect.
func queueKeys(shard int, q ooo.Queue) []string {
	keys := make([]string, 0, 6)
	for _, part := range []string{
		"due",   // ZSET key -> due ms; urgent ones less urgentShift
		"held",  // HASH key -> token of the claim
		"again", // HASH key -> due ms of marks made while held, or "x": stopped
		"floor", // HASH key -> ms before which marks don't count
		"why",   // HASH key -> lead ms|source|ms|id of the mark
		"fails", // HASH key -> failures in a row
	} {
		keys = append(keys, shardKey(shard, string(q)+":"+part))
	}
	return keys
}

// shardKeys returns the KEYS of scripts that work on one queue of one shard.
func shardKeys(shard int, q ooo.Queue) []string {
	return append(queueKeys(shard, q), briefKey(shard), holdKey(shard, q), checkedKey(shard), spokeKey(shard))
}

// userKeys returns the KEYS of scripts that work on one user: the record, its
// history, the shard's hashes, and all four queues.
func userKeys(key ooo.Key) []string {
	shard := shardOf(key)
	keys := []string{userKey(key), historyKey(key), briefKey(shard), checkedKey(shard), namesKey(shard)}
	for _, q := range ooo.Queues {
		keys = append(keys, queueKeys(shard, q)...)
	}
	return append(keys, spokeKey(shard))
}

// queueOf returns the queue and shard whose due set has the given key.
func queueOf(dueSet string) (ooo.Queue, int, bool) {
	var shard int
	if _, err := fmt.Sscanf(dueSet, "om:{%02d}:", &shard); err != nil || shard < 0 || shard >= shards {
		return "", 0, false
	}
	parts := strings.Split(dueSet, ":")
	if len(parts) != 4 {
		return "", 0, false
	}
	return ooo.Queue(parts[2]), shard, true
}
