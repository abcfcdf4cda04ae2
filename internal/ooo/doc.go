// Package ooo is the domain: who is out of office, since when, until when, and
// what is said meanwhile. It is pure: no I/O, no clock, no goroutine. Every
// other room speaks its vocabulary, and none of them imports another's.
//
// # The story
//
// Microsoft Graph can't announce that automatic replies were switched on or
// off, so whatever happens to a user (a change notification, the regular poll,
// the edge of a scheduled window, a request) only becomes a [Mark]: look at this
// user now. A [Setting] is what the mailbox says, a [State] is what it means at
// one instant, and [Policy.Decide] compares the two. What is worth telling gets
// a sequence number in the [User] record and is delivered.
//
// # Time
//
// All functions take the time as a parameter. Instants are UTC and compared
// with Equal, never ==.
package ooo
