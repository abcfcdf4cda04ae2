package graph_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func TestRead(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 20)
	tests := map[string]struct {
		ids           []ooo.ObjectID
		gets, batches int // requests
	}{
		"none":           {ids[:0], 0, 0},
		"one":            {ids[:1], 1, 0},
		"twenty":         {ids, 0, 1},
		"the same twice": {[]ooo.ObjectID{ids[3], ids[4], ids[3]}, 0, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			gets, batches := e.requests.count("read", 200), e.requests.count("batch", 200)
			results := c.Read(t.Context(), tt.ids, nil)
			if len(results) != len(tt.ids) {
				t.Fatalf("Read returned %d results, want %d", len(results), len(tt.ids))
			}
			for i, r := range results {
				if r.ID != tt.ids[i] || r.Err != nil || r.Setting.ExternalReply != "I am "+string(tt.ids[i]) {
					t.Errorf("result %d = %+v, want the setting of %s", i, r, tt.ids[i])
				}
			}
			if got := e.requests.count("read", 200) - gets; got != tt.gets {
				t.Errorf("%d GETs, want %d", got, tt.gets)
			}
			if got := e.requests.count("batch", 200) - batches; got != tt.batches {
				t.Errorf("%d batches, want %d", got, tt.batches)
			}
		})
	}
}

// TestOneMailboxFails makes Graph answer the read of one mailbox with an error.
func TestOneMailboxFails(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 3)
	tests := map[string]struct {
		mailbox graphsim.Mailbox
		fault   graphsim.Fault
		want    error
		wait    *ooo.Throttled
	}{
		"on premises":       {mailbox: graphsim.Mailbox{Error: "MailboxNotEnabledForRESTAPI"}, want: ooo.ErrNoMailbox},
		"mailbox's own 401": {mailbox: graphsim.Mailbox{Error: "UnknownError"}, want: ooo.ErrUnauthorized},
		"unknown status":    {mailbox: graphsim.Mailbox{Body: []byte(`{"status":"sabbatical"}`)}, want: ooo.ErrBadSetting},
		"connection reset":  {fault: graphsim.Fault{Kind: "reset"}, want: ooo.ErrUnavailable},
		"throttled": {
			fault: graphsim.Fault{Kind: "throttle", RetryAfter: graphsim.Duration(7 * time.Second)},
			wait:  &ooo.Throttled{After: 7 * time.Second}},
		"tenant throttled": {
			fault: graphsim.Fault{Kind: "throttle", Code: "TenantThrottled", RetryAfter: graphsim.Duration(3 * time.Second)},
			wait:  &ooo.Throttled{After: 3 * time.Second, WholeApp: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e.must(e.SetMailbox(string(ids[1]), tt.mailbox))
			if tt.fault.Kind != "" {
				tt.fault.Operation, tt.fault.User = "read", string(ids[1])
				e.setFault(tt.fault)
				defer e.ClearFaults()
			}
			check := func(how string, r ooo.ReadResult) {
				t.Helper()
				if r.ID != ids[1] || r.Setting != (ooo.Setting{}) {
					t.Errorf("%s: result = %+v, want only an error", how, r)
				}
				checkError(t, how, r.Err, tt.want, tt.wait)
			}
			check("alone", c.Read(t.Context(), ids[1:2], nil)[0])
			results := c.Read(t.Context(), ids, nil)
			check("in a batch", results[1])
			for _, i := range []int{0, 2} {
				if results[i].Err != nil || results[i].Setting.Status != ooo.AlwaysEnabled {
					t.Errorf("result %d = %+v, want the setting", i, results[i])
				}
			}
		})
	}
}

// checkError checks that err is wait, or want if wait is nil.
func checkError(t *testing.T, what string, err, want error, wait *ooo.Throttled) {
	t.Helper()
	got, waits := errors.AsType[*ooo.Throttled](err)
	switch {
	case wait != nil && (!waits || *got != *wait):
		t.Errorf("%s: error = %v %+v, want %+v", what, err, got, *wait)
	case wait == nil && (waits || !errors.Is(err, want)):
		t.Errorf("%s: error = %v, want %v", what, err, want)
	}
}

