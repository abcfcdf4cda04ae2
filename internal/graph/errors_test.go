package graph_test

import (
	"cmp"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

// exchangeError returns the message of an ExtensionError.
func exchangeError(status, reason string) string {
	return "Operation: Create; Exception: [Status Code: " + status + "; Reason: " + reason + "]"
}

var permission = regexp.MustCompile(`\w+\.Read\w*(\.All)?`)

func TestTranslate(t *testing.T) {
	for name, tt := range map[string]struct {
		operation     string
		status        int
		code, message string
		want          error
		text          string // in the error
	}{
		"read: mailbox on premises":           {"read", 404, "MailboxNotEnabledForRESTAPI", "", ooo.ErrNoMailbox, ""},
		"read: code in another letter case":   {"read", 404, "mailboxnotenabledforrestapi", "", ooo.ErrNoMailbox, ""},
		"read: address without a mailbox":     {"read", 404, "ErrorNonExistentMailbox", "", ooo.ErrNoMailbox, ""},
		"read: unknown object id":             {"read", 404, "ResourceNotFound", "", ooo.ErrUserGone, ""},
		"read: unknown in the directory":      {"read", 404, "Request_ResourceNotFound", "", ooo.ErrUserGone, ""},
		"read: unknown in Exchange":           {"read", 404, "ErrorInvalidUser", "", ooo.ErrUserGone, ""},
		"read: shared mailbox":                {"read", 404, "ErrorItemNotFound", "", ooo.ErrUserGone, ""},
		"read: access policy":                 {"read", 403, "ErrorAccessDenied", "", ooo.ErrDenied, ""},
		"read: no consent":                    {"read", 403, "Authorization_RequestDenied", "", ooo.ErrDenied, "MailboxSettings.Read"},
		"read: unknown 404":                   {"read", 404, "UnknownError", "", ooo.ErrUnavailable, ""},
		"batch: 404":                          {"batch", 404, "ResourceNotFound", "", ooo.ErrUnavailable, ""},
		"directory: no consent":               {"directory", 403, "Authorization_RequestDenied", "", ooo.ErrDenied, "User.Read.All"},
		"presence: no consent":                {"presence", 403, "Authorization_RequestDenied", "", ooo.ErrDenied, "Presence.Read.All"},
		"create: no mailbox":                  {"subscription-create", 404, "MailboxNotEnabledForRESTAPI", "", ooo.ErrNoMailbox, ""},
		"create: no reason for 403":           {"subscription-create", 403, "Forbidden", "", ooo.ErrSubscriptionDenied, "Calendars.Read"},
		"create: no consent":                  {"subscription-create", 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.", ooo.ErrSubscriptionDenied, "consent is missing"},
		"create: access policy":               {"subscription-create", 403, "ErrorAccessDenied", "Access is denied.", ooo.ErrSubscriptionDenied, "access policy excludes"},
		"create: quota":                       {"subscription-create", 403, "Forbidden", "The number of subscriptions has exceeded its quota for ann@contoso.example.", ooo.ErrSubscriptionQuota, "used up"},
		"create: too long by 0 minutes":       {"subscription-create", 400, "ExtensionError", "Subscription expiration can only be 0 minutes in the future.", ooo.ErrRejected, ""},
		"create: Exchange unavailable":        {"subscription-create", 400, "ExtensionError", "Operation: Create; Exception: [Status Code: ServiceUnavailable]", ooo.ErrUnavailable, ""},
		"create: Exchange rejects":            {"subscription-create", 400, "ExtensionError", exchangeError("BadRequest", "Exchange workload is not enabled for rich notifications of ann@contoso.example."), ooo.ErrRejected, "(Exchange workload is not enabled for rich notifications of)"},
		"create: Exchange rejects at length":  {"subscription-create", 400, "ExtensionError", exchangeError("BadRequest", strings.Repeat("reason ", 1000)), ooo.ErrRejected, "reason"},
		"create: Exchange status by number":   {"subscription-create", 400, "ExtensionError", exchangeError("400", ""), ooo.ErrRejected, ""},
		"create: Exchange denies":             {"subscription-create", 400, "ExtensionError", exchangeError("Forbidden", ""), ooo.ErrSubscriptionDenied, ""},
		"create: Exchange denies, outer 500":  {"subscription-create", 500, "ExtensionError", exchangeError("Forbidden", ""), ooo.ErrSubscriptionDenied, ""},
		"create: Exchange 401":                {"subscription-create", 401, "ExtensionError", exchangeError("Unauthorized", ""), ooo.ErrSubscriptionDenied, ""},
		"create: Exchange quota":              {"subscription-create", 400, "ExtensionError", exchangeError("Forbidden", "Subscription limit reached"), ooo.ErrSubscriptionQuota, ""},
		"create: Exchange knows no user":      {"subscription-create", 400, "ExtensionError", exchangeError("NotFound", ""), ooo.ErrUserGone, ""},
		"create: Exchange throttled":          {"subscription-create", 400, "ExtensionError", exchangeError("TooManyRequests", ""), ooo.ErrUnavailable, ""},
		"create: Exchange times out":          {"subscription-create", 400, "ExtensionError", exchangeError("GatewayTimeout", "The operation has timed out"), ooo.ErrUnavailable, ""},
		"create: Exchange, no status":         {"subscription-create", 400, "ExtensionError", "The mailbox is being moved.", ooo.ErrUnavailable, ""},
		"handshake: failed":                   {"subscription-create", 400, "ValidationError", "https://hook.example", ooo.ErrHandshake, "PUBLIC_URL"},
		"handshake: timeout":                  {"subscription-create", 400, "InvalidRequest", "Subscription validation request timed out.", ooo.ErrHandshake, ""},
		"handshake: wrong token":              {"subscription-create", 400, "InvalidRequest", "Response must exactly match validationToken query parameter.", ooo.ErrHandshake, ""},
		"handshake: connection closed":        {"subscription-create", 400, "InvalidRequest", "The underlying connection was closed: An unexpected error occurred on a send.", ooo.ErrHandshake, ""},
		"handshake: no connection":            {"subscription-create", 400, "InvalidRequest", "Unable to connect to the remote server", ooo.ErrHandshake, ""},
		"handshake: unknown host":             {"subscription-create", 400, "InvalidRequest", "The remote name could not be resolved: 'hook.example'", ooo.ErrHandshake, ""},
		"handshake: timeout of the operation": {"subscription-renew", 400, "InvalidRequest", "The operation has timed out", ooo.ErrHandshake, ""},
		"handshake: TLS":                      {"subscription-create", 400, "InvalidRequest", "The SSL connection could not be established, see inner exception.", ooo.ErrHandshake, ""},
		"renew: gone, says Exchange":          {"subscription-renew", 400, "ExtensionError", exchangeError("NotFound", ""), ooo.ErrSubscriptionGone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := graph.Translate(tt.operation, tt.status, graphError(tt.code, tt.message), "", time.Now())
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.code) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Translate = %v, want %v with %s and %q", err, tt.want, tt.code, tt.text)
			}
			if tt.message != "" && strings.Contains(err.Error(), tt.message) || strings.Contains(err.Error(), "ann@") || len(err.Error()) > 400 {
				t.Errorf("Translate = %v, want it short, without Graph's message and addresses", err)
			}
			if names := permission.FindAllString(err.Error(), -1); len(names) > 1 {
				t.Errorf("Translate = %v, want at most one permission", err)
			}
		})
	}
}

