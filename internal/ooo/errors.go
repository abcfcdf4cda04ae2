package ooo

import (
	"errors"
	"fmt"
	"time"
)

// MailboxError is why a mailbox can't be read or an address can't be resolved. Graph's
// many answers become one of these where they enter.
type MailboxError struct {
	kind   ReadErrorKind
	reason string // what an operator reads
}

func (e *MailboxError) Error() string { return e.reason }

var (
	ErrNotInDirectory = &MailboxError{ReadErrorNotInDirectory, "not in the directory"}
	ErrAmbiguous      = &MailboxError{ReadErrorAmbiguous, "several directory users have this address: make it unique"}
	ErrNoMailbox      = &MailboxError{ReadErrorNoMailbox, "the mailbox is inactive, deleted or on premises"}
	ErrDenied         = &MailboxError{ReadErrorDenied, "access denied"} // what is wrapped around it says which right is missing
	ErrUserGone       = &MailboxError{ReadErrorUserGone, "the directory no longer has this object id"}
	ErrBadSetting     = &MailboxError{ReadErrorBadSetting, "the automatic replies setting has a value this version does not know"}
)

// ReadErrorKind names a [MailboxError] in a record.
type ReadErrorKind string

const (
	ReadErrorNotInDirectory ReadErrorKind = "not_in_directory"
	ReadErrorAmbiguous      ReadErrorKind = "ambiguous"
	ReadErrorUserGone       ReadErrorKind = "user_gone"
	ReadErrorNoMailbox      ReadErrorKind = "no_mailbox"
	ReadErrorDenied         ReadErrorKind = "denied"
	ReadErrorBadSetting     ReadErrorKind = "bad_setting"
	ReadErrorOther          ReadErrorKind = "other" // Graph is out of reach, busy or refuses the login
)

// ReadErrorKindOf returns the kind of the error of a read or a look-up stands for;
// none for nil.
func ReadErrorKindOf(err error) ReadErrorKind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*MailboxError](err); ok {
		return e.kind
	}
	return ReadErrorOther
}

// Of Graph as a whole or of one call.
var (
	// ErrUnauthorized means that no token could be had or that Graph refused it.
	ErrUnauthorized = errors.New("login refused: check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret or certificate")
	// ErrUnavailable means out of reach, broken or busy: try again.
	ErrUnavailable = errors.New("Microsoft Graph is unreachable or busy")
	// ErrNoAnswer comes with [ErrUnavailable] when the call may have been carried
	// out all the same: its answer was lost.
	ErrNoAnswer = errors.New("its answer was lost")
	// ErrRejected means Graph says the request itself is wrong.
	ErrRejected = errors.New("Microsoft Graph rejected the request")
	// ErrSubscriptionGone means Graph has no such subscription.
	ErrSubscriptionGone = errors.New("Graph no longer has this subscription")
	// ErrSubscriptionDenied means 403: consent, access policy or quota; the text
	// that is wrapped around it says which, as far as Graph tells.
	ErrSubscriptionDenied = errors.New("subscription denied: grant Calendars.Read to the app registration, check its mailbox access policy and the number of subscriptions")
	// ErrSubscriptionQuota means that the number of subscriptions is used up.
	ErrSubscriptionQuota = errors.New("subscription quota used up: Graph accepts no more for this mailbox or app")
	// ErrHandshake means Graph could not validate the notification URL.
	ErrHandshake = errors.New("Graph could not reach PUBLIC_URL: check that it is this service's public https address")
)

// Throttled means Graph asked to wait.
type Throttled struct {
	After    time.Duration // at least this long; above 0
	WholeApp bool          // the whole app must wait, not one mailbox
}

func (t *Throttled) Error() string {
	return fmt.Sprintf("Microsoft Graph asks to wait %v", t.After)
}

// Duplicate means Graph already has a subscription for this resource and change
// type.
type Duplicate struct {
	ID SubscriptionID // empty if Graph's text does not say
}

func (d *Duplicate) Error() string {
	return fmt.Sprintf("Graph already has subscription %s for this resource", d.ID)
}

// LifetimeTooLong means the life asked for is longer than Graph grants.
type LifetimeTooLong struct {
	Max time.Duration // what Graph grants
}

func (t *LifetimeTooLong) Error() string {
	return fmt.Sprintf("Graph grants this resource at most %v", t.Max)
}

// Of records.
var (
	// ErrNotMonitored means that there is no such record, or no such address in it.
	ErrNotMonitored = errors.New("not monitored")
	// ErrNotOwner means that another replica owns the partition, or that this one has
	// no right to act for it now: drop the work, the owner does it.
	ErrNotOwner = errors.New("another replica owns this mailbox")
)
