// Package ooo is the domain: who is out of office, since when, until when, and the text
// spoken meanwhile. It is pure: no I/O, no clock, no goroutine. Times are parameters;
// instants are UTC and compared with Equal, never ==.
//
// Microsoft Graph can't announce that automatic replies were switched on or off, so
// whatever happens (a change notification, the regular poll, the edge of a window, a
// request) only makes the owner of a mailbox read it now.
//
// # Words
//
//   - mailbox: what is read; named by its directory object id ([Mailbox])
//   - address: what the mediator monitors, in its spelling; several may share a mailbox ([Address])
//   - unresolved: an address that is not found in the directory yet; its record has no mailbox
//   - partition: one of 64 parts of all mailboxes, by a hash of the record's id ([RecordID.Partition])
//   - replica: one process of this service
//   - owner: the replica that holds the lease of a partition; it alone writes the records in it
//   - lease, tenure: which replica owns a partition, and the number of that acquisition
//   - wish: whether an address is to be monitored, as asked for last ([Wish])
//   - hint: a note that asks the owner to read or check a mailbox; it coalesces with others ([Hint])
//   - automatic replies setting: status, window and texts of a mailbox ([Setting])
//   - policy: how settings are read, from SCHEDULED, MESSAGE and MESSAGE_LIMIT ([Policy])
//   - state: what the setting means at one instant, away or not, and the text to be spoken ([State])
//   - window edge: when a scheduled setting begins or ends to mean away ([Policy.Edge])
//   - sequence: the number of a state at one address, one more for each change and resend
//   - delivery: sending the newest state of an address to the mediator, and the result ([Delivery])
//   - subscription: what Graph sends change notifications for ([Subscription])
//   - change notification: Graph's message that something in a mailbox changed; a hint, never the truth
//   - lifecycle event: Graph's message about a subscription itself ([LifecycleKind])
//   - clientState: the text in each notification that proves whose it is ([ClientStateKeys])
//   - sync: asking the mediator to post all its users again
//   - sweep: comparing Graph's list of subscriptions, or of presences, with the records
package ooo
