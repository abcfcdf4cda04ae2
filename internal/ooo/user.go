package ooo

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Key names a user inside this service: 16 characters a-z2-7 derived from the
// lower-cased address, the same on all replicas. Records, queues, clientState
// and logs use it instead of the address.
type Key string

// ObjectID is a user's directory object id, the only name of a mailbox that
// never changes.
type ObjectID string

// SubscriptionID is a Graph subscription's id.
type SubscriptionID string

var keyEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// KeyOf returns the key of address, whatever its letter case and the spaces
// around it.
func KeyOf(address string) Key {
	sum := sha256.Sum256([]byte(FoldAddress(address)))
	return Key(keyEncoding.EncodeToString(sum[:10]))
}

// ValidKey says whether k has the form of a key. Keys that come from outside
// (inside a clientState) must be checked before they name anything in Redis.
func ValidKey(k Key) bool {
	if len(k) != 16 {
		return false
	}
	for _, c := range []byte(k) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// FoldAddress returns the form in which addresses are compared.
func FoldAddress(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

// maxAddress is the longest address accepted, in bytes (RFC 5321: 64 + 1 + 255).
const maxAddress = 320

// ErrBadAddress means that a text can't be an e-mail address.
var ErrBadAddress = errors.New("not an e-mail address: it must read name@domain, without control characters, in at most 320 bytes")

// ParseAddress returns text without the spaces around it if it can be an e-mail
// address, spelled as it came. It asks for no more than every directory does:
// the directory is the judge. The error is [ErrBadAddress].
func ParseAddress(text string) (string, error) {
	address := strings.TrimSpace(text)
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at == len(address)-1 || len(address) > maxAddress || !utf8.ValidString(address) ||
		strings.ContainsFunc(address, unicode.IsControl) {
		return "", ErrBadAddress
	}
	return address, nil
}

// Person is what the directory knows of a user.
type Person struct {
	ID                ObjectID
	UserPrincipalName string
	DisplayName       string
}

// Condition is how much is known of a monitored user.
type Condition string

const (
	Pending  Condition = "pending"  // not read yet
	Watching Condition = "watching" // read at the last try
	Unknown  Condition = "unknown"  // can't be read; the last state is kept
)

// User is the record of a monitored user.
type User struct {
	Key     Key
	Address string // spelled as the mediator spelled it last
	Person  Person // zero until found in the directory
	Active  bool   // false: monitoring was stopped, subscriptions remain to be deleted

	Condition Condition
	Reason    string // why Unknown; a sentence without personal data

	Setting   *Setting  // last read; nil until then
	State     *State    // last decided; nil until then
	Sequence  int64     // of State: 1 for the first, one more for each change and resend
	Revision  int64     // one more for each write of Setting or State; guards Record
	ChangedAt time.Time // when State was decided
	CheckedAt time.Time // when the mailbox was last read with success

	Delivery      Delivery
	Subscriptions []Subscription

	// Mailbox is the one that the user takes part in: that of Person.ID, once its
	// cover was looked at. CoveredBy is who covers it, if the same mailbox is
	// monitored under several addresses and this one does not; see [Mailbox].
	Mailbox   ObjectID
	CoveredBy Key

	Lifecycle []Lifecycle // events not acted on yet
}

// DeliveryState is how far the newest state got.
type DeliveryState string

const (
	DeliveryNone      DeliveryState = "none"
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryRefused   DeliveryState = "refused"
)

// Delivery is how far the newest state of a user got on its way to the mediator.
type Delivery struct {
	State         DeliveryState
	Sequence      int64 // the last one that the mediator acknowledged
	Attempts      int   // for the newest state
	DeliveredAt   time.Time
	NextAttemptAt time.Time
	Error         string // of the last attempt; never a body or an address
}
