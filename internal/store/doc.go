// Package store keeps in Redis what must outlive the owner of a mailbox, and carries
// what replicas say to each other. It is the only package that knows go-redis, and
// miniredis for the Redis inside the process.
//
// # What it owns
//
// The table of owners, the records of each partition with a short row for each
// address, wishes, hints, histories and the feed; secrets, certificates and locks
// that replicas share. All keys are in keys.go and have one hash tag, so that every
// act is one atomic script on a single Redis, behind Sentinel and in a Cluster.
//
// # What it promises
//
//   - A record is written by the owner of its partition alone: [Store.Save] is one
//     script that first compares the lease and the version. It is carried out as a
//     whole or not at all, and may be repeated as it is until it is answered.
//   - Wishes, leases and hints change by compare-and-set of a random nonce, so of two
//     writers one wins and both know who. A swap that is repeated after its answer was
//     lost says that it was carried out.
//   - Messages are not relied on. What they say is in Redis before they are sent, and
//     a message that could not be sent fails nothing: some users of a managed Redis may
//     write keys but not publish. That is why no script publishes.
//   - What can't be read is reported as [ErrDamaged] and never hides the rest.
//   - No script asks Redis for its time or reads JSON; no expiry decides who owns what.
//
// An error that is none of this package's or of ooo means that the outcome is not
// known: the call may or may not have been carried out.
package store
