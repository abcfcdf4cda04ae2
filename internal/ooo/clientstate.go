package ooo

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
)

// ClientStateKeys are the secrets from which clientStates are derived. New subscriptions
// use the first one and all are accepted, so that secrets can be rotated.
type ClientStateKeys struct {
	macs []func(text string) string // functions, so that the secrets can't be printed
}

const (
	tagLength      = 8
	maxClientState = 128 // characters, Graph's limit
)

// NewClientStateKeys returns keys for the given secrets, the first for new subscriptions.
// It ignores empty secrets: anyone could derive a clientState from them.
func NewClientStateKeys(secrets ...string) ClientStateKeys {
	var k ClientStateKeys
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		k.macs = append(k.macs, func(text string) string {
			h := hmac.New(sha256.New, []byte(secret))
			h.Write([]byte(text))
			return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
		})
	}
	return k
}

// Tag identifies the secret for new subscriptions, in 8 characters, without revealing it.
// It is empty if there are no secrets.
func (k ClientStateKeys) Tag() string {
	if len(k.macs) == 0 {
		return ""
	}
	return k.macs[0]("tag")[:tagLength]
}

// Accepts reports whether the secret with this tag is accepted.
func (k ClientStateKeys) Accepts(tag string) bool {
	return slices.ContainsFunc(k.macs, func(mac func(string) string) bool { return mac("tag")[:tagLength] == tag })
}

// Derive returns the clientState of a mailbox's subscription to resource: the object id, a
// tag of the resource, and an HMAC over both; 89 characters for a GUID. Any replica can
// verify it without a look-up, and nothing has to be stored before the subscription is
// created. Derive returns "" if there are no secrets.
func (k ClientStateKeys) Derive(id ObjectID, resource string) string {
	if len(k.macs) == 0 {
		return ""
	}
	subject := string(id) + "." + ResourceTag(resource)
	return subject + "." + k.macs[0](subject)
}

// Verify returns the mailbox that clientState was derived for, the tag of the resource, see
// [ResourceTag], and whether clientState is valid. It compares in constant time, with all
// secrets.
func (k ClientStateKeys) Verify(clientState string) (id ObjectID, resourceTag string, ok bool) {
	dot := strings.LastIndexByte(clientState, '.')
	if dot < 0 || len(clientState) > maxClientState {
		return "", "", false
	}
	subject, given, valid := clientState[:dot], clientState[dot+1:], 0
	for _, mac := range k.macs {
		valid |= subtle.ConstantTimeCompare([]byte(mac(subject)), []byte(given))
	}
	mailbox, tag, _ := strings.Cut(subject, ".")
	if valid != 1 || !ValidObjectID(ObjectID(mailbox)) {
		return "", "", false
	}
	return ObjectID(mailbox), tag, true
}

// ResourceTag identifies a resource template in a clientState, in 8 characters.
func ResourceTag(resource string) string {
	sum := sha256.Sum256([]byte(resource))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:tagLength]
}
