package graph

import (
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outlook-monitor/internal/ooo"
)

// span is where a value is in a JSON text: it is neither decoded nor copied.
type span struct{ from, to int64 }

func (s *span) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	s.to = d.InputOffset()
	s.from = s.to - int64(len(value))
	return err
}

// asStandard reads JSON as encoding/json does: of equal names, in any letter case, the
// last counts.
var asStandard = json.JoinOptions(
	json.MatchCaseInsensitiveNames(true), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// plainBatch takes apart an answer to a batch in which every read succeeded, as
// nearly all do, at a fraction of what encoding/json costs: the bodies, which are most
// of it, are mostly the same as before and need not be looked into. It returns
// false, and has changed nothing, if the answer is anything but plain; then it is
// for decodeAny. What it accepts means the same to that.
func plainBatch(answer []byte, readings []ooo.Reading) bool {
	var batch struct {
		Responses []struct {
			ID     string `json:"id"`
			Status int    `json:"status"`
			Body   span   `json:"body"`
		} `json:"responses"`
	}
	err := json.Unmarshal(answer, &batch, asStandard)
	if err != nil || len(batch.Responses) != len(readings) || len(readings) > mostInBatch {
		return false
	}
	var bodies [mostInBatch][]byte
	for _, one := range batch.Responses {
		place, err := strconv.Atoi(one.ID)
		body := answer[one.Body.from:one.Body.to]
		if err != nil || place < 0 || place >= len(readings) || bodies[place] != nil ||
			one.Status != http.StatusOK || len(body) == 0 || body[0] != '{' {
			return false
		}
		bodies[place] = body
	}
	for i := range readings {
		readings[i].Err = nil
		understand(&readings[i], bodies[i])
	}
	return true
}
