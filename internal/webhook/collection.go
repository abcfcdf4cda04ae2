package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"

	"outlook-monitor/internal/jsonwalk"
	"outlook-monitor/internal/ooo"
)

// Of a request's body.
var (
	errSlow         = errors.New("the body did not arrive in time")
	errTooLarge     = errors.New("the body is larger than 4 MiB")
	errNoCollection = errors.New("the body is not a collection of notifications")
)

// maxItems is far more than Graph puts into one request.
const maxItems = 1000

// collection is what one request brings, cut out of its body but not decoded: what a
// stranger sends must cost little more than its own size.
type collection struct {
	items   []json.RawMessage
	ignored int             // items that are beyond maxItems
	tokens  json.RawMessage // the validation tokens; nil: none
}

// span is a part of a body, not a copy. The body must outlive it.
type span []byte

// UnmarshalJSON keeps data: encoding/json hands out a part of what it was given.
func (s *span) UnmarshalJSON(data []byte) error {
	*s = data
	return nil
}

// buffers are for bodies: of *bytes.Buffer.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled is the size beyond which a buffer is not kept.
const maxPooled = 1 << 20

// withBody calls f with a body, which f must not keep.
func withBody(body io.Reader, f func(data []byte) error) error {
	buffer := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= maxPooled {
			buffer.Reset()
			buffers.Put(buffer)
		}
	}()
	_, err := buffer.ReadFrom(body)
	switch _, large := errors.AsType[*http.MaxBytesError](err); {
	case large:
		return errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow
	case err != nil:
		return errNoCollection
	}
	return f(buffer.Bytes())
}

// decode cuts a collection out of a body.
func decode(data []byte) (collection, error) {
	var raw struct {
		Value  span `json:"value"`
		Tokens span `json:"validationTokens"`
	}
	if json.Unmarshal(data, &raw) != nil || raw.Value == nil {
		return collection{}, errNoCollection
	}
	var c collection
	if raw.Tokens != nil && string(raw.Tokens) != "null" {
		c.tokens = json.RawMessage(raw.Tokens)
	}
	if string(raw.Value) == "null" {
		return c, nil
	}
	walk := jsonwalk.Over(raw.Value)
	walk.Array(func() {
		if item := walk.Value(); len(c.items) < maxItems {
			c.items = append(c.items, item)
		} else {
			c.ignored++
		}
	})
	if !walk.Ended() {
		return collection{}, errNoCollection
	}
	return c, nil
}

// text is a string of at most maxText bytes. Anything else is taken for an empty one:
// one odd field does not spoil an item.
type text string

// maxText bounds encrypted data, which is the longest.
const maxText = maxData

// UnmarshalJSON takes a string.
func (t *text) UnmarshalJSON(data []byte) error {
	*t = ""
	if len(data) > 0 && data[0] == '"' && len(data) <= maxText {
		return json.Unmarshal(data, (*string)(t))
	}
	return nil
}

// clientStateOf returns the clientState of an item, all that is decoded of it before
// it is verified. It returns false for what is no object.
func clientStateOf(data json.RawMessage) (string, bool) {
	var it struct {
		ClientState text `json:"clientState"`
	}
	if len(data) == 0 || data[0] != '{' || json.Unmarshal(data, &it) != nil {
		return "", false
	}
	return string(it.ClientState), true
}

// item is what we read of a change notification or a lifecycle event: it has a
// changeType or a lifecycleEvent.
type item struct {
	ID             text    `json:"id"`
	SubscriptionID text    `json:"subscriptionId"`
	ChangeType     text    `json:"changeType"`
	LifecycleEvent text    `json:"lifecycleEvent"`
	Sealed         *sealed `json:"encryptedContent"` // nil: none
}

// event returns the kind of a lifecycle event, empty if it is none that we know.
func (it *item) event() ooo.LifecycleKind {
	switch kind := ooo.LifecycleKind(it.LifecycleEvent); kind {
	case ooo.ReauthorizationRequired, ooo.SubscriptionWasRemoved, ooo.NotificationsMissed:
		return kind
	}
	return ""
}

// maxID is the longest id of a notification that is kept: Graph's are GUIDs.
const maxID = 128

// name identifies the notification in a history: Graph's id, or one made from
// the subscription.
func (it *item) name() string {
	if it.ID != "" && len(it.ID) <= maxID {
		return string(it.ID)
	}
	sum := sha256.Sum256([]byte(it.SubscriptionID + " " + it.ChangeType + it.LifecycleEvent))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// subscription returns the id of the subscription, if it can be one.
func (it *item) subscription() ooo.SubscriptionID {
	if len(it.SubscriptionID) > maxID {
		return ""
	}
	return ooo.SubscriptionID(it.SubscriptionID)
}

// tokensOf returns the tokens of a request, one more than are checked at most.
// Something else in their place counts as a token: a bad one.
func tokensOf(data json.RawMessage) []string {
	switch {
	case data == nil:
		return nil
	case data[0] != '[':
		return []string{""}
	}
	var tokens []string
	walk := jsonwalk.Over(data)
	walk.Array(func() {
		value := walk.Value()
		var token text
		if len(tokens) <= maxTokens && len(value) <= maxToken+2 && json.Unmarshal(value, &token) != nil {
			token = ""
		}
		if len(tokens) <= maxTokens {
			tokens = append(tokens, string(token))
		}
	})
	return tokens
}
