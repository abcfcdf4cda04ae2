package graph

import (
	"bytes"
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

// apiError is an error answer of Graph, alone or inside a $batch. Its text has only the
// status and the code, because the message may contain addresses.
type apiError struct {
	status     int
	code       string        // empty: none
	message    string        // never shown
	foreign    bool          // the body is not of Graph's form, so it is from a proxy
	retryAfter time.Duration // 0: Graph does not ask to wait
}

// newAPIError decodes an error body and a Retry-After, which were sent at now.
func newAPIError(status int, body []byte, retryAfter string, now time.Time) *apiError {
	e := &apiError{status: status, retryAfter: schedule.RetryAfter(retryAfter, now, minWait, maxWait)}
	var fields map[string]json.RawMessage
	isJSON := json.Unmarshal(body, &fields) == nil
	empty := len(body) == 0 || isJSON && len(fields) == 0
	e.foreign = !empty && !bytes.HasPrefix(fields["error"], []byte("{")) // Graph's is {"error":{...}}
	var answer struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(fields["error"], &answer) == nil && validCode.MatchString(answer.Code) {
		e.code, e.message = answer.Code, answer.Message
	}
	return e
}

// hasCode reports whether the code is one of codes, which are separated by bars, in any
// letter case.
func (e *apiError) hasCode(codes string) bool {
	for code := range strings.SplitSeq(codes, "|") {
		if strings.EqualFold(code, e.code) {
			return true
		}
	}
	return false
}

var validCode = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,80}$`)

func (e *apiError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("Graph answered %d %s %s", e.status, e.code, e.exchangeStatus()))
}

// Waits that Graph asks for.
const (
	defaultWait = 5 * time.Second // for a 429 without a Retry-After
	minWait     = time.Second     // for "0", or a date in the past
	maxWait     = time.Hour       // longer waits are mistakes
)

// extensionError is Graph's code for an error of Exchange. The message contains it:
// "Operation: Create; Exception: [Status Code: BadRequest; Reason: ...]".
const extensionError = "ExtensionError"

var (
	exchangeStatusPattern = regexp.MustCompile(`(?i)status code:?\s*(\w{1,40})`)
	exchangeReasonPattern = regexp.MustCompile(`(?i)reason:\s*([^\]]+)`)
)

// exchangeStatus returns the status of Exchange in an ExtensionError, such as BadRequest
// or 400, or an empty string if there is none.
func (e *apiError) exchangeStatus() string {
	found := exchangeStatusPattern.FindStringSubmatch(e.message)
	if !e.hasCode(extensionError) || found == nil {
		return ""
	}
	return found[1]
}

// exchangeStatuses are the statuses of Exchange that replace Graph's. Its 401 is about the
// mailbox, not about the token. Statuses that are not listed are mostly transient.
var exchangeStatuses = map[string]int{
	"badrequest": http.StatusBadRequest, "400": http.StatusBadRequest,
	"unauthorized": http.StatusForbidden, "401": http.StatusForbidden,
	"forbidden": http.StatusForbidden, "403": http.StatusForbidden,
	"conflict": http.StatusConflict, "409": http.StatusConflict,
	"notfound": http.StatusNotFound, "404": http.StatusNotFound, "gone": http.StatusNotFound, "410": http.StatusNotFound,
}

// effectiveStatus returns the status of Exchange if there is one, else Graph's. Graph itself
// finds duplicates.
func (e *apiError) effectiveStatus() int {
	if !e.hasCode(extensionError) || e.status == http.StatusConflict {
		return e.status
	}
	return cmp.Or(exchangeStatuses[strings.ToLower(e.exchangeStatus())], http.StatusServiceUnavailable)
}

// unknownError is the code of a 401 that some mailboxes answer although the token is valid.
const unknownError = "UnknownError"

// isTokenRefused reports whether err is a 401 that is about the token.
func isTokenRefused(err error) bool {
	e, ok := errors.AsType[*apiError](err)
	return ok && e.effectiveStatus() == http.StatusUnauthorized && !e.hasCode(unknownError)
}

// translate returns what e means for an operation, wrapped around e.
func (e *apiError) translate(op operation) error { return fmt.Errorf("%w: %w", e.meaning(op), e) }

func (e *apiError) meaning(op operation) error {
	switch {
	case e.status == http.StatusTooManyRequests:
		return &ooo.Throttled{After: cmp.Or(e.retryAfter, defaultWait), WholeApp: e.isAppLimit(op)}
	case (e.status == http.StatusServiceUnavailable || e.status == http.StatusGatewayTimeout) && e.retryAfter > 0:
		return &ooo.Throttled{After: e.retryAfter, WholeApp: e.isAppLimit(op), Busy: true}
	case e.effectiveStatus() == http.StatusUnauthorized:
		return ooo.ErrUnauthorized
	case e.foreign || e.status < 400:
		return ooo.ErrUnavailable
	}
	m := meanings[slices.IndexFunc(meanings, func(m meaning) bool { return m.matches(e, op) })]
	if m.build != nil {
		return m.build(e)
	}
	return m.err
}

var (
	mailboxOps      = []operation{opRead, opCreate} // name a mailbox by its object id
	subscriptionOps = []operation{opCreate, opRenew, opDelete, opList}
)

// meaning is an error for the answers that match all of its conditions.
type meaning struct {
	ops     []operation    // nil: any
	status  int            // the effective one; 0: any
	code    string         // or several, see hasCode; empty: any
	message *regexp.Regexp // nil: any
	err     error
	build   func(*apiError) error // instead of err
}

func (m meaning) matches(e *apiError, op operation) bool {
	return (m.ops == nil || slices.Contains(m.ops, op)) &&
		(m.status == 0 || m.status == e.effectiveStatus()) &&
		(m.code == "" || e.hasCode(m.code)) &&
		(m.message == nil || m.message.MatchString(e.message))
}

// meanings maps Graph's error answers to errors. The first matching row counts; the last one
// matches every answer.
var meanings = []meaning{
	{ops: mailboxOps, code: `MailboxNotEnabledForRESTAPI|MailboxNotSupportedForRESTAPI|ErrorNonExistentMailbox`, err: ooo.ErrNoMailbox},
	{ops: mailboxOps, status: http.StatusNotFound, err: ooo.ErrUserGone,
		code: `ResourceNotFound|Request_ResourceNotFound|ErrorInvalidUser|ErrorItemNotFound|` + extensionError},

	{ops: []operation{opRenew, opDelete}, status: http.StatusNotFound, err: ooo.ErrSubscriptionGone},
	{ops: subscriptionOps, status: http.StatusConflict, build: duplicate},
	{ops: subscriptionOps, message: tooLongPattern, build: tooLong},
	{ops: subscriptionOps, code: "ValidationError", err: ooo.ErrHandshake},
	{ops: subscriptionOps, status: http.StatusBadRequest, message: handshakePattern, err: ooo.ErrHandshake},
	{ops: subscriptionOps, status: http.StatusBadRequest, code: "InvalidRequest", message: unreachablePattern, err: ooo.ErrHandshake},
	{ops: subscriptionOps, status: http.StatusForbidden, message: quotaPattern, err: ooo.ErrSubscriptionQuota},
	{ops: subscriptionOps, status: http.StatusForbidden, code: "Authorization_RequestDenied", err: errConsent},
	{ops: subscriptionOps, status: http.StatusForbidden, code: "ErrorAccessDenied", err: errPolicy},
	{ops: subscriptionOps, status: http.StatusForbidden, err: ooo.ErrSubscriptionDenied},

	{ops: []operation{opDirectory}, status: http.StatusForbidden, err: errDirectoryDenied},
	{ops: []operation{opPresence}, status: http.StatusForbidden, err: errPresenceDenied},
	{status: http.StatusForbidden, err: errMailboxDenied},
	{status: http.StatusBadRequest, build: rejected},
	{err: ooo.ErrUnavailable},
}

var (
	errMailboxDenied = fmt.Errorf(
		"%w: grant MailboxSettings.Read to the app registration and check its mailbox access policy", ooo.ErrDenied)
	errDirectoryDenied = fmt.Errorf("%w: grant User.Read.All to the app registration, to find users", ooo.ErrDenied)
	errPresenceDenied  = fmt.Errorf("%w: grant Presence.Read.All to the app registration, for PRESENCE_SWEEP", ooo.ErrDenied)
	errConsent         = fmt.Errorf("consent is missing: %w", ooo.ErrSubscriptionDenied)
	errPolicy          = fmt.Errorf("the access policy excludes this mailbox: %w", ooo.ErrSubscriptionDenied)
)

var (
	tooLongPattern   = regexp.MustCompile(`(?i)can only be (\d{1,7}) minutes`)
	handshakePattern = regexp.MustCompile(`(?i)validation (request|token)|validationToken`)
	// unreachablePattern matches the errors of .NET about a URL that it could not reach.
	unreachablePattern = regexp.MustCompile(`(?i)underlying connection was closed|unable to connect to the remote server|` +
		`remote name could not be resolved|operation (has )?timed out|no such host is known|connection attempt failed|` +
		`(ssl|tls).{0,40}(could not be established|secure channel)|remote certificate is invalid|remote server returned an error|` +
		`target machine actively refused|connection was forcibly closed`)
	idPattern    = regexp.MustCompile(`(?i)<([\w-]+)>|subscription id\W*([\w-]*\d[\w-]*)|\b([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b`)
	quotaPattern = regexp.MustCompile(`(?i)quota|limit|exceed|maximum|too many`)
)

func duplicate(e *apiError) error {
	if found := idPattern.FindStringSubmatch(e.message); found != nil {
		return &ooo.Duplicate{ID: ooo.SubscriptionID(cmp.Or(found[1:]...))}
	}
	return &ooo.Duplicate{}
}

func tooLong(e *apiError) error {
	minutes, _ := strconv.Atoi(tooLongPattern.FindStringSubmatch(e.message)[1]) // 1 to 7 digits
	if minutes == 0 {
		return ooo.ErrRejected
	}
	return &ooo.LifetimeTooLong{Max: time.Duration(minutes) * time.Minute}
}

// maxReason limits the reason of Exchange that is shown, in bytes.
const maxReason = 160

// rejected returns ErrRejected with the reason of Exchange, without words that may be
// addresses.
func rejected(e *apiError) error {
	found := exchangeReasonPattern.FindStringSubmatch(e.message)
	if !e.hasCode(extensionError) || found == nil {
		return ooo.ErrRejected
	}
	reason := ""
	for word := range strings.FieldsSeq(found[1]) {
		private := strings.ContainsAny(word, "@%") || strings.ContainsFunc(word, unicode.IsControl)
		if !private && len(reason)+len(word) < maxReason {
			reason += " " + word
		}
	}
	return fmt.Errorf("%w (%s)", ooo.ErrRejected, strings.TrimSpace(reason))
}

var (
	mailboxPattern = regexp.MustCompile(`(?i)mailbox`)
	appPattern     = regexp.MustCompile(`(?i)application|tenant|\bapp\b`)
)

// isAppLimit reports whether the whole app must wait. Outlook limits an app for each
// mailbox, and its messages mention the mailbox; other limits are for the whole app. If the
// message mentions neither, only the read of a single mailbox waits alone.
func (e *apiError) isAppLimit(op operation) bool {
	text := e.code + " " + e.message
	return !mailboxPattern.MatchString(text) && (op != opRead || appPattern.MatchString(text))
}
