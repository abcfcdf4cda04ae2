package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"outlook-monitor/internal/ooo"
)

// Of a request's body.
var (
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
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	it.ID, _ = raw.ID.(string)
	it.SubscriptionID, _ = raw.SubscriptionID.(string)
	it.ClientState, _ = raw.ClientState.(string)
	it.ChangeType, _ = raw.ChangeType.(string)
	it.LifecycleEvent, _ = raw.LifecycleEvent.(string)
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

// decode reads a collection and returns its items that are objects with a kind;
// ignored counts the others.
func decode(body io.Reader) (items []item, ignored int, err error) {
	data, err := io.ReadAll(body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, 0, errTooLarge
	}
	if err != nil {
		return nil, 0, errNoCollection
	}
	var collection struct {
		Value json.RawMessage `json:"value"`
	}
	if json.Unmarshal(data, &collection) != nil || collection.Value == nil {
		return nil, 0, errNoCollection
	}
	var values []json.RawMessage
	if json.Unmarshal(collection.Value, &values) != nil {
		return nil, 0, errNoCollection
	}
	for _, value := range values {
		var it item
		if bytes.Equal(value, []byte("null")) || json.Unmarshal(value, &it) != nil || it.ChangeType == "" && it.LifecycleEvent == "" {
			ignored++
			continue
		}
		items = append(items, it)
	}
	return items, ignored, nil
}
