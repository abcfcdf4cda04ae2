package ooo

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"
)

// ClientStateKeys are the secrets from which clientStates are derived. The first
// is used for new subscriptions, all are accepted: that is how they are rotated.
// They can't print themselves.
type ClientStateKeys struct {
	// Pointers, because fmt prints what is in another struct's unexported field
	// without asking for methods; of these it prints addresses.
	keys []*stateKey
}

// stateKey is one secret, with HMACs that are keyed already.
type stateKey struct{ macs sync.Pool }

func newStateKey(secret string) *stateKey {
	k := new(stateKey)
	k.macs.New = func() any { return hmac.New(sha256.New, []byte(secret)) }
	return k
}

// mac appends the HMAC of text, as 43 characters.
func (k *stateKey) mac(to []byte, text string) []byte {
	h := k.macs.Get().(hash.Hash)
	defer k.macs.Put(h)
	h.Reset()
	var buffer [128]byte
	var sum [sha256.Size]byte
	h.Write(append(buffer[:0], text...))
	return base64.RawURLEncoding.AppendEncode(to, h.Sum(sum[:0]))
}

// NewClientStateKeys returns keys for the given secrets, the first for new
// subscriptions. Empty ones are left out: anyone could derive with them.
func NewClientStateKeys(secrets ...string) ClientStateKeys {
	var k ClientStateKeys
	for _, s := range secrets {
		if s != "" {
			k.keys = append(k.keys, newStateKey(s))
		}
	}
	return k
}

// Format writes a placeholder, whatever the verb.
func (ClientStateKeys) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[redacted]") }

// Tag names the secret for new subscriptions without telling it: 8 characters;
// empty if there is none.
func (k ClientStateKeys) Tag() string {
	if len(k.keys) == 0 {
		return ""
	}
	return tagOf(k.keys[0])
}

// Accepts says whether the secret with this tag is accepted.
func (k ClientStateKeys) Accepts(tag string) bool {
	return slices.ContainsFunc(k.keys, func(key *stateKey) bool { return tagOf(key) == tag })
}

func tagOf(key *stateKey) string { return string(key.mac(nil, "tag")[:tagLength]) }

const (
	tagLength = 8
	macLength = 43
)

// Derive returns the clientState of a mailbox' subscription to resource: the object
// id, a tag of the resource, and an HMAC over both; 89 characters for a GUID (Graph
// allows 128). Any replica can check it without a look-up, and nothing has to be
// stored before the subscription is asked for.
func (k ClientStateKeys) Derive(id ObjectID, resource string) string {
	if len(k.keys) == 0 {
		return ""
	}
	named := string(id) + "." + ResourceTag(resource)
	return named + "." + string(k.keys[0].mac(nil, named))
}

// ResourceTag names a resource template inside a clientState: 8 characters.
func ResourceTag(resource string) string {
	sum := sha256.Sum256([]byte(resource))
	return base64.RawURLEncoding.EncodeToString(sum[:tagLength*3/4])
}

// TagIn returns the resource tag in a clientState that was verified.
func TagIn(clientState string) string {
	_, tag, _ := strings.Cut(clientState, ".")
	tag, _, _ = strings.Cut(tag, ".")
	return tag
}

// Verify returns the mailbox that clientState was derived for. It compares in
// constant time, with all keys. A missing clientState is a wrong one.
func (k ClientStateKeys) Verify(clientState string) (ObjectID, bool) {
	named, given, ok := cutLast(clientState)
	if !ok || len(given) != macLength {
		return "", false
	}
	right := 0
	var buffers [2][macLength]byte
	for _, key := range k.keys {
		right |= subtle.ConstantTimeCompare(key.mac(buffers[0][:0], named), append(buffers[1][:0], given...))
	}
	id, _, _ := strings.Cut(named, ".")
	if right != 1 || !ValidObjectID(ObjectID(id)) {
		return "", false
	}
	return ObjectID(id), true
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 || len(s) > 128 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}
