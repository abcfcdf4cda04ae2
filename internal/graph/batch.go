package graph

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"outlook-monitor/internal/ooo"
)

// newBatch returns the body of a POST /$batch that reads the mailboxes of readings. The
// ids are their indices.
func newBatch(readings []ooo.ReadResult) []byte {
	body := append(make([]byte, 0, 32+160*len(readings)), `{"requests":[`...)
	for i := range readings {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"id":"%d","method":"GET","url":"%s"}`, i, settingPath(readings[i].ID)) // the path is escaped
	}
	return append(body, "]}"...)
}

// batchAnswer says where the parts of the answer are: most bodies are the same as
// before and need not be decoded, and a part of a wrong kind spoils no others.
type batchAnswer struct {
	Responses []batchItem `json:"responses"`
}

type batchItem struct {
	ID      span `json:"id"`
	Status  span `json:"status"`
	Headers span `json:"headers"`
	Body    span `json:"body"`
}

// span is where a value is in a JSON text: it is neither decoded nor copied.
type span struct{ from, to int64 }

func (s *span) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	s.to = d.InputOffset()
	s.from = s.to - int64(len(value))
	return err
}

func (s span) of(text []byte) []byte { return text[s.from:s.to] }

// lenient reads JSON as encoding/json does: of equal names, in any letter case, the last
// counts.
var lenient = json.JoinOptions(
	json.MatchCaseInsensitiveNames(true), jsonv1.MatchCaseSensitiveDelimiter(true),
	jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

var errNoSetting = fmt.Errorf("%w: the answer to a batch lacks this setting", ooo.ErrUnavailable)

// decodeBatch fills the answer to a batch into the readings that it is for. Items that
// nobody asked for are left out; of several for one reading the first counts. The error
// means that the answer as a whole can't be understood.
func decodeBatch(answer []byte, readings []ooo.ReadResult, now time.Time) error {
	batch := batchAnswer{make([]batchItem, 0, len(readings))}
	if json.Unmarshal(answer, &batch, lenient) != nil {
		return errUnreadable
	}
	failAll(readings, errNoSetting)
	taken := make([]bool, len(readings))
	for _, item := range batch.Responses {
		i, err := strconv.Atoi(strings.Trim(string(item.ID.of(answer)), `"`))
		if err != nil || i < 0 || i >= len(readings) || taken[i] {
			continue
		}
		taken[i] = true
		status, _ := strconv.Atoi(string(item.Status.of(answer))) // 0 is no 2xx
		body := item.Body.of(answer)
		switch {
		case status < 200 || status >= 300:
			var headers struct {
				RetryAfter string `json:"Retry-After"`
			}
			_ = json.Unmarshal(item.Headers.of(answer), &headers, lenient) // none, or of a wrong kind
			readings[i].Err = newAPIError(status, body, headers.RetryAfter, now).translate(opRead)
		case len(body) == 0 || body[0] != '{':
			readings[i].Err = errNoSetting
		default:
			understand(&readings[i], body)
		}
	}
	return nil
}