// TestTranslateWithoutCode translates statuses that say enough. Only a proxy's answer has a body
// of another form than Graph's.
func TestTranslateWithoutCode(t *testing.T) {
	for _, tt := range []struct {
		operation string
		status    int
		want      error
	}{
		{"subscription-renew", 404, ooo.ErrSubscriptionGone},
		{"subscription-delete", 404, ooo.ErrSubscriptionGone},
		{"subscription-create", 403, ooo.ErrSubscriptionDenied},
		{"read", 403, ooo.ErrDenied},
	} {
		for body, want := range map[string]error{
			"": tt.want, "{}": tt.want, `{"error":{"code":null}}`: tt.want,
			"not found": ooo.ErrUnavailable, `{"message":"no Route matched"}`: ooo.ErrUnavailable,
			`{"status":404,"error":"Not Found"}`: ooo.ErrUnavailable,
		} {
			if err := graph.Translate(tt.operation, tt.status, body, "", time.Now()); !errors.Is(err, want) {
				t.Errorf("Translate for %s of %d %q = %v, want %v", tt.operation, tt.status, body, err, want)
			}
		}
	}
}

func TestTranslateDuplicate(t *testing.T) {
	const id, text = "7f105c7d-2dc5-4530-97cd-4e7ae6534c07", " already exists for the requested combination"
	for _, tt := range []struct {
		status        int
		code, message string
		want          ooo.SubscriptionID
	}{
		{409, "Conflict", "Subscription Id <" + id + ">" + text, id},
		{409, "Conflict", "Subscription Id " + id + text, id},
		{409, "Conflict", "Subscription Id sub-12" + text, "sub-12"},
		{409, "Conflict", "Subscription Id <sub>" + text, "sub"},
		{409, "Conflict", "There is " + id + " already.", id},
		{409, "Conflict", "Subscription Id" + text, ""},
		{409, "ExtensionError", "Subscription Id <" + id + ">" + text, id},
		{400, "ExtensionError", exchangeError("Conflict", "Subscription Id <"+id+">"+text), id},
	} {
		err := graph.Translate("subscription-create", tt.status, graphError(tt.code, tt.message), "", time.Now())
		if d, ok := errors.AsType[*ooo.Duplicate](err); !ok || d.ID != tt.want {
			t.Errorf("Translate of %d %s %q = %v, want Duplicate of %q", tt.status, tt.code, tt.message, err, tt.want)
		}
	}
}

