package webhook

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"outlook-monitor/internal/ooo"
)

var errNoCollection = errors.New("the body is not a collection of notifications")

// collection is a request body split into values. They are decoded only when they are needed,
// and items that are not verified are not kept, so that an unauthenticated request costs at
// most twice its own size, however many items it has.
type collection struct {
	Items  items          `json:"value"`
	Tokens jsontext.Value `json:"validationTokens"`
}

// items are the verified objects in the list of a collection.
type items struct {
	verify  func(*item) bool
	list    []item
	forged  int  // objects that are not verified
	ignored int  // other values
	present bool // the collection has a list, or null instead
}

// item is a change notification, whose changeType may be missing, or a lifecycle event.
type item struct {
	ClientState    jsontext.Value `json:"clientState"`
	ID             jsontext.Value `json:"id"`
	SubscriptionID jsontext.Value `json:"subscriptionId"`
	ChangeType     jsontext.Value `json:"changeType"`
	LifecycleEvent jsontext.Value `json:"lifecycleEvent"`
	Content        jsontext.Value `json:"encryptedContent"`

	mailbox     ooo.RecordID // from the clientState, as the resourceTag
	resourceTag string
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
// of several equal names counts.
var lenient = json.JoinOptions(
	json.MatchCaseInsensitiveNames(true), jsonv1.MatchCaseSensitiveDelimiter(true),
	jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// decode splits a body in one pass and keeps the items that verify accepts.
func decode(body []byte, verify func(*item) bool) (collection, error) {
	c := collection{Items: items{verify: verify}}
	if json.Unmarshal(body, &c, lenient) != nil || !c.Items.present {
		return collection{}, errNoCollection
	}
	return c, nil
}

func (s *items) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*s = items{verify: s.verify, present: true}
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	var it item
	return eachElement(d, func() error {
		if d.PeekKind() != '{' {
			s.ignored++
			return d.SkipValue()
		}
		it = item{}
		err := json.UnmarshalDecode(d, &it)
		switch {
		case err != nil:
		case s.verify(&it):
			s.list = append(s.list, it)
		default:
			s.forged++
		}
		return err
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
func decodeTokens(value jsontext.Value) (tokens []string) {
	if present(value) == nil {
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
