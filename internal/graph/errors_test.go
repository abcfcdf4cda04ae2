package graph_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

const existing = "7f105c7d-2dc5-4530-97cd-4e7ae6534c07"

func TestTranslatesRefusals(t *testing.T) {
	tests := map[string]struct {
		about         string
		status        int
		code, message string
		want          error
	}{
		"a mailbox on premises has none":                {"read", 404, "MailboxNotEnabledForRESTAPI", "", ooo.ErrNoMailbox},
		"a code counts in any letter case":              {"read", 404, "mailboxnotenabledforrestapi", "", ooo.ErrNoMailbox},
		"an address without a mailbox has none":         {"read", 404, "ErrorNonExistentMailbox", "", ooo.ErrNoMailbox},
		"an unknown object id is gone":                  {"read", 404, "ResourceNotFound", "", ooo.ErrUserGone},
		"an object id the directory lost is gone":       {"read", 404, "Request_ResourceNotFound", "", ooo.ErrUserGone},
		"a user Exchange does not know is gone":         {"read", 404, "ErrorInvalidUser", "", ooo.ErrUserGone},
		"a shared mailbox's item that is not found":     {"read", 404, "ErrorItemNotFound", "", ooo.ErrUserGone},
		"a mailbox outside the policy is denied":        {"read", 403, "ErrorAccessDenied", "", ooo.ErrDenied},
		"missing consent to mailboxes is denied":        {"read", 403, "Authorization_RequestDenied", "", ooo.ErrDenied},
		"a refused token is unauthorized":               {"read", 401, "InvalidAuthenticationToken", "", ooo.ErrUnauthorized},
		"a malformed read is rejected":                  {"read", 400, "BadRequest", "", ooo.ErrRejected},
		"a busy server is unavailable":                  {"read", 503, "ErrorServerBusy", "", ooo.ErrUnavailable},
		"a moving mailbox is unavailable":               {"read", 503, "ErrorMailboxMoveInProgress", "", ooo.ErrUnavailable},
		"an unknown 404 is unavailable":                 {"read", 404, "UnknownError", "", ooo.ErrUnavailable},
		"a 404 without a code is a proxy's":             {"read", 404, "", "", ooo.ErrUnavailable},
		"a 403 without a code is a proxy's":             {"read", 403, "", "", ooo.ErrUnavailable},
		"a failed dependency is unavailable":            {"read", 424, "FailedDependency", "", ooo.ErrUnavailable},
		"a redirect is unavailable":                     {"read", 302, "", "", ooo.ErrUnavailable},
		"a 404 of a whole batch says nothing of a user": {"batch", 404, "ResourceNotFound", "", ooo.ErrUnavailable},
		"a batch may be denied":                         {"batch", 403, "Authorization_RequestDenied", "", ooo.ErrDenied},
		"a batch may be rejected":                       {"batch", 400, "BadRequest", "", ooo.ErrRejected},
		"a person may be missing":                       {"directory", 404, "Request_ResourceNotFound", "", ooo.ErrNotInDirectory},
		"a proxy's 404 says nothing of a person":        {"directory", 404, "", "", ooo.ErrUnavailable},
		"missing consent to the directory is denied":    {"directory", 403, "Authorization_RequestDenied", "", ooo.ErrDenied},
		"a bad filter is rejected":                      {"directory", 400, "Request_UnsupportedQuery", "", ooo.ErrRejected},
		"a creation finds no user":                      {"subscription-create", 404, "ResourceNotFound", "", ooo.ErrUserGone},
		"a creation finds no mailbox":                   {"subscription-create", 404, "MailboxNotEnabledForRESTAPI", "", ooo.ErrNoMailbox},
		"a creation can't reach us":                     {"subscription-create", 400, "ValidationError", "", ooo.ErrHandshake},
		"a creation times out at our side":              {"subscription-create", 400, "InvalidRequest", "Subscription validation request timed out.", ooo.ErrHandshake},
		"a creation hears the wrong echo":               {"subscription-create", 400, "InvalidRequest", "Response must exactly match validationToken query parameter.", ooo.ErrHandshake},
		"a creation is malformed":                       {"subscription-create", 400, "InvalidRequest", "The property 'changeType' is required.", ooo.ErrRejected},
		"Exchange fails a creation":                     {"subscription-create", 400, "ExtensionError", "Operation: Create; Exception: [Status Code: ServiceUnavailable]", ooo.ErrUnavailable},
		"Exchange rejects a creation":                   {"subscription-create", 400, "ExtensionError", exchange("BadRequest", ""), ooo.ErrRejected},
		"Exchange rejects a creation by number":         {"subscription-create", 400, "ExtensionError", exchange("400", ""), ooo.ErrRejected},
		"Exchange denies a creation":                    {"subscription-create", 400, "ExtensionError", exchange("Forbidden", ""), ooo.ErrSubscriptionDenied},
		"Exchange denies it with another status":        {"subscription-create", 500, "ExtensionError", exchange("Forbidden", ""), ooo.ErrSubscriptionDenied},
		"Exchange takes no login for this mailbox":      {"subscription-create", 401, "ExtensionError", exchange("Unauthorized", ""), ooo.ErrSubscriptionDenied},
		"Exchange has a used up quota":                  {"subscription-create", 400, "ExtensionError", exchange("Forbidden", "Subscription limit reached"), ooo.ErrSubscriptionQuota},
		"Exchange finds no user":                        {"subscription-create", 400, "ExtensionError", exchange("NotFound", ""), ooo.ErrUserGone},
		"Exchange finds no subscription":                {"subscription-renew", 400, "ExtensionError", exchange("NotFound", ""), ooo.ErrSubscriptionGone},
		"Exchange rejects a renewal":                    {"subscription-renew", 400, "ExtensionError", exchange("BadRequest", ""), ooo.ErrRejected},
		"Exchange is throttled":                         {"subscription-create", 400, "ExtensionError", exchange("TooManyRequests", ""), ooo.ErrUnavailable},
		"Exchange runs out of time":                     {"subscription-create", 400, "ExtensionError", exchange("GatewayTimeout", "The operation has timed out"), ooo.ErrUnavailable},
		"Exchange says something else":                  {"subscription-create", 400, "ExtensionError", "The mailbox is being moved.", ooo.ErrUnavailable},
		"our connection was closed":                     {"subscription-create", 400, "InvalidRequest", "The underlying connection was closed: An unexpected error occurred on a send.", ooo.ErrHandshake},
		"our server can't be connected to":              {"subscription-create", 400, "InvalidRequest", "Unable to connect to the remote server", ooo.ErrHandshake},
		"our name is unknown":                           {"subscription-create", 400, "InvalidRequest", "The remote name could not be resolved: 'hook.example'", ooo.ErrHandshake},
		"our answer takes too long":                     {"subscription-create", 400, "InvalidRequest", "The operation has timed out", ooo.ErrHandshake},
		"our certificate is not trusted":                {"subscription-create", 400, "InvalidRequest", "The SSL connection could not be established, see inner exception.", ooo.ErrHandshake},
		"our new URL can't be reached":                  {"subscription-renew", 400, "InvalidRequest", "The operation has timed out", ooo.ErrHandshake},
		"a creation is denied":                          {"subscription-create", 403, "ErrorAccessDenied", "", ooo.ErrSubscriptionDenied},
		"a creation fails inside":                       {"subscription-create", 500, "InternalServerError", "", ooo.ErrUnavailable},
		"a renewal finds nothing":                       {"subscription-renew", 404, "ResourceNotFound", "", ooo.ErrSubscriptionGone},
		"a proxy's 404 loses no subscription":           {"subscription-renew", 404, "", "", ooo.ErrUnavailable},
		"a renewal is rejected":                         {"subscription-renew", 400, "InvalidRequest", "", ooo.ErrRejected},
		"a listing finds nothing":                       {"subscription-list", 404, "ResourceNotFound", "", ooo.ErrUnavailable},
		"a listing is denied":                           {"subscription-list", 403, "Forbidden", "", ooo.ErrSubscriptionDenied},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			body := "<html>not found</html>"
			if tt.code != "" {
				body = graphError(tt.code, tt.message)
			}
			err := graph.Meaning(tt.about, tt.status, body, "", time.Now())
			if !errors.Is(err, tt.want) {
				t.Errorf("Meaning = %v, want %v", err, tt.want)
			}
			if tt.code != "" && !strings.Contains(err.Error(), tt.code) {
				t.Errorf("Meaning = %q, want the code %s in it", err, tt.code)
			}
			if tt.message != "" && strings.Contains(err.Error(), tt.message) {
				t.Errorf("Meaning = %q, want Graph's message kept out", err)
			}
		})
	}
}

