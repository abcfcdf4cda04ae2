// Package ooo is the domain: who is out of office, since when, until when, and
// what is said meanwhile. It is pure: no I/O, no clock, no goroutine. Every other
// package speaks its vocabulary.
//
// # The story
//
// A [Wish] says that an address is to be monitored. The directory resolves the
// address to a mailbox, named by its object id. A [Mailbox] is the record of one: it
// is read, has a setting, a state and subscriptions. An [Address] is what the mediator
// knows: several may belong to one mailbox, and each has its own delivery. An address
// that is not resolved yet has a record of its own.
//
// Records are spread over [Partitions] by a hash of their id. Each partition has one
// owner among the replicas, which alone writes its records. Whoever else wants
// something of a mailbox leaves a [Hint] for the owner.
//
// Microsoft Graph can't announce that automatic replies were switched on or off, so
// whatever happens (a change notification, the regular poll, the edge of a scheduled
// window, a request) only makes the owner read the mailbox now. A [Setting] is what
// the mailbox says, a [State] is what it means at one instant; [Policy.Apply] picks
// the text to be spoken, [Policy.Decide] compares. A change gets a new sequence
// number in each address ([Address.Queue]) and is delivered.
//
// # Time
//
// All functions take the time as a parameter. Instants are UTC and compared
// with Equal, never ==.
package ooo
