package webhook

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

var errNoCollection = errors.New("the body is not a collection of notifications")

// maxItems is far more than Graph puts into one request.
const maxItems = 1000

// collection is what one request brings: spans of its body, nothing of which is decoded
// yet. What a forger sends costs little more than its own size.
type collection struct {
	Items  items `json:"value"`
	Tokens span  `json:"validationTokens"`
}

// items are the items of a collection that are objects, up to maxItems.
type items struct {
	list    []item
	ignored int  // all others
	found   bool // there is such a list, or null
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

// span is where a value is in a body.
type span struct{ from, to int64 }

func (s *span) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	s.to = d.InputOffset()
	s.from = s.to - int64(len(value))
	return err
}

// in returns the JSON of the value, nil if there is none or null.
func (s span) in(body []byte) []byte {
	if s.from == s.to || body[s.from] == 'n' {
		return nil
	}
	return body[s.from:s.to]
}

// text returns the value if it is a string that is not too long, else an empty one.
func (s span) text(body []byte) string { return textOf(s.in(body)) }

// asStandard reads JSON as encoding/json does: of equal names, in any letter case, the
// last counts.
var asStandard = json.JoinOptions(
	json.MatchCaseInsensitiveNames(true), jsonv1.MatchCaseSensitiveDelimiter(true),
	jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// decode takes a collection apart, going over the body once.
func decode(body []byte) (collection, error) {
	var c collection
	if json.Unmarshal(body, &c, asStandard) != nil || !c.Items.found {
		return collection{}, errNoCollection
	}
	return c, nil
}

func (s *items) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*s = items{found: true}
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	return eachOf(d, func() error {
		if d.PeekKind() != '{' || len(s.list) == maxItems {
			s.ignored++
			return d.SkipValue()
		}
		s.list = append(s.list, item{})
		return json.UnmarshalDecode(d, &s.list[len(s.list)-1])
	})
}

// eachOf goes over an array and calls element for each value, which has to read it.
func eachOf(d *jsontext.Decoder, element func() error) error {
	if d.PeekKind() != '[' {
		return errNoCollection
	}
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() != ']' {
		err = element()
	}
	if err == nil {
		_, err = d.ReadToken()
	}
	return err
}

// text is a string. Anything else, or one longer than maxText, is taken for an empty
// one: one odd field does not spoil an item.
type text string

// maxText bounds encrypted data, which is the longest.
const maxText = maxData

func (t *text) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	*t = text(textOf(value))
	return err
}

func textOf(value []byte) string {
	if len(value) == 0 || value[0] != '"' || len(value) > maxText {
		return ""
	}
	plain, _ := jsontext.AppendUnquote(nil, value) // the error is of broken UTF-8, which it has replaced
	return string(plain)
}

// tokens are the validation tokens of a request, one more than are checked at most.
// Something else in their place counts as a token: a bad one.
type tokens []string

func (t *tokens) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '[' {
		*t = tokens{""}
		return d.SkipValue()
	}
	return eachOf(d, func() error {
		value, err := d.ReadValue()
		if len(*t) <= maxTokens {
			*t = append(*t, textOf(value))
		}
		return err
	})
}

// tokensIn decodes the tokens of a request; nil: there are none.
func tokensIn(value []byte) (t tokens) {
	if value != nil {
		_ = json.Unmarshal(value, &t, asStandard) // it is JSON
	}
	return t
}
