package store

import (
	"encoding/json"
	"fmt"
)

// Fields of an entry of a history or of the feed. Those of a history have the first
// alone.
const (
	eventField   = "e" // JSON of an ooo.Event
	addressField = "a" // as spelled
	nameField    = "n" // of the user
)

// encodeEvent writes what the history and the feed keep of an event.
func encodeEvent(e Event) (string, error) {
	text, err := json.Marshal(e.Event)
	if err != nil {
		return "", fmt.Errorf("encode event: %w", err)
	}
	return string(text), nil
}

// decodeEvent reads an entry of a history or of the feed; address and name are those
// of the feed. The error is [ErrDamaged].
func decodeEvent(values map[string]any) (Event, error) {
	var e Event
	text, _ := values[eventField].(string)
	if err := json.Unmarshal([]byte(text), &e.Event); err != nil {
		return Event{}, fmt.Errorf("an event: %w", ErrDamaged)
	}
	e.Address, _ = values[addressField].(string)
	e.Name, _ = values[nameField].(string)
	return e, nil
}
