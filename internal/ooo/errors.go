package ooo

import (
	"errors"
	"fmt"
	"time"
)

// MailboxError says why a mailbox can't be read or an address can't be resolved. The
// graph package translates Graph's many answers to one of these.
type MailboxError struct {
	kind   ReadErrorKind
	reason string // for operators
}

func (e *MailboxError) Error() string { return e.reason }

var (
	ErrNotInDirectory = &MailboxError{ReadErrorNotInDirectory, "not in the directory"}
	ErrAmbiguous      = &MailboxError{ReadErrorAmbiguous, "several directory users have this address: make it unique"}
	ErrNoMailbox      = &MailboxError{ReadErrorNoMailbox, "the mailbox is inactive, deleted or on premises"}
	ErrDenied         = &MailboxError{ReadErrorDenied, "access denied"}                                // the wrapping error says which permission is missing
	ErrUserGone       = &MailboxError{ReadErrorUserGone, "the directory no longer has this object id"} // or so it seems: ask the directory
	ErrBadSetting     = &MailboxError{ReadErrorBadSetting, "the automatic replies setting has a value this version does not know"}
)

var (
	// ErrMailboxAbsent replaces [ErrUserGone] for a user whom the directory has.
	ErrMailboxAbsent = fmt.Errorf("%w, though the directory has the user", ErrNoMailbox)
	// ErrMailboxUnauthorized replaces [ErrUnauthorized] if other calls succeed: the login is not the cause.
	ErrMailboxUnauthorized = fmt.Errorf("%w: Graph answered 401 for this mailbox only, check its license and access policy", ErrDenied)
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
	ReadErrorOther          ReadErrorKind = "other" // Graph is unreachable, busy or refuses the login
)

// ReadErrorKindOf returns the kind of the error of a read or a look-up.
func ReadErrorKindOf(err error) ReadErrorKind {
	if e, ok := errors.AsType[*MailboxError](err); ok {
		return e.kind
	}
	return ReadErrorOther
}

// Errors of Graph as a whole or of one call.
var (
	// ErrUnauthorized means that the login failed or that Graph refused the token.
	ErrUnauthorized = errors.New("login refused: check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret or certificate")
	// ErrUnavailable means that Graph is unreachable, broken or busy: retry. It may have carried the
	// call out.
	ErrUnavailable = errors.New("Microsoft Graph is unreachable or busy")
	// ErrRejected means that the request itself is wrong, according to Graph.
	ErrRejected = errors.New("Microsoft Graph rejected the request")
	// ErrSubscriptionGone means that Graph has no such subscription.
	ErrSubscriptionGone = errors.New("Graph no longer has this subscription")
	// ErrSubscriptionDenied means 403: consent, access policy or quota. The wrapping error
	// says which, as far as Graph does.
	ErrSubscriptionDenied = errors.New("subscription denied: grant Calendars.Read (for events; others for other SUBSCRIPTION_RESOURCES) to the app registration, check its mailbox access policy and the number of subscriptions")
	// ErrSubscriptionQuota means that the number of subscriptions is used up.
	ErrSubscriptionQuota = errors.New("subscription quota used up: Graph accepts no more for this mailbox or app")
	// ErrHandshake means that Graph could not validate the notification URL.
	ErrHandshake = errors.New("Graph could not reach PUBLIC_URL: check that it is this service's public https address")
)

// Throttled means that Graph asked to wait.
type Throttled struct {
	After    time.Duration // at least this long; above 0
	WholeApp bool          // the whole app must wait, not one mailbox
	Busy     bool          // by 503 or 504: even with WholeApp, perhaps only the server of one mailbox is busy
}

func (t *Throttled) Error() string {
	return fmt.Sprintf("Microsoft Graph asks to wait %v", t.After)
}

// Names of the waits that Graph asks of the app, for all calls or one kind. All replicas
// share them.
const (
	GraphWait        = "graph" // of all calls, also those of the other waits
	DirectoryWait    = "directory"
	PresenceWait     = "presence"
	SubscriptionWait = "subscriptions" // of subscription writes
)

// Duplicate means that Graph already has a subscription for this resource and change type.
type Duplicate struct {
	ID SubscriptionID // empty if Graph did not name it
}

func (d *Duplicate) Error() string {
	return "Graph already has a subscription for this resource"
}

// LifetimeTooLong means that the requested lifetime exceeds what Graph grants.
type LifetimeTooLong struct {
	Max time.Duration // what Graph grants
}

func (t *LifetimeTooLong) Error() string {
	return fmt.Sprintf("Graph grants this resource at most %v", t.Max)
}

// Errors of records.
var (
	// ErrNotMonitored means that no such record exists, or that it has no such address.
	ErrNotMonitored = errors.New("not monitored")
	// ErrNotOwner means that another replica owns the partition, or that this replica may not
	// act for it now. Drop the work: the owner does it.
	ErrNotOwner = errors.New("another replica owns this mailbox")
)
