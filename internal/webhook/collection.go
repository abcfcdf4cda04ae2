package webhook

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

var errNoCollection = errors.New("the body is not a collection of notifications")

// maxItems is far more than Graph puts into one request.
const maxItems = 1000

// collection is a request body split into spans. They are decoded only when they are
// needed, so that an unauthenticated request costs little more than its own size.
type collection struct {
	Items  items `json:"value"`
	Tokens span  `json:"validationTokens"`
}

// items are the objects in the list of a collection, up to maxItems.
type items struct {
	list    []item
	ignored int  // other values, and objects beyond maxItems
	present bool // the collection has a list, or null instead
}

// item is a change notification, which has a changeType, or a lifecycle event.
type item struct {
	ClientState    span `json:"clientState"`
	ID             span `json:"id"`
	SubscriptionID span `json:"subscriptionId"`
	ChangeType     span `json:"changeType"`
	LifecycleEvent span `json:"lifecycleEvent"`
	Content        span `json:"encryptedContent"`
}

// span is the position of a JSON value in the text that contains it.
type span struct{ from, to int64 }

func (s *span) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	s.to = d.InputOffset()
	s.from = s.to - int64(len(value))
	return err
}

// raw returns the JSON value, or nil if it is missing or null.
func (s span) raw(text []byte) []byte {
	if s.from == s.to || text[s.from] == 'n' {
		return nil
	}
	return text[s.from:s.to]
}

// unquote returns the value if it is a string, else an empty string: one malformed
// field must not invalidate the item.
func (s span) unquote(text []byte) string { return unquote(s.raw(text)) }

func unquote(value []byte) string {
	if len(value) == 0 || value[0] != '"' {
		return ""
	}
	plain, _ := jsontext.AppendUnquote(nil, value) // the only error is invalid UTF-8, which it replaces
	return string(plain)
}

// lenient decodes JSON as encoding/json does: names match in any letter case, and the last
// of several equal names counts.
var lenient = json.JoinOptions(
	json.MatchCaseInsensitiveNames(true), jsonv1.MatchCaseSensitiveDelimiter(true),
	jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// decode splits a body in one pass.
func decode(body []byte) (collection, error) {
	var c collection
	if json.Unmarshal(body, &c, lenient) != nil || !c.Items.present {
		return collection{}, errNoCollection
	}
	return c, nil
}

func (s *items) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*s = items{present: true}
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	return eachElement(d, func() error {
		if d.PeekKind() != '{' || len(s.list) == maxItems {
			s.ignored++
			return d.SkipValue()
		}
		s.list = append(s.list, item{})
		return json.UnmarshalDecode(d, &s.list[len(s.list)-1])
	})
}

// eachElement calls read for each element of an array. read must consume the element.
func eachElement(d *jsontext.Decoder, read func() error) error {
	if d.PeekKind() != '[' {
		return errNoCollection
	}
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() != ']' {
		err = read()
	}
	if err == nil {
		_, err = d.ReadToken()
	}
	return err
}

// decodeTokens returns the validation tokens in a JSON value, up to one more than
// maxTokens. A value that is not an array counts as one invalid token.
func decodeTokens(value []byte) (tokens []string) {
	if value == nil {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(value), lenient)
	err := eachElement(d, func() error {
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
