package ooo

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ObjectID is a user's directory object id, the only identifier of a mailbox that never
// changes.
type ObjectID string

// SubscriptionID is a Graph subscription's id.
type SubscriptionID string

var objectID = regexp.MustCompile("^[A-Za-z0-9-]{1,64}$")

// ValidObjectID reports whether id has the form of an object id: at most 64 letters, digits
// and dashes. Ids from outside, such as those in a clientState, must be checked before use.
func ValidObjectID(id ObjectID) bool { return objectID.MatchString(string(id)) }

// FoldAddress returns the form in which addresses are compared: lower case, no spaces around it.
func FoldAddress(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

// maxAddress is the longest address accepted, in bytes (RFC 5321: 64 + 1 + 255).
const maxAddress = 320

// ErrBadAddress means that a text can't be an e-mail address.
var ErrBadAddress = errors.New("not an e-mail address: it must read name@domain, without control characters, in at most 320 bytes")

// ParseAddress returns text without the spaces around it, or [ErrBadAddress] if it can't be
// an e-mail address. It only checks what every directory requires: the directory decides.
func ParseAddress(text string) (string, error) {
	address := strings.TrimSpace(text)
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at == len(address)-1 || len(address) > maxAddress || len(FoldAddress(address)) > maxAddress ||
		!utf8.ValidString(address) || strings.ContainsFunc(address, unicode.IsControl) {
		return "", ErrBadAddress
	}
	return address, nil
}

// Person is a user in the directory.
type Person struct {
	ID                ObjectID `json:"id,omitempty"`
	UserPrincipalName string   `json:"upn,omitempty"`
	DisplayName       string   `json:"name,omitempty"`
}

// Condition says whether a monitored mailbox can be read.
type Condition string

const (
	Pending  Condition = "pending"  // not read yet
	Watching Condition = "watching" // the last read succeeded
	Unknown  Condition = "unknown"  // can't be read; its last state is kept
)

// User is one monitored address with its mailbox: what the API and the page show.
type User struct {
	Mailbox
	Address
}

// PendingUser returns the user for a monitored address whose mailbox has not been read yet.
func PendingUser(address string, person Person) User {
	return User{
		Mailbox{Person: person, Condition: Pending},
		Address{Spelling: address, Delivery: Delivery{State: DeliveryNone}},
	}
}