// exchange is the message of an ExtensionError.
func exchange(status, reason string) string {
	return "Operation: Create; Exception: [Status Code: " + status + "; Reason: " + reason + "]"
}

func TestTranslatesWhatCarriesData(t *testing.T) {
	double := graph.Meaning("subscription-create", 409, graphError("Conflict", "Subscription Id <"+existing+"> already exists for the requested combination"), "", time.Now())
	if d, ok := errors.AsType[*ooo.Duplicate](double); !ok || d.ID != existing {
		t.Errorf("Meaning of a 409 = %v, want Duplicate of %s", double, existing)
	}
	nameless := graph.Meaning("subscription-create", 409, graphError("Conflict", "It exists."), "", time.Now())
	if d, ok := errors.AsType[*ooo.Duplicate](nameless); !ok || d.ID != "" {
		t.Errorf("Meaning of a 409 without an id = %v, want Duplicate of none", nameless)
	}
	for _, about := range []string{"subscription-create", "subscription-renew"} {
		long := graph.Meaning(about, 400, graphError("ExtensionError", exchange("BadRequest", "Subscription expiration can only be 4230 minutes in the future.")), "", time.Now())
		if l, ok := errors.AsType[*ooo.LifetimeTooLong](long); !ok || l.Max != 4230*time.Minute {
			t.Errorf("Meaning of too long a life for a %s = %v, want TooLong of 70h30m", about, long)
		}
	}
	none := graph.Meaning("subscription-create", 400, graphError("ExtensionError", "Subscription expiration can only be 0 minutes in the future."), "", time.Now())
	if !errors.Is(none, ooo.ErrRejected) {
		t.Errorf("Meaning of a limit of 0 = %v, want %v", none, ooo.ErrRejected)
	}
}

