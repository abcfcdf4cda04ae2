package webhook

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

var errNoCollection = errors.New("the body is not a collection of notifications")

// collection is a request body. Its lists are decoded element by element, when they are
// needed, and items that are not verified are not kept, so that an unauthenticated request
// costs little more than its own size, however many items it has.
type collection struct {
	Items  jsontext.Value `json:"value"`
	Tokens jsontext.Value `json:"validationTokens"`
}

// item is a change notification, whose changeType may be missing, or a lifecycle event.
type item struct {
	ClientState    jsontext.Value `json:"clientState"`
	ID             jsontext.Value `json:"id"`
	SubscriptionID jsontext.Value `json:"subscriptionId"`
	ChangeType     jsontext.Value `json:"changeType"`
	LifecycleEvent jsontext.Value `json:"lifecycleEvent"`
	Content        jsontext.Value `json:"encryptedContent"`
}

// unquote returns the value if it is a string, else an empty string: one malformed field must
// not invalidate the item.
func unquote(value jsontext.Value) string {
	if value.Kind() != '"' {
		return ""
	}
	plain, _ := jsontext.AppendUnquote(nil, value) // the only error is invalid UTF-8, which it replaces
	return string(plain)
}

// present returns a value, or nil if it is null.
func present(value jsontext.Value) jsontext.Value {
	if value.Kind() == 'n' {
		return nil
	}
	return value
}

// lenient decodes JSON as encoding/json does: names match in any letter case, and the last
// of several equal names counts. All of its options ([jsonv1.DefaultOptionsV1]) would take half
// as long again, with which a notification of many items takes over 1.3 times the floor of
// scripts/bench b.
var lenient = json.JoinOptions(
	json.MatchCaseInsensitiveNames(true), jsonv1.MatchCaseSensitiveDelimiter(true),
	jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// split checks that a body is a collection.
func split(body []byte) (c collection, err error) {
	if json.Unmarshal(body, &c, lenient) != nil || c.Items == nil {
		return collection{}, errNoCollection
	}
	return c, nil
}

// eachElement calls read, which must consume an element, for each one of an array. It returns
// errNoCollection for another value than an array or null.
func eachElement(array jsontext.Value, read func(*jsontext.Decoder) error) error {
	if present(array) == nil {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(array), lenient)
	if d.PeekKind() != '[' {
		return errNoCollection
	}
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() != ']' {
		err = read(d)
	}
	return err
}

// decodeTokens returns the validation tokens in a JSON value, up to one more than
// maxTokens. A value that is not an array counts as one invalid token.
func decodeTokens(value jsontext.Value) (tokens []string) {
	err := eachElement(value, func(d *jsontext.Decoder) error {
		token, err := d.ReadValue()
		if len(tokens) <= maxTokens {
			tokens = append(tokens, unquote(token))
		}
		return err
	})
	if err != nil {
		return []string{""}
	}
	return tokens
}
