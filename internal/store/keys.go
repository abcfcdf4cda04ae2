package store

import (
	"strconv"

	"outlook-monitor/internal/ooo"
)

// All keys but that of the schema share one hash tag, so that they live in one slot
// of a Cluster and a script may touch any of them together.
const prefix = "om:{om}:"

// Keys of the service. For values with a tag see encode.
const (
	schemaKey = "om:schema"       // STRING the schema version; where the first version had it
	ownersKey = prefix + "owners" // HASH the table, see [Owners]
	wantsKey  = prefix + "wants"  // HASH folded address -> "<nonce>:<JSON of an ooo.Wish>"
	hintsKey  = prefix + "hints"  // HASH see hintField -> "<nonce>:<JSON of an ooo.Hint>"
	readsKey  = prefix + "reads"  // HASH partition -> JSON of [Reads]
	feedKey   = prefix + "feed"   // STREAM capped, the newest entries of all histories
	loadsKey  = prefix + "loads"  // STREAM capped, PX, see replicaField

	probeKey       = prefix + "probe"        // HASH, see [Store.Check]; deleted at once
	probeStreamKey = prefix + "probe:stream" // STREAM, likewise
	probeTextKey   = prefix + "probe:text"   // STRING, likewise

	secretPrefix  = prefix + "secret:" // STRING
	lockPrefix    = prefix + "lock:"   // STRING random text of the holder, PX
	storagePrefix = prefix + "vault:"  // STRING
)

// Keys of a partition or an address.
func recordsKey(p int) string          { return prefix + "records:" + strconv.Itoa(p) }          // HASH RecordID -> "<version>:<JSON of an ooo.Mailbox>"
func rowsKey(p int) string             { return prefix + "rows:" + strconv.Itoa(p) }             // HASH folded address -> see encodeSummary
func historyKey(address string) string { return prefix + "history:" + ooo.FoldAddress(address) } // STREAM capped, see eventField

// channel is the Pub/Sub channel of one service. Channels are not divided by database
// numbers, so its name tells services on one Redis apart.
func channel(fingerprint string) string { return prefix + fingerprint }
