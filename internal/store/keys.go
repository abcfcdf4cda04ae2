package store

import (
	"strconv"

	"outlook-monitor/internal/ooo"
)

// All keys but that of the schema share one hash tag, so that they live in one slot
// of a Cluster and a script may touch any of them together.
const prefix = "om:{om}:"

// Of the service. What is compared by a script is "<tag>:<JSON>": scripts compare
// tags and read no JSON.
const (
	schemaKey = "om:schema"       // STRING the schema version; where the first version had it
	ownersKey = prefix + "owners" // HASH the table, see [Owners]
	wantsKey  = prefix + "wants"  // HASH folded address -> "<nonce>:<JSON of an ooo.Wish>"
	hintsKey  = prefix + "hints"  // HASH see hintField -> "<nonce>:<JSON of an ooo.Hint>"
	readsKey  = prefix + "reads"  // HASH partition -> JSON of [Reads]
	feedKey   = prefix + "feed"   // STREAM capped, the histories' newest
	probeKey  = prefix + "probe"  // HASH for a moment, see [Store.Check]

	loadsKey = prefix + "loads" // STREAM capped, beats of replicas with what each did, PX

	secretPrefix = prefix + "secret:" // STRING
	lockPrefix   = prefix + "lock:"   // STRING owner, PX
	vaultPrefix  = prefix + "vault:"  // STRING what a vault keeps under a name
)

// Of a partition or an address.
func recordsKey(p int) string          { return prefix + "records:" + strconv.Itoa(p) }          // HASH RecordID -> "<version>:<JSON of an ooo.Mailbox>"
func rowsKey(p int) string             { return prefix + "rows:" + strconv.Itoa(p) }             // HASH folded address -> see encodeSummary
func historyKey(address string) string { return prefix + "history:" + ooo.FoldAddress(address) } // STREAM capped

// channel is the Pub/Sub channel of one service. Channels are not divided by database
// numbers, so its name tells services on one Redis apart. A Cluster is asked for it
// where the keys are, so that no other master has to be up.
func channel(fingerprint string) string { return prefix + fingerprint }
