package graph_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func TestRead(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 20)
	for name, tt := range map[string]struct {
		ids     []ooo.ObjectID
		batches int64
	}{
		"none":           {ids[:0], 0},
		"one":            {ids[:1], 0},
		"twenty":         {ids, 1},
		"the same twice": {[]ooo.ObjectID{ids[3], ids[4], ids[3]}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			reads, batches := e.calls("read"), e.calls("batch")
			results := c.Read(t.Context(), tt.ids, nil)
			if len(results) != len(tt.ids) {
				t.Fatalf("Read returned %d results, want %d", len(results), len(tt.ids))
			}
			for i, r := range results {
				if r.ID != tt.ids[i] || r.Err != nil || r.Setting.ExternalReply != "I am "+string(tt.ids[i]) {
					t.Errorf("result %d = %+v, want the setting of %s", i, r, tt.ids[i])
				}
			}
			reads, batches = e.calls("read")-reads, e.calls("batch")-batches
			if reads != int64(len(tt.ids)) || batches != tt.batches {
				t.Errorf("%d reads in %d batches, want %d in %d", reads, batches, len(tt.ids), tt.batches)
			}
		})
	}
}

// TestOneMailboxFails makes Graph answer the read of one mailbox with an error. Not even a 401
// of one mailbox causes a login.
func TestOneMailboxFails(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 3)
	for name, tt := range map[string]struct {
		mailbox graphsim.Mailbox
		fault   graphsim.Fault
		want    error
	}{
		"on premises":       {mailbox: graphsim.Mailbox{Error: "MailboxNotEnabledForRESTAPI"}, want: ooo.ErrNoMailbox},
		"mailbox's own 401": {mailbox: graphsim.Mailbox{Error: "UnknownError"}, want: ooo.ErrUnauthorized},
		"unknown status":    {mailbox: graphsim.Mailbox{Body: []byte(`{"status":"sabbatical"}`)}, want: ooo.ErrBadSetting},
		"connection reset":  {fault: graphsim.Fault{Kind: "reset"}, want: ooo.ErrUnavailable},
		"throttled": {
			fault: graphsim.Fault{Kind: "throttle", RetryAfter: graphsim.Duration(7 * time.Second)},
			want:  &ooo.Throttled{After: 7 * time.Second}},
		"tenant throttled": {
			fault: graphsim.Fault{Kind: "throttle", Code: "TenantThrottled", RetryAfter: graphsim.Duration(3 * time.Second)},
			want:  &ooo.Throttled{After: 3 * time.Second, WholeApp: true}},
	} {
		t.Run(name, func(t *testing.T) {
			e.Must(e.SetMailbox(string(ids[1]), tt.mailbox))
			if tt.fault.Kind != "" {
				tt.fault.Operation, tt.fault.User = "read", string(ids[1])
				e.SetFault(tt.fault)
				defer e.ClearFaults()
			}
			check := func(how string, r ooo.ReadResult) {
				t.Helper()
				if r.ID != ids[1] || r.Setting != (ooo.Setting{}) {
					t.Errorf("%s: result = %+v, want only an error", how, r)
				}
				checkError(t, how, r.Err, tt.want)
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
	if got := e.calls("token"); got != 1 {
		t.Errorf("%d logins, want 1", got)
	}
}

// checkError checks that err is want, or an equal Throttled.
func checkError(t *testing.T, what string, err, want error) {
	t.Helper()
	got, waits := errors.AsType[*ooo.Throttled](err)
	if wait, ok := want.(*ooo.Throttled); ok && waits && *got == *wait {
		return
	}
	if waits || !errors.Is(err, want) {
		t.Errorf("%s: error = %v %+v, want %+v", what, err, got, want)
	}
}

const setting = `{"@odata.context":"x","status":"Scheduled","externalAudience":"ALL","internalReplyMessage":"in","externalReplyMessage":"out",` +
	`"scheduledStartDateTime":{"dateTime":"2026-11-24T16:00:00.0000000","timeZone":"UTC"},"scheduledEndDateTime":{"dateTime":"2026-11-25T16:00:00.0000000","timeZone":"UTC"}}`

var mailboxLimit = graphError("ApplicationThrottled", "Application is over its MailboxConcurrency limit.")

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
	"waits":                        {`{"responses":[{"id":"0","status":429,"headers":{"retry-after":"11"},"body":` + mailboxLimit + `},{"id":"1","status":503,"headers":{"Retry-After":12}}]}`, [2]error{&ooo.Throttled{After: 11 * time.Second}, &ooo.Throttled{After: 12 * time.Second, Busy: true}}},
	"wait until a past date":       {`{"responses":[{"id":"0","status":429,"headers":{"Retry-After":"Sun, 01 Nov 2026 12:00:00 GMT"}},{"id":"1","status":500,"headers":{"Retry-After":3}}]}`, [2]error{&ooo.Throttled{After: time.Second}, ooo.ErrUnavailable}},
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
				checkError(t, fmt.Sprintf("result %d", i), r.Err, tt.want[i])
				if r.Err == nil && (r.Setting.Status != ooo.Scheduled || r.Setting.ExternalReply != "out") {
					t.Errorf("result %d = %+v, want the setting", i, r.Setting)
				}
			}
		})
	}
}

func TestAnswersNotFromGraph(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"proxy, 200":  proxyPage(http.StatusOK),
		"empty":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"over 16 MiB": respond(http.StatusOK, setting+strings.Repeat(" ", 16<<20)),
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
		e.SetReplies(string(ids[0]), graphsim.AutomaticRepliesUpdate{ExternalReplyMessage: new("News from " + name)})
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
	e.SetReplies(string(ids[1]), graphsim.AutomaticRepliesUpdate{Status: new("disabled")})
	got, err := c.Presences(t.Context(), []ooo.ObjectID{ids[0], ids[1], "8c1d3b52-0000-4000-8000-000000000000"})
	if want := map[ooo.ObjectID]bool{ids[0]: true, ids[1]: false}; err != nil || !maps.Equal(got, want) {
		t.Errorf("Presences = %v, %v, want %v without the unknown user", got, err, want)
	}
}