// What Graph says is shown only where it helps, and never an address.
func TestSaysWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		operation string
		status    int
		code      string
		message   string
		is        error
		want      string
	}{
		"Exchange's reason": {"subscription-create", 400, "ExtensionError",
			exchange("BadRequest", "Exchange workload is not enabled for rich notifications of ann@contoso.example."),
			ooo.ErrRejected, "(Exchange workload is not enabled for rich notifications of)"},
		"a long reason": {"subscription-create", 400, "ExtensionError", exchange("BadRequest", strings.Repeat("reason ", 1000)),
			ooo.ErrRejected, "reason"},
		"a used up quota": {"subscription-create", 403, "Forbidden", "The number of subscriptions has exceeded its quota for ann@contoso.example.",
			ooo.ErrSubscriptionQuota, "used up"},
		"missing consent": {"subscription-create", 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.",
			ooo.ErrSubscriptionDenied, "consent is missing"},
		"an access policy":         {"subscription-create", 403, "ErrorAccessDenied", "Access is denied.", ooo.ErrSubscriptionDenied, "access policy excludes"},
		"the right of a read":      {"read", 403, "Authorization_RequestDenied", "", ooo.ErrDenied, "MailboxSettings.Read"},
		"the right of a batch":     {"batch", 403, "Authorization_RequestDenied", "", ooo.ErrDenied, "MailboxSettings.Read"},
		"the right of a look-up":   {"directory", 403, "Authorization_RequestDenied", "", ooo.ErrDenied, "User.Read.All"},
		"the right for presence":   {"presence", 403, "Authorization_RequestDenied", "", ooo.ErrDenied, "Presence.Read.All"},
		"no reachable PUBLIC_URL":  {"subscription-create", 400, "ValidationError", "https://hook.example", ooo.ErrHandshake, "PUBLIC_URL"},
		"what Graph does not tell": {"subscription-create", 403, "Forbidden", "", ooo.ErrSubscriptionDenied, "Calendars.Read"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := graph.Meaning(tt.operation, tt.status, graphError(tt.code, tt.message), "", time.Now())
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Meaning = %v, want %v with %q", err, tt.is, tt.want)
			}
			if strings.Contains(err.Error(), "ann@") || strings.Contains(err.Error(), "hook.example") || len(err.Error()) > 400 {
				t.Errorf("Meaning = %v, want it short, without an address", err)
			}
			if rights := anyRight.FindAllString(err.Error(), -1); len(rights) > 1 {
				t.Errorf("Meaning = %v, want one right at most", err)
			}
		})
	}
}

