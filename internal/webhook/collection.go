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

	"outlook-monitor/internal/ooo"
)

// Of a request's body.
var (
	errSlow         = errors.New("the body did not come in time")
	errTooLarge     = errors.New("the body is larger than 4 MiB")
	errNoCollection = errors.New("the body is not a collection of notifications")
)

// item is what we read of a change notification or a lifecycle event: it has a
// changeType or a lifecycleEvent.
type item struct {
	ID             string
	SubscriptionID string
	ClientState    string
	ChangeType     string
	LifecycleEvent string
	Sealed         *sealed // nil: none
}

// UnmarshalJSON takes the fields that are strings: one odd field does not spoil
// an item.
func (it *item) UnmarshalJSON(data []byte) error {
	var raw struct {
		ID             any `json:"id"`
		SubscriptionID any `json:"subscriptionId"`
		ClientState    any `json:"clientState"`
		ChangeType     any `json:"changeType"`
		LifecycleEvent any `json:"lifecycleEvent"`
		Content        any `json:"encryptedContent"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	it.ID, _ = raw.ID.(string)
	it.SubscriptionID, _ = raw.SubscriptionID.(string)
	it.ClientState, _ = raw.ClientState.(string)
	it.ChangeType, _ = raw.ChangeType.(string)
	it.LifecycleEvent, _ = raw.LifecycleEvent.(string)
	it.Sealed = sealedOf(raw.Content)
	return nil
}

// event returns the kind of a lifecycle event, empty if it is none that we know.
func (it *item) event() ooo.LifecycleKind {
	switch kind := ooo.LifecycleKind(it.LifecycleEvent); kind {
	case ooo.ReauthorizationRequired, ooo.SubscriptionWasRemoved, ooo.NotificationsMissed:
		return kind
	}
	return ""
}

// name identifies the notification in a history: Graph's id, or one made from
// the subscription.
func (it *item) name() string {
	if it.ID != "" {
		return it.ID
	}
	sum := sha256.Sum256([]byte(it.SubscriptionID + " " + it.ChangeType + it.LifecycleEvent))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// collection is what one request brings.
type collection struct {
	items   []item   // that are objects with a kind
	ignored int      // the others
	tokens  []string // validation tokens; what is no text is an empty one
}

// buffers are for bodies: of *bytes.Buffer.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// mostPooled is the size beyond which a buffer is not kept.
const mostPooled = 1 << 20

// decode reads a collection.
func decode(body io.Reader) (collection, error) {
	buffer := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= mostPooled {
			buffer.Reset()
			buffers.Put(buffer)
		}
	}()
	_, err := buffer.ReadFrom(body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return collection{}, errTooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return collection{}, errSlow
	}
	if err != nil {
		return collection{}, errNoCollection
	}
	if c, ok := decodePlain(buffer.Bytes()); ok {
		return c, nil
	}
	if !json.Valid(buffer.Bytes()) {
		return collection{}, errNoCollection
	}
	return decodeAny(buffer.Bytes())
}

// decodeAny takes a collection apart whatever JSON it is.
func decodeAny(data []byte) (collection, error) {
	var raw struct {
		Value  json.RawMessage `json:"value"`
		Tokens any             `json:"validationTokens"`
	}
	if json.Unmarshal(data, &raw) != nil || raw.Value == nil {
		return collection{}, errNoCollection
	}
	var values []json.RawMessage
	if json.Unmarshal(raw.Value, &values) != nil {
		return collection{}, errNoCollection
	}
	c := collection{tokens: tokensOf(raw.Tokens)}
	for _, value := range values {
		var it item
		if bytes.Equal(value, []byte("null")) || json.Unmarshal(value, &it) != nil {
			it = item{}
		}
		c.add(it)
	}
	return c, nil
}

// add takes an item in, if it is of a kind.
func (c *collection) add(it item) {
	if it.ChangeType == "" && it.LifecycleEvent == "" {
		c.ignored++
		return
	}
	c.items = append(c.items, it)
}

// tokensOf returns the tokens of a request. Something else in their place counts
// as a token: a bad one.
func tokensOf(value any) []string {
	if value == nil {
		return nil
	}
	values, ok := value.([]any)
	if !ok {
		return []string{""}
	}
	var tokens []string
	for _, value := range values {
		token, _ := value.(string)
		tokens = append(tokens, token)
	}
	return tokens
}
