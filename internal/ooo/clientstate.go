package ooo

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
)

// ClientStateKeys are the secrets from which clientStates are derived. The first
// is used for new subscriptions, all are accepted: that is how they are rotated.
type ClientStateKeys struct {
	macs []func(text string) string // a function can't be printed, the secret in it neither
}

const (
	tagLength      = 8
	maxClientState = 128 // characters, Graph's limit
)

// NewClientStateKeys returns keys for the given secrets, the first for new
// subscriptions. Empty ones are left out: anyone could derive with them.
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

// Tag names the secret for new subscriptions without revealing it: 8 characters;
// empty if there is none.
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

// Derive returns the clientState of a mailbox' subscription to resource: the object
// id, a tag of the resource, and an HMAC over both; 89 characters for a GUID. Any
// replica can check it without a look-up, and nothing has to be stored before the
// subscription is asked for.
func (k ClientStateKeys) Derive(id ObjectID, resource string) string {
	if len(k.macs) == 0 {
		return ""
	}
	named := string(id) + "." + ResourceTag(resource)
	return named + "." + k.macs[0](named)
}

// Verify returns the mailbox that clientState was derived for. It compares in
// constant time, with all keys. A missing clientState is a wrong one.
func (k ClientStateKeys) Verify(clientState string) (ObjectID, bool) {
	dot := strings.LastIndexByte(clientState, '.')
	if dot < 0 || len(clientState) > maxClientState {
		return "", false
	}
	named, given, right := clientState[:dot], clientState[dot+1:], 0
	for _, mac := range k.macs {
		right |= subtle.ConstantTimeCompare([]byte(mac(named)), []byte(given))
	}
	id, _, _ := strings.Cut(named, ".")
	if right != 1 || !ValidObjectID(ObjectID(id)) {
		return "", false
	}
	return ObjectID(id), true
}

// ResourceTag names a resource template inside a clientState: 8 characters.
func ResourceTag(resource string) string {
	sum := sha256.Sum256([]byte(resource))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:tagLength]
}

// ResourceTagOf returns the resource tag in a clientState that was verified.
func ResourceTagOf(clientState string) string {
	_, tag, _ := strings.Cut(clientState, ".")
	tag, _, _ = strings.Cut(tag, ".")
	return tag
}
