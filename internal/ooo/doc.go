// Package ooo is the domain: who is out of office, until when, and the text to be spoken to
// callers. It is pure: no I/O, no clock, no goroutines. Times are
// parameters; instants are UTC and compared with Equal, never ==.
//
// Microsoft Graph can't announce that automatic replies were switched on or off, so every
// trigger (a change notification, the regular poll, a window edge, a request) only makes
// the owner of a mailbox read it now.
//
// # Words
//
//   - mailbox: a user's mailbox, named by its directory object id ([Mailbox])
//   - address: what the mediator monitors, in the mediator's spelling; several may share a mailbox ([Address])
//   - unresolved: an address that has not been found in the directory yet; its record has no mailbox
//   - partition: one of 64 parts of all records, by a hash of the record id ([RecordID.Partition])
//   - replica: one process of this service; its life is the random id of that process
//   - owner: the replica that holds the lease of a partition; only the owner writes the records in it
//   - lease, tenure: which replica owns a partition, and the number of that acquisition
//   - wish: the last request for an address, to monitor it or not ([Wish])
//   - hint: a request to the owner of a mailbox, such as to read it now; hints of one kind coalesce ([Hint], [HintKind])
//   - automatic replies setting: status, window and texts of a mailbox ([Setting])
//   - condition: whether a mailbox can be read: pending (not read yet), watching or unknown; the
//     API calls it state ([Condition])
//   - policy: how settings are interpreted, from SCHEDULED, MESSAGE and MESSAGE_LIMIT ([Policy])
//   - state: what the setting means at one instant: away or not, and the text to be spoken ([State])
//   - window edge: the start or end of a scheduled reply, where the state changes ([Decision])
//   - sequence: the number of a state at one address; each change and each resend increments it
//   - delivery: sending the newest state of an address to the mediator, and the result, which is
//     pending until the mediator has answered: delivered or refused ([Delivery], [DeliveryState])
//   - subscription: a request to Graph for change notifications about a mailbox ([Subscription])
//   - change notification: Graph's message that something in a mailbox changed; a hint, never the truth
//   - lifecycle event: Graph's message about a subscription itself ([LifecycleKind])
//   - clientState: the text in each notification that proves which subscription it belongs to ([ClientStateKeys])
//   - sync: asking the mediator to post all its users again
//   - sweep: comparing Graph's list of subscriptions, or of presences, with the records
//   - stray: a subscription that Graph lists and no record has
//
// Some names in Redis are older than these words, and are kept for existing data: wants are
// wishes, a carry is a move, the vault is the storage of certificates; begunAt is
// InFlightSince and spokeAt is NotifiedAt.
package ooo
