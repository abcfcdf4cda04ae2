package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outlook-monitor/internal/ooo"
)

// verdict is the result of verifying an item; a metric label.
type verdict string

const (
	accepted  verdict = "accepted"  // genuine, and no lifecycle event
	lifecycle verdict = "lifecycle" // a genuine lifecycle event, set when it is counted
	forged    verdict = "forged"    // its clientState is missing or wrong
	ignored   verdict = "ignored"   // null, not an object, or of an unknown kind

	badToken      verdict = "bad_token"     // a validation token is missing or not Graph's
	badSignature  verdict = "bad_signature" // its encrypted content is not Graph's
	unverified    verdict = "unverified"    // trusted for its clientState alone: its tokens can't be checked now
	undecryptable verdict = "undecryptable" // trusted, but encrypted for an unknown certificate
)

// trusted reports whether an item with this verdict leads to hints.
func (v verdict) trusted() bool { return v == accepted || v == unverified || v == undecryptable }

// notification is an item with a valid clientState.
type notification struct {
	mailbox      ooo.RecordID // from the clientState
	resourceTag  string       // from the clientState
	isChange     bool         // it has a changeType, or no lifecycleEvent
	event        ooo.LifecycleKind
	id           string // for the history
	subscription ooo.SubscriptionID
	content      jsontext.Value // the encryptedContent; nil: none
	verdict      verdict
}

// verifyClientStates returns the items of known kinds with a valid clientState and adds the
// others to counts. The keys are only needed if there is an object.
func (r *Receiver) verifyClientStates(ctx context.Context, items jsontext.Value, counts map[verdict]int) (found []notification, err error) {
	loadKeys := sync.OnceValues(func() (ooo.ClientStateKeys, error) { return r.cfg.Keys(ctx) })
	var it item
	err = eachElement(items, func(d *jsontext.Decoder) error {
		if d.PeekKind() != '{' {
			counts[ignored]++
			return d.SkipValue()
		}
		keys, err := loadKeys()
		if err != nil {
			return fmt.Errorf("clientState keys: %w", err)
		}
		it = item{}
		if err := json.UnmarshalDecode(d, &it); err != nil {
			return err
		}
		id, resourceTag, ok := keys.Verify(unquote(it.ClientState))
		if !ok {
			counts[forged]++
			return nil
		}
		n := it.decode()
		if !n.isChange && n.event == "" {
			counts[ignored]++
			return nil
		}
		n.mailbox, n.resourceTag = ooo.RecordID(id), resourceTag
		found = append(found, n)
		return nil
	})
	return found, err
}

// verifyContents sets the verdicts on notifications by the validation tokens of their request and
// by their encrypted content.
func (r *Receiver) verifyContents(ctx context.Context, found []notification, validationTokens jsontext.Value) {
	if len(found) == 0 || r.cfg.Tokens == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	tokens := decodeTokens(validationTokens)
	tokenErr := r.cfg.Tokens.Check(ctx, tokens)
	if tokenErr != nil && len(tokens) > 0 {
		r.cfg.Log.DebugContext(ctx, "validation tokens not accepted", "err", tokenErr)
	}
	for i := range found {
		if n := &found[i]; len(tokens) > 0 || n.content != nil { // only resource data needs tokens
			n.verdict = r.verifyContent(ctx, n.content, tokenErr)
		}
	}
}

// maxID is the longest id that is stored. Graph's are GUIDs.
const maxID = 128

// decode decodes an item whose clientState was verified.
func (it *item) decode() notification {
	id, subscription := unquote(it.ID), unquote(it.SubscriptionID)
	changeType, event := unquote(it.ChangeType), unquote(it.LifecycleEvent)
	if id == "" || len(id) > maxID {
		sum := sha256.Sum256([]byte(subscription + " " + changeType + event))
		id = base64.RawURLEncoding.EncodeToString(sum[:9])
	}
	if len(subscription) > maxID {
		subscription = ""
	}
	return notification{
		isChange: changeType != "" || event == "", event: knownEvent(event), id: id, subscription: ooo.SubscriptionID(subscription),
		content: present(it.Content), verdict: accepted,
	}
}

// knownEvent returns the kind of a lifecycle event, or an empty one if it is unknown.
func knownEvent(name string) ooo.LifecycleKind {
	switch kind := ooo.LifecycleKind(name); kind {
	case ooo.ReauthorizationRequired, ooo.SubscriptionWasRemoved, ooo.NotificationsMissed:
		return kind
	}
	return ""
}

// verifyContent returns the verdict on an item whose clientState is valid. It depends on
// its encrypted content, if it has any, and on the check of the tokens of its request.
func (r *Receiver) verifyContent(ctx context.Context, content jsontext.Value, tokenErr error) verdict {
	if tokenErr != nil && !errors.Is(tokenErr, ErrNoMetadata) {
		return badToken
	}
	var contentErr error
	if content != nil {
		if ctx.Err() != nil { // there is no time left to decrypt it
			return unverified
		}
		_, contentErr = r.cfg.Certificates.decrypt(content)
	}
	switch {
	case contentErr != nil && !errors.Is(contentErr, errUnknownCertificate):
		return badSignature
	case tokenErr != nil: // the tokens could not be checked
		return unverified
	case contentErr != nil:
		return undecryptable
	}
	return accepted
}