func TestReadCanceled(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 2)
	e.setFault(graphsim.Fault{Operation: "all", Kind: "hang"})
	for _, some := range [][]ooo.ObjectID{ids[:1], ids} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		for _, r := range c.Read(ctx, some, nil) {
			if !errors.Is(r.Err, ooo.ErrUnavailable) || !errors.Is(r.Err, context.Canceled) {
				t.Errorf("error = %v, want %v because of %v", r.Err, ooo.ErrUnavailable, context.Canceled)
			}
		}
	}
}

const setting = `{"@odata.context":"x","status":"Scheduled","externalAudience":"ALL","internalReplyMessage":"in","externalReplyMessage":"out",` +
	`"scheduledStartDateTime":{"dateTime":"2026-11-24T16:00:00.0000000","timeZone":"UTC"},"scheduledEndDateTime":{"dateTime":"2026-11-25T16:00:00.0000000","timeZone":"UTC"}}`

// batchAnswers are answers to a $batch that asked for two mailboxes.
var batchAnswers = map[string]struct {
	answer string
	want   [2]error // nil: the setting was read
}{
	"in order":                     {`{"responses":[{"id":"0","status":200,"body":` + setting + `},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{}},
	"reversed":                     {`{"responses":[{"id":"1","status":404,"body":` + graphError("ResourceNotFound", "") + `},{"id":"0","status":200,"body":` + setting + `}]}`, [2]error{nil, ooo.ErrUserGone}},
	"missing item":                 {`{"responses":[{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{ooo.ErrUnavailable, nil}},
	"empty object":                 {`{}`, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"null":                         {`null`, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"array":                        {`[]`, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"incomplete":                   {`{"responses":[{"id":"0","status":200,"body":` + setting, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"unknown ids":                  {`{"responses":[null,{"id":"2","status":200},{"id":"-1","status":200},{"id":"x"},{"id":"1","status":200,"body":` + setting + `},{"id":"0","status":200,"body":` + setting + `}]}`, [2]error{}},
	"duplicate ids":                {`{"responses":[{"id":"0","status":200,"body":` + setting + `},{"id":"0","status":500},{"id":"1","status":500},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{nil, ooo.ErrUnavailable}},
	"numeric header":               {`{"responses":[{"id":"0","status":500,"headers":{"Retry-After":3}},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{ooo.ErrUnavailable, nil}},
	"status that is a string":      {`{"responses":[{"id":"0","status":"ok","body":` + setting + `},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{ooo.ErrUnavailable, nil}},
	"base64 body":                  {`{"responses":[{"id":"0","status":200,"body":"eyJzdGF0dXMiOiJkaXNhYmxlZCJ9"},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{ooo.ErrUnavailable, nil}},
	"null body":                    {`{"responses":[{"id":"0","status":200,"body":null},{"id":"1","status":200}]}`, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"errors without a body":        {`{"responses":[{"id":"0","status":404},{"id":"1","status":403}]}`, [2]error{ooo.ErrUnavailable, ooo.ErrDenied}},
	"invalid setting":              {`{"responses":[{"id":"0","status":200,"body":{"status":"away"}},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{ooo.ErrBadSetting, nil}},
	"names in another letter case": {`{"Responses":[{"ID":"0","Status":200,"Body":` + setting + `},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{}},
}

func TestBatchAnswers(t *testing.T) {
	t.Parallel()
	for name, tt := range batchAnswers {
		t.Run(name, func(t *testing.T) {
			c := newStub(t, respond(http.StatusOK, tt.answer)).client(t)
			for i, r := range c.Read(t.Context(), []ooo.ObjectID{"a", "b"}, nil) {
				switch {
				case !errors.Is(r.Err, tt.want[i]):
					t.Errorf("result %d: error = %v, want %v", i, r.Err, tt.want[i])
				case r.Err == nil && (r.Setting.Status != ooo.Scheduled || r.Setting.ExternalReply != "out"):
					t.Errorf("result %d = %+v, want the setting", i, r.Setting)
				}
			}
		})
	}
}

func TestWaitsInsideBatch(t *testing.T) {
	t.Parallel()
	s := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		at := time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat)
		writeJSON(w, http.StatusOK, `{"responses":[{"id":"1","status":429,"headers":{"retry-after":"11"},"body":`+graphError("ApplicationThrottled", "Application is over its MailboxConcurrency limit.")+
			`},{"id":"0","status":429,"headers":{"Retry-After":"`+at+`"}},{"id":"2","status":200,"body":`+setting+
			`},{"id":"3","status":503,"headers":{"Retry-After":12}}]}`)
	})
	results := s.client(t).Read(t.Context(), []ooo.ObjectID{"a", "b", "c", "d"}, nil)
	checkError(t, "in seconds", results[1].Err, nil, &ooo.Throttled{After: 11 * time.Second})
	checkError(t, "as a number", results[3].Err, nil, &ooo.Throttled{After: 12 * time.Second})
	if wait, ok := errors.AsType[*ooo.Throttled](results[0].Err); !ok || wait.After < 8*time.Minute || wait.After > 10*time.Minute || wait.WholeApp {
		t.Errorf("until a date: error = %v, want a wait of about ten minutes", results[0].Err)
	}
	if results[2].Err != nil {
		t.Errorf("the third: error = %v, want none", results[2].Err)
	}
}

func TestAnswersNotFromGraph(t *testing.T) {
	t.Parallel()
	huge := make([]byte, 1<<20)
	answers := map[string]http.HandlerFunc{
		"proxy, 200": proxyPage(http.StatusOK),
		"empty":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"over 16 MiB": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 18 {
				if _, err := w.Write(huge); err != nil {
					return
				}
			}
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			c := newStub(t, answer).client(t)
			for _, ids := range [][]ooo.ObjectID{{"a"}, {"a", "b"}} {
				for _, r := range c.Read(t.Context(), ids, nil) {
					if !errors.Is(r.Err, ooo.ErrUnavailable) {
						t.Errorf("of %d: error = %v, want %v", len(ids), r.Err, ooo.ErrUnavailable)
					}
				}
			}
		})
	}
}

func TestUnchangedAnswers(t *testing.T) {
	t.Parallel()
	e, c, all := newEnvWithUsers(t, 4)
	for name, ids := range map[string][]ooo.ObjectID{"alone": all[:1], "together": all[1:]} {
		known := make([]ooo.Digest, len(ids))
		for i, r := range c.Read(t.Context(), ids, known) {
			if r.Unchanged || r.Setting.Status == "" {
				t.Fatalf("%s: first result = %+v, want the setting", name, r)
			}
			known[i] = r.Digest
		}
		for _, r := range c.Read(t.Context(), ids, known) {
			if r.Err != nil || !r.Unchanged || r.Setting != (ooo.Setting{}) {
				t.Errorf("%s: second result = %+v, want it unchanged", name, r)
			}
		}
		e.setReplies(ids[0], graphsim.AutomaticRepliesUpdate{ExternalReplyMessage: new("News from " + name)})
		for i, r := range c.Read(t.Context(), ids, known) {
			if r.Err != nil || r.Unchanged != (i > 0) || (i == 0) != (r.Setting.ExternalReply == "News from "+name) {
				t.Errorf("%s: result %d after a change = %+v, want only the first to differ", name, i, r)
			}
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	for _, tt := range batchAnswers {
		f.Add([]byte(tt.answer), 2)
	}
	f.Fuzz(func(t *testing.T, answer []byte, count int) {
		results := make([]ooo.ReadResult, max(count%21, 1))
		for i := range results {
			results[i].ID = ooo.ObjectID(fmt.Sprint(i))
		}
		err := graph.DecodeBatch(answer, results)
		if err != nil && !errors.Is(err, ooo.ErrUnavailable) {
			t.Errorf("DecodeBatch = %v, want %v", err, ooo.ErrUnavailable)
		}
		for i, r := range results {
			if r.ID != ooo.ObjectID(fmt.Sprint(i)) {
				t.Errorf("result %d has id %s", i, r.ID)
			}
			if err == nil && r.Err == nil && r.Setting.Status == "" {
				t.Errorf("result %d has neither setting nor error", i)
			}
			if r.Err != nil && r.Setting != (ooo.Setting{}) {
				t.Errorf("result %d has both: %+v", i, r)
			}
		}
	})
}

func TestPresences(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 3)
	e.setReplies(ids[1], graphsim.AutomaticRepliesUpdate{Status: new("disabled")})
	got, err := c.Presences(t.Context(), []ooo.ObjectID{ids[0], ids[1], "8c1d3b52-0000-4000-8000-000000000000"})
	if want := map[ooo.ObjectID]bool{ids[0]: true, ids[1]: false}; err != nil || !maps.Equal(got, want) {
		t.Errorf("Presences = %v, %v, want %v without the unknown user", got, err, want)
	}
}
