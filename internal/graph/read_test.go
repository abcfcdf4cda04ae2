package graph_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func TestReadsEachMailbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ids := w.users(20)
	tests := map[string]struct {
		ids            []ooo.ObjectID
		lone, together int // requests
	}{
		"nobody":             {ids[:0], 0, 0},
		"one goes alone":     {ids[:1], 1, 0},
		"two go together":    {ids[:2], 0, 1},
		"twenty go together": {ids, 0, 1},
		"the same one twice": {[]ooo.ObjectID{ids[3], ids[4], ids[3]}, 0, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			lone, together := w.seen.of("read", 200), w.seen.of("batch", 200)
			readings := c.Read(t.Context(), tt.ids, nil)
			if len(readings) != len(tt.ids) {
				t.Fatalf("Read gave %d readings, want %d", len(readings), len(tt.ids))
			}
			for i, r := range readings {
				if r.ID != tt.ids[i] || r.Err != nil || r.Setting.ExternalReply != "I am "+string(tt.ids[i]) {
					t.Errorf("reading %d = %+v, want the setting of %s", i, r, tt.ids[i])
				}
			}
			if got := w.seen.of("read", 200) - lone; got != tt.lone {
				t.Errorf("%d GETs, want %d", got, tt.lone)
			}
			if got := w.seen.of("batch", 200) - together; got != tt.together {
				t.Errorf("%d batches, want %d", got, tt.together)
			}
		})
	}
}

// trouble is what may be wrong with one mailbox, and what a read then says.
var troubles = map[string]struct {
	mailbox graphsim.Mailbox
	fault   graphsim.Fault
	want    error
	wait    *ooo.Throttled
}{
	"on premises":               {mailbox: graphsim.Mailbox{Error: "MailboxNotEnabledForRESTAPI"}, want: ooo.ErrNoMailbox},
	"of its own":                {mailbox: graphsim.Mailbox{Error: "UnknownError"}, want: ooo.ErrUnauthorized},
	"gone":                      {mailbox: graphsim.Mailbox{Error: "ResourceNotFound"}, want: ooo.ErrUserGone},
	"outside the policy":        {mailbox: graphsim.Mailbox{Error: "ErrorAccessDenied"}, want: ooo.ErrDenied},
	"busy":                      {mailbox: graphsim.Mailbox{Error: "ErrorServerBusy"}, want: ooo.ErrUnavailable},
	"with a new kind of status": {mailbox: graphsim.Mailbox{Body: []byte(`{"status":"sabbatical"}`)}, want: ooo.ErrBadSetting},
	"broken":                    {fault: graphsim.Fault{Kind: "status", Status: 500}, want: ooo.ErrUnavailable},
	"behind a slow gateway":     {fault: graphsim.Fault{Kind: "status", Status: 504}, want: ooo.ErrUnavailable},
	"cut off":                   {fault: graphsim.Fault{Kind: "reset"}, want: ooo.ErrUnavailable},
	"throttled": {
		fault: graphsim.Fault{Kind: "throttle", RetryAfter: graphsim.Duration(7 * time.Second)},
		wait:  &ooo.Throttled{After: 7 * time.Second}},
	"throttled by Outlook's name": {
		fault: graphsim.Fault{Kind: "throttle", Code: "MailboxConcurrency"},
		wait:  &ooo.Throttled{After: time.Second}},
	"throttled for no named time": {
		fault: graphsim.Fault{Kind: "throttle", RetryAfter: -1},
		wait:  &ooo.Throttled{After: 5 * time.Second}},
	"throttled with the whole tenant": {
		fault: graphsim.Fault{Kind: "throttle", Code: "TenantThrottled", RetryAfter: graphsim.Duration(3 * time.Second)},
		wait:  &ooo.Throttled{After: 3 * time.Second, WholeApp: true}},
	"busy and asking to wait": {
		fault: graphsim.Fault{Kind: "status", Status: 503, RetryAfter: graphsim.Duration(4 * time.Second)},
		wait:  &ooo.Throttled{After: 4 * time.Second}},
}

func TestOneMailboxInTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ids := w.users(3)
	for name, tt := range troubles {
		t.Run(name, func(t *testing.T) {
			w.mailbox(ids[1], tt.mailbox)
			defer w.mailbox(ids[1], graphsim.Mailbox{})
			if tt.fault.Kind != "" {
				tt.fault.Operation, tt.fault.User = "read", string(ids[1])
				w.fault(tt.fault)
				defer w.ClearFaults()
			}
			check := func(how string, r ooo.ReadResult) {
				t.Helper()
				if r.ID != ids[1] || r.Setting != (ooo.Setting{}) {
					t.Errorf("%s: reading = %+v, want only an error", how, r)
				}
				expect(t, how, r.Err, tt.want, tt.wait)
			}
			check("alone", c.Read(t.Context(), ids[1:2], nil)[0])
			readings := c.Read(t.Context(), ids, nil)
			check("in a batch", readings[1])
			for _, i := range []int{0, 2} {
				if readings[i].Err != nil || readings[i].Setting.Status != ooo.AlwaysEnabled {
					t.Errorf("neighbour %d = %+v, want its setting", i, readings[i])
				}
			}
		})
	}
}

// expect says what is wrong with err: it must be a wait like wait, or else want.
func expect(t *testing.T, what string, err, want error, wait *ooo.Throttled) {
	t.Helper()
	got, waits := errors.AsType[*ooo.Throttled](err)
	switch {
	case wait != nil && (!waits || *got != *wait):
		t.Errorf("%s: error = %v %+v, want a wait like %+v", what, err, got, *wait)
	case wait == nil && (waits || !errors.Is(err, want)):
		t.Errorf("%s: error = %v, want %v", what, err, want)
	}
}

func TestAReadEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ids := w.users(2)
	w.fault(graphsim.Fault{Operation: "all", Kind: "hang"})
	for _, some := range [][]ooo.ObjectID{ids[:1], ids} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan []ooo.ReadResult)
		go func() { done <- c.Read(ctx, some, nil) }()
		cancel()
		for _, r := range <-done {
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
	"in order":                         {`{"responses":[{"id":"0","status":200,"body":` + setting + `},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{}},
	"in the other order":               {`{"responses":[{"id":"1","status":404,"body":` + graphError("ResourceNotFound", "") + `},{"id":"0","status":200,"body":` + setting + `}]}`, [2]error{nil, ooo.ErrUserGone}},
	"one is missing":                   {`{"responses":[{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{ooo.ErrUnavailable, nil}},
	"all are missing":                  {`{"responses":[]}`, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"an empty object":                  {`{}`, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"null":                             {`null`, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"a list":                           {`[]`, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"cut off":                          {`{"responses":[{"id":"0","status":200,"body":` + setting, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"empty":                            {``, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"with strangers":                   {`{"responses":[null,{"id":"2","status":200},{"id":"-1","status":200},{"id":"x"},{"id":"1","status":200,"body":` + setting + `},{"id":"0","status":200,"body":` + setting + `}]}`, [2]error{}},
	"twice, then the first counts":     {`{"responses":[{"id":"0","status":200,"body":` + setting + `},{"id":"0","status":500},{"id":"1","status":500},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{nil, ooo.ErrUnavailable}},
	"with a number in a header":        {`{"responses":[{"id":"0","status":500,"headers":{"Retry-After":3}},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{ooo.ErrUnavailable, nil}},
	"with a status in words":           {`{"responses":[{"id":"0","status":"ok","body":` + setting + `},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{ooo.ErrUnavailable, nil}},
	"a setting in base64":              {`{"responses":[{"id":"0","status":200,"body":"eyJzdGF0dXMiOiJkaXNhYmxlZCJ9"},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{ooo.ErrUnavailable, nil}},
	"a setting of null":                {`{"responses":[{"id":"0","status":200,"body":null},{"id":"1","status":200}]}`, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"an error without a body":          {`{"responses":[{"id":"0","status":404},{"id":"1","status":403}]}`, [2]error{ooo.ErrUnavailable, ooo.ErrUnavailable}},
	"a setting that makes no sense":    {`{"responses":[{"id":"0","status":200,"body":{"status":"away"}},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{ooo.ErrBadSetting, nil}},
	"names spelled with other letters": {`{"Responses":[{"ID":"0","Status":200,"Body":` + setting + `},{"id":"1","status":200,"body":` + setting + `}]}`, [2]error{}},
}

func TestUnderstandsAnswersToABatch(t *testing.T) {
	t.Parallel()
	for name, tt := range batchAnswers {
		t.Run(name, func(t *testing.T) {
			c := newStub(t, answers(http.StatusOK, tt.answer)).client(t)
			for i, r := range c.Read(t.Context(), []ooo.ObjectID{"a", "b"}, nil) {
				switch {
				case !errors.Is(r.Err, tt.want[i]):
					t.Errorf("reading %d: error = %v, want %v", i, r.Err, tt.want[i])
				case r.Err == nil && (r.Setting.Status != ooo.Scheduled || r.Setting.ExternalReply != "out"):
					t.Errorf("reading %d = %+v, want the setting", i, r.Setting)
				}
			}
		})
	}
}

func TestHonoursInnerWaits(t *testing.T) {
	t.Parallel()
	s := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		at := time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat)
		answerJSON(w, http.StatusOK, `{"responses":[{"id":"1","status":429,"headers":{"retry-after":"11"},"body":`+graphError("ApplicationThrottled", "Application is over its MailboxConcurrency limit.")+
			`},{"id":"0","status":429,"headers":{"Retry-After":"`+at+`"}},{"id":"2","status":200,"body":`+setting+`}]}`)
	})
	readings := s.client(t).Read(t.Context(), []ooo.ObjectID{"a", "b", "c"}, nil)
	expect(t, "in seconds", readings[1].Err, nil, &ooo.Throttled{After: 11 * time.Second})
	if wait, ok := errors.AsType[*ooo.Throttled](readings[0].Err); !ok || wait.After < 8*time.Minute || wait.After > 10*time.Minute || wait.WholeApp {
		t.Errorf("until a date: error = %v, want a wait of some ten minutes", readings[0].Err)
	}
	if readings[2].Err != nil {
		t.Errorf("the third: error = %v, want none", readings[2].Err)
	}
}

func TestWhatIsNotGraphsSaysNothing(t *testing.T) {
	t.Parallel()
	huge := make([]byte, 1<<20)
	answers := map[string]http.HandlerFunc{
		"a page":            page(http.StatusOK),
		"a page, not found": page(http.StatusNotFound),
		"a page, forbidden": page(http.StatusForbidden),
		"nothing":           func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"an endless answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 18 {
				if _, err := w.Write(huge); err != nil {
					return
				}
			}
		},
		"an answer that breaks off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"status":"disabled"`))
			panic(http.ErrAbortHandler)
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

func TestAKnownAnswerIsNotDecodedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c, all := w.client(), w.users(4)
	for name, ids := range map[string][]ooo.ObjectID{"alone": all[:1], "together": all[1:]} {
		known := make([]ooo.Digest, len(ids))
		for i, r := range c.Read(t.Context(), ids, known) {
			if r.Unchanged || r.Setting.Status == "" {
				t.Fatalf("%s: first reading = %+v, want the setting", name, r)
			}
			known[i] = r.Digest
		}
		for _, r := range c.Read(t.Context(), ids, known) {
			if r.Err != nil || !r.Unchanged || r.Setting != (ooo.Setting{}) {
				t.Errorf("%s: second reading = %+v, want it to be the same", name, r)
			}
		}
		w.change(ids[0], graphsim.AutomaticRepliesUpdate{ExternalReplyMessage: new("News from " + name)})
		for i, r := range c.Read(t.Context(), ids, known) {
			if r.Err != nil || r.Unchanged != (i > 0) || (i == 0) != (r.Setting.ExternalReply == "News from "+name) {
				t.Errorf("%s: reading %d after a change = %+v, want only the first to differ", name, i, r)
			}
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	for _, tt := range batchAnswers {
		f.Add([]byte(tt.answer), 2)
	}
	f.Fuzz(func(t *testing.T, answer []byte, count int) {
		readings := make([]ooo.ReadResult, max(count%21, 1))
		for i := range readings {
			readings[i].ID = ooo.ObjectID(fmt.Sprint(i))
		}
		err := graph.DecodeBatch(answer, readings)
		if err != nil && !errors.Is(err, ooo.ErrUnavailable) {
			t.Errorf("DecodeBatch = %v, want %v", err, ooo.ErrUnavailable)
		}
		for i, r := range readings {
			if r.ID != ooo.ObjectID(fmt.Sprint(i)) {
				t.Errorf("reading %d is of %s", i, r.ID)
			}
			if err == nil && r.Err == nil && r.Setting.Status == "" {
				t.Errorf("reading %d has neither setting nor error", i)
			}
			if r.Err != nil && r.Setting != (ooo.Setting{}) {
				t.Errorf("reading %d has both: %+v", i, r)
			}
		}
	})
}
