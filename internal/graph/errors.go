package graph

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// apiError is what Graph answers instead of what it was asked for, alone or inside a
// $batch. Its text is the status and the code: the message may name people.
type apiError struct {
	status     int
	code       string        // Graph's; empty if it gave none, as a proxy does
	message    string        // never shown
	retryAfter time.Duration // 0: Graph does not ask to wait
}

// newAPIError reads an error body and a Retry-After. now is the time at which they
// were sent.
func newAPIError(status int, body []byte, retryAfter string, now time.Time) *apiError {
	e := &apiError{status: status}
	e.retryAfter, _ = schedule.RetryAfter(retryAfter, now, leastWait, mostWait)
	var answer struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil && codeForm.MatchString(answer.Error.Code) {
		e.code, e.message = answer.Error.Code, answer.Error.Message
	}
	return e
}

// hasCode reports whether Graph's code is one of those, which are separated by bars, in any
// letter case.
func (e *apiError) hasCode(codes string) bool {
	for code := range strings.SplitSeq(codes, "|") {
		if strings.EqualFold(code, e.code) {
			return true
		}
	}
	return false
}

var codeForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,80}$`)

func (e *apiError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("Graph answered %d %s %s", e.status, e.code, e.exchange()))
}

// Waits that Graph asks for.
const (
	unnamedWait = 5 * time.Second // a 429 that does not say how long
	leastWait   = time.Second     // "0", or a date that has passed
	mostWait    = time.Hour       // a number beyond it is a mistake
)

// extensionError is Graph's code for an answer of Exchange, which its message holds:
// "Operation: Create; Exception: [Status Code: BadRequest; Reason: ...]".
const extensionError = "ExtensionError"

var (
	exchangeText = regexp.MustCompile(`(?i)status code:?\s*(\w{1,40})`)
	reasonText   = regexp.MustCompile(`(?i)reason:\s*([^\]]+)`)
)

// exchange returns the status of Exchange in an ExtensionError, such as BadRequest or
// 400; empty if there is none.
func (e *apiError) exchange() string {
	found := exchangeText.FindStringSubmatch(e.message)
	if !e.hasCode(extensionError) || found == nil {
		return ""
	}
	return found[1]
}

// exchangeStatuses are the statuses of Exchange that count instead of Graph's. Its 401
// is about the mailbox, not about the token. What is not here is mostly transient.
var exchangeStatuses = map[string]int{
	"badrequest": http.StatusBadRequest, "400": http.StatusBadRequest,
	"unauthorized": http.StatusForbidden, "401": http.StatusForbidden,
	"forbidden": http.StatusForbidden, "403": http.StatusForbidden,
	"notfound": http.StatusNotFound, "404": http.StatusNotFound, "gone": http.StatusNotFound, "410": http.StatusNotFound,
}

// effective returns the status that counts.
func (e *apiError) effective() int {
	if !e.hasCode(extensionError) {
		return e.status
	}
	return cmp.Or(exchangeStatuses[strings.ToLower(e.exchange())], http.StatusServiceUnavailable)
}

// unknownError is Graph's code where a mailbox of its own answers 401 although the
// token is good.
const unknownError = "UnknownError"

// refusesToken reports whether err is a 401 that is about the token.
func refusesToken(err error) bool {
	e, ok := errors.AsType[*apiError](err)
	return ok && e.effective() == http.StatusUnauthorized && !e.hasCode(unknownError)
}

// fromGateway reports whether a gateway answered because it could not reach Graph.
func (e *apiError) fromGateway() bool {
	return e.status == http.StatusBadGateway || e.status == http.StatusGatewayTimeout || e.status == http.StatusRequestTimeout
}

// translate says what e means for an operation.
func (e *apiError) translate(op operation) error { return fmt.Errorf("%w: %w", e.meaning(op), e) }

func (e *apiError) meaning(op operation) error {
	switch {
	case e.status == http.StatusTooManyRequests:
		return &ooo.Throttled{After: cmp.Or(e.retryAfter, unnamedWait), WholeApp: e.whole(op)}
	case (e.status == http.StatusServiceUnavailable || e.status == http.StatusGatewayTimeout) && e.retryAfter > 0:
		return &ooo.Throttled{After: e.retryAfter, WholeApp: e.whole(op)}
	case e.effective() == http.StatusUnauthorized:
		return ooo.ErrUnauthorized
	case e.code == "" || e.status < 400: // a proxy's, or no refusal of Graph's
		return ooo.ErrUnavailable
	}
	for _, m := range meanings {
		switch {
		case m.of != nil && !slices.Contains(m.of, op),
			m.status != 0 && m.status != e.effective(),
			m.code != "" && !e.hasCode(m.code),
			m.says != nil && !m.says.MatchString(e.message):
		case m.with != nil:
			return m.with(e)
		default:
			return m.err
		}
	}
	return ooo.ErrUnavailable
}

var (
	aMailbox        = []operation{opRead, opCreate} // by its object id
	aSubscription   = []operation{opRenew, opDelete}
	anySubscription = []operation{opCreate, opRenew, opDelete, opList}
	aPerson         = []operation{opDirectory}
	aPresence       = []operation{opPresence}
)

// meanings say what Graph's answers mean. The first row that fits counts; what fits
// none is [ooo.ErrUnavailable].
var meanings = []struct {
	of     []operation           // nil: any
	status int                   // the effective one; 0: any
	code   string                // Graph's, or several; empty: any
	says   *regexp.Regexp        // in Graph's message; nil: anything
	err    error                 // what it means
	with   func(*apiError) error // instead of err: what carries something
}{
	{of: aMailbox, code: `MailboxNotEnabledForRESTAPI|MailboxNotSupportedForRESTAPI|ErrorNonExistentMailbox`, err: ooo.ErrNoMailbox},
	{of: aMailbox, status: http.StatusNotFound, err: ooo.ErrUserGone,
		code: `ResourceNotFound|Request_ResourceNotFound|ErrorInvalidUser|ErrorItemNotFound|` + extensionError},

	{of: aPerson, status: http.StatusNotFound, code: `Request_ResourceNotFound|ResourceNotFound`, err: ooo.ErrNotInDirectory},

	{of: aSubscription, status: http.StatusNotFound, err: ooo.ErrSubscriptionGone},
	{of: anySubscription, status: http.StatusConflict, with: duplicate},
	{of: anySubscription, says: tooLongText, with: tooLong},
	{of: anySubscription, code: "ValidationError", err: ooo.ErrHandshake},
	{of: anySubscription, status: http.StatusBadRequest, says: handshakeText, err: ooo.ErrHandshake},
	{of: anySubscription, status: http.StatusBadRequest, code: "InvalidRequest", says: unreachedText, err: ooo.ErrHandshake},
	{of: anySubscription, status: http.StatusForbidden, says: quotaText, err: ooo.ErrSubscriptionQuota},
	{of: anySubscription, status: http.StatusForbidden, code: "Authorization_RequestDenied", err: errConsent},
	{of: anySubscription, status: http.StatusForbidden, code: "ErrorAccessDenied", err: errPolicy},
	{of: anySubscription, status: http.StatusForbidden, err: ooo.ErrSubscriptionDenied},

	{of: aPerson, status: http.StatusForbidden, err: errPersonDenied},
	{of: aPresence, status: http.StatusForbidden, err: errPresenceDenied},
	{status: http.StatusForbidden, err: errMailboxDenied},
	{status: http.StatusBadRequest, with: rejected},
}

// What is missing, as far as Graph tells.
var (
	errMailboxDenied = fmt.Errorf(
		"%w: grant MailboxSettings.Read to the app registration and check its mailbox access policy", ooo.ErrDenied)
	errPersonDenied   = fmt.Errorf("%w: grant User.Read.All to the app registration, to find users", ooo.ErrDenied)
	errPresenceDenied = fmt.Errorf("%w: grant Presence.Read.All to the app registration, for PRESENCE_SWEEP", ooo.ErrDenied)
	errConsent        = fmt.Errorf("consent is missing: %w", ooo.ErrSubscriptionDenied)
	errPolicy         = fmt.Errorf("the access policy excludes this mailbox: %w", ooo.ErrSubscriptionDenied)
)

var (
	tooLongText   = regexp.MustCompile(`(?i)can only be (\d{1,7}) minutes`)
	handshakeText = regexp.MustCompile(`(?i)validation (request|token)|validationToken`)
	// unreachedText is how .NET says that it could not reach a URL.
	unreachedText = regexp.MustCompile(`(?i)underlying connection was closed|unable to connect to the remote server|` +
		`remote name could not be resolved|operation (has )?timed out|no such host is known|connection attempt failed|` +
		`(ssl|tls).{0,40}(could not be established|secure channel)|remote certificate is invalid|remote server returned an error|` +
		`target machine actively refused|connection was forcibly closed`)
	existingText = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	quotaText    = regexp.MustCompile(`(?i)quota|limit|exceed|maximum|too many`)
)

func duplicate(e *apiError) error {
	return &ooo.Duplicate{ID: ooo.SubscriptionID(existingText.FindString(e.message))}
}

func tooLong(e *apiError) error {
	minutes, err := strconv.Atoi(tooLongText.FindStringSubmatch(e.message)[1])
	if err != nil || minutes == 0 {
		return ooo.ErrRejected
	}
	return &ooo.LifetimeTooLong{Max: time.Duration(minutes) * time.Minute}
}

// mostReason bounds Exchange's reason where it is shown, in bytes.
const mostReason = 160

// rejected shows Exchange's reason, without anything that may be an address.
func rejected(e *apiError) error {
	found := reasonText.FindStringSubmatch(e.message)
	if !e.hasCode(extensionError) || found == nil {
		return ooo.ErrRejected
	}
	reason := ""
	for word := range strings.FieldsSeq(found[1]) {
		private := strings.ContainsAny(word, "@%") || strings.ContainsFunc(word, unicode.IsControl)
		if !private && len(reason)+len(word) < mostReason {
			reason += " " + word
		}
	}
	return fmt.Errorf("%w (%s)", ooo.ErrRejected, strings.TrimSpace(reason))
}

var (
	mailboxText = regexp.MustCompile(`(?i)mailbox`)
	appText     = regexp.MustCompile(`(?i)application|tenant|\bapp\b`)
)

// whole reports whether a wait is for the whole app. Outlook's limits are for an app and
// a mailbox together, and say so; those of an app alone name no mailbox. If Graph does
// not say which it is, only a read of one mailbox waits alone.
func (e *apiError) whole(op operation) bool {
	text := e.code + " " + e.message
	return !mailboxText.MatchString(text) && (op != opRead || appText.MatchString(text))
}
