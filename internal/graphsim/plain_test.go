package graphsim_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"outlook-monitor/internal/graphsim"
)

// TestBatchesMeanTheSameHoweverTheyAreSpelled sends each batch as it is, which
// the quick reader may take, and with a space before it, which it never takes.
func TestBatchesMeanTheSameHoweverTheyAreSpelled(t *testing.T) {
	w := start(t, graphsim.Config{})
	ann := w.user("ann@contoso.example").ID
	path := "/users/" + ann + repliesPath
	tests := map[string]struct {
		body string
		want int // status of the batch
	}{
		"one request":                    {`{"requests":[{"id":"0","method":"GET","url":"` + path + `"}]}`, 200},
		"two requests in another order":  {`{"requests":[{"url":"` + path + `","id":"a","method":"get"},{"method":"GET","url":"/users/nobody","id":"b"}]}`, 200},
		"an empty id":                    {`{"requests":[{"id":"","method":"GET","url":"/users"}]}`, 400},
		"the same id twice":              {`{"requests":[{"id":"1","method":"GET","url":"/users"},{"id":"1","method":"GET","url":"/users"}]}`, 400},
		"a missing url":                  {`{"requests":[{"id":"1","method":"GET"}]}`, 400},
		"no requests":                    {`{"requests":[]}`, 400},
		"spaces":                         {`{"requests": [{"id":"0", "method":"GET","url":"` + path + `"}]}`, 200},
		"headers":                        {`{"requests":[{"id":"0","method":"GET","url":"` + path + `","headers":{"Accept":"*/*"}}]}`, 200},
		"an escape":                      {`{"requests":[{"id":"0","method":"GET","url":"\/users"}]}`, 200},
		"a name in capitals":             {`{"requests":[{"ID":"0","method":"GET","url":"/users"}]}`, 200},
		"a field that comes twice":       {`{"requests":[{"id":"0","id":"1","method":"GET","url":"/users"}]}`, 200},
		"a letter beyond ASCII":          {`{"requests":[{"id":"ä","method":"GET","url":"/users/ä"}]}`, 200},
		"a quote in an id":               {`{"requests":[{"id":"a\"b","method":"GET","url":"/users"}]}`, 200},
		"a number for an id":             {`{"requests":[{"id":0,"method":"GET","url":"/users"}]}`, 400},
		"something after it":             {`{"requests":[{"id":"0","method":"GET","url":"/users"}]}{}`, 400},
		"a comma too many":               {`{"requests":[{"id":"0","method":"GET","url":"/users"},]}`, 400},
		"a comma too many in a request":  {`{"requests":[{"id":"0","method":"GET","url":"/users",}]}`, 400},
		"an end that is missing":         {`{"requests":[{"id":"0","method":"GET","url":"/users"}]`, 400},
		"an empty request":               {`{"requests":[{}]}`, 400},
		"another field beside them":      {`{"requests":[{"id":"0","method":"GET","url":"/users"}],"x":1}`, 200},
		"a line break inside of a value": {"{\"requests\":[{\"id\":\"0\",\"method\":\"GET\",\"url\":\"/users\n\"}]}", 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, usual := w.graph("POST", "/$batch", tt.body), w.graph("POST", "/$batch", " "+tt.body)
			if got.status != tt.want || usual.status != tt.want {
				t.Errorf("status = %d, and %d after a space, want %d", got.status, usual.status, tt.want)
			}
			if got.message() != usual.message() {
				t.Errorf("message = %q, and %q after a space", got.message(), usual.message())
			}
			if one, other := outcomes(got), outcomes(usual); !slices.Equal(one, other) {
				t.Errorf("answers = %q, and %q after a space", one, other)
			}
		})
	}
}

// outcomes are the ids, statuses and error codes in a batch's answer.
func outcomes(a answer) (all []string) {
	var got struct{ Responses []inner }
	if json.Unmarshal(a.raw, &got) != nil {
		return nil
	}
	for _, r := range got.Responses {
		all = append(all, fmt.Sprint(r.ID, " ", r.Status, " ", r.code()))
	}
	slices.Sort(all)
	return all
}