var anyRight = regexp.MustCompile(`\w+\.Read\w*(\.All)?`)

func TestTranslatesWaits(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const concurrency = "Application is over its MailboxConcurrency limit."
	tests := map[string]struct {
		about               string
		status              int
		code, message, wait string
		after               time.Duration // 0: no wait
		whole               bool
	}{
		"a mailbox waits alone":                       {"read", 429, "ApplicationThrottled", concurrency, "7", 7 * time.Second, false},
		"a mailbox waits alone if nothing is said":    {"read", 429, "TooManyRequests", "Too many requests", "2", 2 * time.Second, false},
		"all wait if the app is over its limit":       {"read", 429, "ApplicationThrottled", "Application is over its Requests limit.", "2", 2 * time.Second, true},
		"all wait if the tenant is over its limit":    {"read", 429, "TooManyRequests", "The tenant has sent too many requests.", "2", 2 * time.Second, true},
		"all wait if a batch is refused":              {"batch", 429, "TooManyRequests", "Too many requests", "2", 2 * time.Second, true},
		"all wait if a batch is refused with 503":     {"batch", 503, "ServiceUnavailable", "", "2", 2 * time.Second, true},
		"all wait if the directory asks for it":       {"directory", 429, "TooManyRequests", "", "2", 2 * time.Second, true},
		"all wait if a creation is refused":           {"subscription-create", 429, "TooManyRequests", "", "2", 2 * time.Second, true},
		"a mailbox's limit stops no others' creation": {"subscription-create", 429, "ApplicationThrottled", concurrency, "2", 2 * time.Second, false},
		"a busy mailbox waits alone":                  {"read", 503, "ErrorServerBusy", "", "3", 3 * time.Second, false},
		"a timeout at a gateway may ask to wait":      {"read", 504, "GatewayTimeout", "", "3", 3 * time.Second, false},
		"a proxy may ask to wait":                     {"batch", 429, "", "", "3", 3 * time.Second, true},
		"no time is named":                            {"read", 429, "TooManyRequests", "", "", 5 * time.Second, false},
		"nonsense is no time":                         {"read", 429, "TooManyRequests", "", "soon", 5 * time.Second, false},
		"a date is a time":                            {"read", 429, "TooManyRequests", "", "Tue, 24 Nov 2026 12:01:30 GMT", 90 * time.Second, false},
		"a date may have passed":                      {"read", 429, "TooManyRequests", "", "Tue, 24 Nov 2026 11:00:00 GMT", time.Second, false},
		"no wait is still one":                        {"read", 429, "TooManyRequests", "", "0", time.Second, false},
		"a negative wait is still one":                {"read", 429, "TooManyRequests", "", "-4", time.Second, false},
		"parts of a second count":                     {"read", 429, "TooManyRequests", "", "1.5", 1500 * time.Millisecond, false},
		"a wait has an end":                           {"read", 429, "TooManyRequests", "", "1e300", time.Hour, false},
		"what is no number is no time":                {"read", 429, "TooManyRequests", "", "NaN", 5 * time.Second, false},
		"a 503 without a time is no wait":             {"read", 503, "ServiceUnavailable", "", "", 0, false},
		"a 500 with a time is no wait":                {"read", 500, "InternalServerError", "", "3", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			body := "<html>slow down</html>"
			if tt.code != "" {
				body = graphError(tt.code, tt.message)
			}
			err := graph.Meaning(tt.about, tt.status, body, tt.wait, now)
			wait, ok := errors.AsType[*ooo.Throttled](err)
			if tt.after == 0 {
				if ok || !errors.Is(err, ooo.ErrUnavailable) {
					t.Errorf("Meaning = %v, want %v and no wait", err, ooo.ErrUnavailable)
				}
				return
			}
			if !ok || wait.After != tt.after || wait.WholeApp != tt.whole {
				t.Errorf("Meaning = %v %+v, want a wait of %v, whole app %v", err, wait, tt.after, tt.whole)
			}
		})
	}
}

