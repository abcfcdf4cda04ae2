package graph

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"outlook-monitor/internal/ooo"
)

// encodeBatch returns the body of a POST /$batch that reads the mailboxes of results. The
// ids of its requests are their indices.
func encodeBatch(results []ooo.ReadResult) []byte {
	body := append(make([]byte, 0, 32+160*len(results)), `{"requests":[`...)
	for i := range results {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"id":"%d","method":"GET","url":"%s"}`, i, settingPath(results[i].ID)) // the path is escaped
	}
	return append(body, "]}"...)
}

// batchItem consists of raw values, because most bodies are unchanged and need not be
// decoded, and because a field of a wrong type must not affect other items. jsonv1 splits them
// by the rules of encoding/json, which itself takes several times as long.
type batchItem struct {
	ID      jsontext.Value `json:"id"`
	Status  jsontext.Value `json:"status"`
	Headers jsontext.Value `json:"headers"`
	Body    jsontext.Value `json:"body"`
}

var errNoSetting = fmt.Errorf("%w: the answer to a batch lacks this setting", ooo.ErrUnavailable)

// decodeBatch stores the items of an answer in results. It ignores items with an unknown id,
// and all but the first item for a mailbox. It returns an error if the answer as a whole
// can't be decoded.
func decodeBatch(answer []byte, results []ooo.ReadResult, now time.Time) error {
	var batch struct {
		Responses []batchItem `json:"responses"`
	}
	if jsonv1.Unmarshal(answer, &batch) != nil {
		return errBadAnswer
	}
	failAll(results, errNoSetting)
	seen := make([]bool, len(results))
	for _, item := range batch.Responses {
		i, err := strconv.Atoi(strings.Trim(string(item.ID), `"`))
		if err != nil || i < 0 || i >= len(results) || seen[i] {
			continue
		}
		seen[i] = true
		status, _ := strconv.Atoi(string(item.Status)) // 0 is not a 2xx
		switch {
		case status < 200 || status >= 300:
			var headers struct {
				RetryAfter jsontext.Value `json:"Retry-After"` // a string, or a number
			}
			_ = jsonv1.Unmarshal(item.Headers, &headers) // they may be missing or malformed
			results[i].Err = newAPIError(status, item.Body, strings.Trim(string(headers.RetryAfter), `"`), now).translate(opRead)
		case len(item.Body) == 0 || item.Body[0] != '{':
			results[i].Err = errNoSetting
		default:
			results[i].Err = decodeSetting(&results[i], item.Body)
		}
	}
	return nil
}