func TestTranslateWaits(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const concurrency = "Application is over its MailboxConcurrency limit."
	for name, tt := range map[string]struct {
		operation           string
		status              int
		code, message, wait string
		after               time.Duration // 0: no wait
		app                 bool
	}{
		"read: limit of the mailbox":   {"read", 429, "ApplicationThrottled", concurrency, "7", 7 * time.Second, false},
		"read: unknown limit":          {"read", 429, "TooManyRequests", "Too many requests", "2", 2 * time.Second, false},
		"read: limit of the app":       {"read", 429, "ApplicationThrottled", "Application is over its Requests limit.", "2", 2 * time.Second, true},
		"read: limit of the tenant":    {"read", 429, "TooManyRequests", "The tenant has sent too many requests.", "2", 2 * time.Second, true},
		"batch: 503":                   {"batch", 503, "ServiceUnavailable", "", "2", 2 * time.Second, true},
		"batch: 429 of a proxy":        {"batch", 429, "", "", "3", 3 * time.Second, true},
		"create: limit of the mailbox": {"subscription-create", 429, "ApplicationThrottled", concurrency, "2", 2 * time.Second, false},
		"read: busy":                   {"read", 503, "ErrorServerBusy", "", "3", 3 * time.Second, false},
		"read: gateway timeout":        {"read", 504, "GatewayTimeout", "", "3", 3 * time.Second, false},
		"no Retry-After":               {"read", 429, "TooManyRequests", "", "", 5 * time.Second, false},
		"date":                         {"read", 429, "TooManyRequests", "", "Tue, 24 Nov 2026 12:01:30 GMT", 90 * time.Second, false},
		"shortest wait":                {"read", 429, "TooManyRequests", "", "0", time.Second, false},
		"longest wait":                 {"read", 429, "TooManyRequests", "", "1e300", time.Hour, false},
		"503 without Retry-After":      {"read", 503, "ServiceUnavailable", "", "", 0, false},
		"500 with Retry-After":         {"read", 500, "InternalServerError", "", "3", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			body := "<html>slow down</html>"
			if tt.code != "" {
				body = graphError(tt.code, tt.message)
			}
			want := ooo.ErrUnavailable
			if tt.after > 0 {
				want = &ooo.Throttled{After: tt.after, WholeApp: tt.app, Busy: tt.status >= 503}
			}
			checkError(t, "Translate", graph.Translate(tt.operation, tt.status, body, tt.wait, now), want)
		})
	}
}

// TestErrorsOfEachCall makes Graph answer all calls with errors, except lone reads, which have
// a test of their own.
func TestErrorsOfEachCall(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 5)
	created, err := c.CreateSubscription(t.Context(), subscriptionRequest(ids[0], newHook(t), time.Hour))
	e.Must(err)
	calls := operations(t.Context(), c, ids, "user0001@contoso.example", "", created.ID)
	delete(calls, "Read of one")
	calls["Read"] = func() error {
		results := c.Read(t.Context(), ids, nil)
		for i, r := range results {
			if r.ID != ids[i] || r.Err == nil || r.Err != results[0].Err {
				t.Errorf("result %d = %+v, want the same error as for the others, for %s", i, r, ids[i])
			}
		}
		return results[0].Err
	}
	calls["Find by filter"] = func() error { _, err := c.Find(t.Context(), "jürgen@contoso.example"); return err }
	calls["Ping"] = func() error { return c.Ping(t.Context()) }
	calls["Presences"] = func() error { _, err := c.Presences(t.Context(), ids); return err }
	denied, gone := ooo.ErrSubscriptionDenied, ooo.ErrSubscriptionGone
	for name, tt := range map[string]struct {
		fault  graphsim.Fault
		want   error
		except map[string]error // instead of want, by call
	}{
		"throttled":        {fault: graphsim.Fault{Kind: "throttle", RetryAfter: graphsim.Duration(9 * time.Second)}, want: &ooo.Throttled{After: 9 * time.Second, WholeApp: true}},
		"503":              {fault: graphsim.Fault{Kind: "status", Status: 503}, want: ooo.ErrUnavailable},
		"connection reset": {fault: graphsim.Fault{Kind: "reset"}, want: ooo.ErrUnavailable},
		"401":              {fault: graphsim.Fault{Kind: "status", Status: 401}, want: ooo.ErrUnauthorized},
		"400":              {fault: graphsim.Fault{Kind: "status", Status: 400}, want: ooo.ErrRejected},
		"403": {fault: graphsim.Fault{Kind: "status", Status: 403, Code: "Authorization_RequestDenied"}, want: ooo.ErrDenied,
			except: map[string]error{"CreateSubscription": denied, "PatchSubscription": denied, "DeleteSubscription": denied, "SubscriptionPage": denied}},
		"404": {fault: graphsim.Fault{Kind: "status", Status: 404, Code: "UnknownError"}, want: ooo.ErrUnavailable,
			except: map[string]error{"PatchSubscription": gone, "DeleteSubscription": gone}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, tt.fault.Operation = range []string{
				"batch", "directory", "presence", "subscription-create", "subscription-renew", "subscription-delete", "subscription-list",
			} {
				e.SetFault(tt.fault)
			}
			defer e.ClearFaults()
			for name, call := range calls {
				checkError(t, name, call(), cmp.Or(tt.except[name], tt.want))
			}
		})
	}
}