// TestEachCallRefused has Graph refuse all calls but lone reads, creations and deletions
// in a way of their own, which are tested with them.
func TestEachCallRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ids := w.users(5)
	made, err := c.CreateSubscription(t.Context(), wanted(ids[0], newHook(t).URL, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	calls := acts(t.Context(), c, ids, "user0001@contoso.example", "", made.ID)
	delete(calls, "Read of one")
	delete(calls, "CreateSubscription")
	calls["Read"] = func() error {
		readings := c.Read(t.Context(), ids, nil)
		for i, r := range readings {
			if r.ID != ids[i] || r.Err == nil || r.Err != readings[0].Err {
				t.Errorf("reading %d = %+v, want the error of all for %s", i, r, ids[i])
			}
		}
		return readings[0].Err
	}
	for call, address := range map[string]string{"Find": "user0001@contoso.example", "Find by filter": "jürgen@contoso.example"} {
		calls[call] = func() error {
			person, err := c.Find(t.Context(), address)
			if person != (ooo.Person{}) {
				t.Errorf("%s = %+v, want nobody", call, person)
			}
			return err
		}
	}
	calls["SubscriptionPages"] = func() error {
		for listed, err := range c.SubscriptionPages(t.Context()) {
			if len(listed) > 0 {
				t.Errorf("SubscriptionPages = %+v, want an error alone", listed)
			}
			return err
		}
		return errors.New("no page and no error")
	}
	calls["Presences"] = func() error { _, err := c.Presences(t.Context(), ids); return err }
	denied, gone := ooo.ErrSubscriptionDenied, ooo.ErrSubscriptionGone
	tests := map[string]struct {
		fault graphsim.Fault
		want  error // nil: wait
		wait  *ooo.Throttled
		but   map[string]error // what it is for other calls
	}{
		"throttled":           {fault: graphsim.Fault{Kind: "throttle", RetryAfter: graphsim.Duration(9 * time.Second)}, wait: &ooo.Throttled{After: 9 * time.Second, WholeApp: true}},
		"throttled, no time":  {fault: graphsim.Fault{Kind: "throttle", RetryAfter: -1}, wait: &ooo.Throttled{After: 5 * time.Second, WholeApp: true}},
		"overloaded":          {fault: graphsim.Fault{Kind: "status", Status: 503, RetryAfter: graphsim.Duration(6 * time.Second)}, wait: &ooo.Throttled{After: 6 * time.Second, WholeApp: true}},
		"down":                {fault: graphsim.Fault{Kind: "status", Status: 503}, want: ooo.ErrUnavailable},
		"broken":              {fault: graphsim.Fault{Kind: "status", Status: 500}, want: ooo.ErrUnavailable},
		"the connection dies": {fault: graphsim.Fault{Kind: "reset"}, want: ooo.ErrUnavailable},
		"token never good":    {fault: graphsim.Fault{Kind: "status", Status: 401}, want: ooo.ErrUnauthorized},
		"rejected":            {fault: graphsim.Fault{Kind: "status", Status: 400}, want: ooo.ErrRejected},
		"denied": {fault: graphsim.Fault{Kind: "status", Status: 403, Code: "Authorization_RequestDenied"}, want: ooo.ErrDenied,
			but: map[string]error{"PatchSubscription": denied, "DeleteSubscription": denied, "SubscriptionPages": denied}},
		"not found": {fault: graphsim.Fault{Kind: "status", Status: 404, Code: "UnknownError"}, want: ooo.ErrUnavailable,
			but: map[string]error{"PatchSubscription": gone, "DeleteSubscription": gone}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, tt.fault.Operation = range []string{
				"batch", "directory", "presence", "subscription-renew", "subscription-delete", "subscription-list",
			} {
				w.fault(tt.fault)
			}
			defer w.ClearFaults()
			for call, act := range calls {
				want := tt.want
				if other, ok := tt.but[call]; ok {
					want = other
				}
				expect(t, call, act(), want, tt.wait)
			}
		})
	}
}
