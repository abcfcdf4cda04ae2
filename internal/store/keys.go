package store

import (
	"strconv"

	"outlook-monitor/internal/ooo"
)

// All keys except the schema's share one hash tag, so that they are in one slot of a Cluster
// and a script may use any of them together.
const prefix = "om:{om}:"

// Keys of the service. See encode for values with a tag.
const (
	schemaKey = "om:schema"       // STRING schema version; the first version of the program used this key
	ownersKey = prefix + "owners" // HASH see [Table]
	wantsKey  = prefix + "wants"  // HASH folded address -> "<nonce>:<JSON of an ooo.Wish>"; the key's name is kept for existing data
	hintsKey  = prefix + "hints"  // HASH hintField -> "<nonce>:<JSON of an ooo.Hint>"
	readsKey  = prefix + "reads"  // HASH partition -> JSON of [Reads]
	feedKey   = prefix + "feed"   // STREAM newest entries of all histories; capped
	loadsKey  = prefix + "loads"  // STREAM see replicaField; capped, expires

	probeKey       = prefix + "probe"        // HASH for [Store.Check]; deleted at once
	probeStreamKey = prefix + "probe:stream" // STREAM likewise
	probeTextKey   = prefix + "probe:text"   // STRING likewise

	secretPrefix  = prefix + "secret:" // STRING
	lockPrefix    = prefix + "lock:"   // STRING random text of the holder; expires
	storagePrefix = prefix + "vault:"  // STRING; the name is kept for existing data, see [Storage]
)

// Keys of a partition or an address.
func recordsKey(p int) string          { return prefix + "records:" + strconv.Itoa(p) }          // HASH RecordID -> "<version>:<JSON of an ooo.Mailbox>"
func rowsKey(p int) string             { return prefix + "rows:" + strconv.Itoa(p) }             // HASH folded address -> see encodeSummary
func historyKey(address string) string { return prefix + "history:" + ooo.FoldAddress(address) } // STREAM see eventField; capped

// channel returns the Pub/Sub channel of a service. Channels ignore database numbers, so the
// name keeps the services on one Redis apart.
func channel(fingerprint string) string { return prefix + fingerprint }
