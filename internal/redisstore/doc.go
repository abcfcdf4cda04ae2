// Package redisstore keeps everything that must outlive a process in Redis: the
// due queues, the records of monitored users, their history, and the few facts
// that replicas share. It is the only room that knows go-redis.
//
// # The story
//
// Users are spread over 16 shards by their key. All keys of a shard carry its
// hash tag, so that one script may touch them together and a Redis Cluster
// spreads the shards over its masters. Where there is one Redis, one call of a
// script works on all shards. Whatever must happen together happens in one script:
// recording a change writes the record, its history and the deliver queue, or
// nothing.
//
// A due queue is a sorted set of user keys by due time in ms. A claim hides its
// user until the lease ends by moving it there, and leaves a token; every write
// on behalf of the claim shows the token and is refused ([ooo.ErrStale]) if the
// claim has moved on. A mark that comes while a user is held is kept beside the
// set and applied when the claim is given back. A wait that the other side asked
// for (the floor) holds back marks too. Marks that must not wait behind what is
// merely overdue get a due time far below zero.
//
// Who is due every interval has a place in it that follows from its key, so that
// it keeps its cadence whoever reads it; places are in common for about a batch of
// users, because to be woken costs more than to work. A script that makes a user
// due claims it in the same step where the loop of this process has room: from a
// notification to the mediator that saves two calls out of five, and two wake-ups.
//
// What a worker needs of a user that did not change (object id, fingerprint)
// lies in one hash per shard, the brief, so that an unchanged user costs no look
// at its record. Being in the brief is what makes a user active. What is asked
// about all users at once lies in another one, the digest.
//
// Scripts tell all processes by Pub/Sub when something became due sooner than
// they know; looking at every shard now and then finds what such a message
// missed. Time is Redis' own.
package redisstore
