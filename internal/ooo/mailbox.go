package ooo

// Mailbox is one mailbox as one of the users sees it under whose addresses it is
// monitored. Mostly that user is the only one. Graph takes one subscription of
// each kind for a mailbox, whatever the addresses, so one of the users owns the
// cover and the others are woken along with it.
type Mailbox struct {
	Owner  Key   // whose subscriptions cover the mailbox
	Others []Key // the other users that are monitored, the owner among them
	// Leaving says that a user whose monitoring was stopped, or whose mailbox it no
	// longer is, may still have subscriptions to it.
	Leaving bool
}

// Shared says whether a subscription to the mailbox may be another user's.
func (m Mailbox) Shared() bool { return len(m.Others) > 0 || m.Leaving }
