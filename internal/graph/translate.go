package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"outlook-monitor/internal/ooo"
)

// refusal is what Graph answers instead of what it was asked for, alone or
// inside a $batch. Its text is the status and the code: the message may name
// people.
type refusal struct {
	status  int
	code    string        // Graph's; empty if it gave none, as a proxy does
	message string        // never shown
	after   time.Duration // what Retry-After asks for; 0: nothing
	claims  string        // what it wants of the next token, as JSON

	// inner is the status that counts when Graph wraps an answer of Exchange in an
	// ExtensionError; 0: there is none.
	inner int
}

func (r *refusal) Error() string {
	switch {
	case r.code == "":
		return fmt.Sprintf("Graph answered %d", r.status)
	case r.inner != 0:
		return fmt.Sprintf("Graph answered %d %s (%d)", r.status, r.code, r.inner)
	}
	return fmt.Sprintf("Graph answered %d %s", r.status, r.code)
}

var codeForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,80}$`)

// newRefusal reads an error body and a Retry-After. now is the time at which
// they were sent.
func newRefusal(status int, body []byte, retryAfter string, now time.Time) *refusal {
	r := &refusal{status: status, after: waitOf(retryAfter, now)}
	var said struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &said) == nil && codeForm.MatchString(said.Error.Code) {
		r.code, r.message = said.Error.Code, said.Error.Message
		if r.exchange() {
			r.inner = innerStatus(r.message)
		}
	}
	return r
}

// extensionError is Graph's code for an answer of Exchange, such as "Operation:
// Create; Exception: [Status Code: BadRequest; Reason: ...]".
const extensionError = "ExtensionError"

// exchange says whether it is Exchange that refuses.
func (r *refusal) exchange() bool { return strings.EqualFold(r.code, extensionError) }

var (
	innerText  = regexp.MustCompile(`(?i)status code:?\s*(\w+)`)
	reasonText = regexp.MustCompile(`(?i)reason:\s*([^\]]+)`)
)

// innerStatuses are .NET's names of the statuses that are told apart.
var innerStatuses = map[string]int{
	"badrequest": http.StatusBadRequest, "unauthorized": http.StatusUnauthorized, "forbidden": http.StatusForbidden,
	"notfound": http.StatusNotFound, "gone": http.StatusNotFound,
}

// innerStatus returns the status in an ExtensionError; 0 if there is none that is
// told apart: what is left is mostly transient.
func innerStatus(message string) int {
	found := innerText.FindStringSubmatch(message)
	if found == nil {
		return 0
	}
	if number, err := strconv.Atoi(found[1]); err == nil {
		return innerStatuses[strings.ToLower(strings.ReplaceAll(http.StatusText(number), " ", ""))]
	}
	return innerStatuses[strings.ToLower(found[1])]
}

// mostReason bounds Exchange's reason where it is shown, in bytes.
const mostReason = 160

// reason is why Exchange refuses, as far as it may be shown: without anything that
// may be an address.
func (r *refusal) reason() string {
	found := reasonText.FindStringSubmatch(r.message)
	if found == nil {
		return ""
	}
	var b strings.Builder
	for word := range strings.FieldsSeq(found[1]) {
		if strings.ContainsAny(word, "@%") || strings.ContainsFunc(word, unicode.IsControl) || b.Len()+len(word) >= mostReason {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word)
	}
	return b.String()
}

// Waits that Graph asks for.
const (
	unnamedWait = 5 * time.Second // a 429 that does not say how long
	leastWait   = time.Second     // "0", or a date that has passed
	mostWait    = time.Hour       // a number beyond it is a mistake
)

// waitOf reads a Retry-After: seconds or an HTTP date. It returns 0 if there is
// none.
func waitOf(retryAfter string, now time.Time) time.Duration {
	retryAfter = strings.TrimSpace(retryAfter)
	if retryAfter == "" {
		return 0
	}
	wait := mostWait
	if seconds, err := strconv.ParseFloat(retryAfter, 64); err == nil && !math.IsNaN(seconds) {
		if seconds < mostWait.Seconds() {
			wait = time.Duration(seconds * float64(time.Second))
		}
	} else if at, err := http.ParseTime(retryAfter); err == nil {
		wait = at.Sub(now)
	} else {
		return 0
	}
	return min(max(wait, leastWait), mostWait)
}

// subject is what a call was about; it decides what a refusal means.
type subject struct {
	mailbox  bool // one mailbox alone: others may go on
	outcomes []outcome
}

// outcome is a line of a table: what a refusal with Graph's code becomes. The
// first line that fits counts; without one it is [ooo.ErrUnavailable].
type outcome struct {
	status int            // 0: any
	inner  int            // of Exchange, in an ExtensionError; 0: any
	code   string         // empty: any
	says   *regexp.Regexp // what the message must say; nil: anything
	err    error
	with   func(*refusal) error // instead of err: one that carries something
}

var (
	// aMailbox is a read of one mailbox by its object id.
	aMailbox = subject{mailbox: true, outcomes: slices.Concat(noMailbox, []outcome{
		{status: http.StatusForbidden, with: deniedMailbox},
		{status: http.StatusBadRequest, err: ooo.ErrRejected},
	})}
	// aBatch is a $batch as a whole.
	aBatch = subject{outcomes: []outcome{
		{status: http.StatusForbidden, with: deniedMailbox},
		{status: http.StatusBadRequest, err: ooo.ErrRejected},
	}}
	// aPerson is a look-up in the directory.
	aPerson = subject{outcomes: []outcome{
		{status: http.StatusNotFound, code: "Request_ResourceNotFound", err: ooo.ErrNotInDirectory},
		{status: http.StatusNotFound, code: "ResourceNotFound", err: ooo.ErrNotInDirectory},
		{status: http.StatusForbidden, with: deniedPerson},
		{status: http.StatusBadRequest, err: ooo.ErrRejected},
	}}
	// aPresence is a request for the presence of several.
	aPresence = subject{outcomes: []outcome{
		{status: http.StatusForbidden, with: deniedPresence},
		{status: http.StatusBadRequest, err: ooo.ErrRejected},
	}}
	// aCreation is a POST of a subscription, aSubscription a call about one that
	// exists, aListing one about all. They differ in what a 404 has not found.
	aCreation = subject{outcomes: slices.Concat(noMailbox, []outcome{
		{inner: http.StatusNotFound, err: ooo.ErrUserGone},
	}, aboutSubscriptions)}
	aSubscription = subject{outcomes: slices.Concat([]outcome{
		{status: http.StatusNotFound, err: ooo.ErrSubscriptionGone},
		{inner: http.StatusNotFound, err: ooo.ErrSubscriptionGone},
	}, aboutSubscriptions)}
	aListing = subject{outcomes: aboutSubscriptions}

	noMailbox = []outcome{
		{code: "MailboxNotEnabledForRESTAPI", err: ooo.ErrNoMailbox},
		{code: "MailboxNotSupportedForRESTAPI", err: ooo.ErrNoMailbox},
		{code: "ErrorNonExistentMailbox", err: ooo.ErrNoMailbox},
		{status: http.StatusNotFound, code: "ResourceNotFound", err: ooo.ErrUserGone},
		{status: http.StatusNotFound, code: "Request_ResourceNotFound", err: ooo.ErrUserGone},
		{status: http.StatusNotFound, code: "ErrorInvalidUser", err: ooo.ErrUserGone},
		{status: http.StatusNotFound, code: "ErrorItemNotFound", err: ooo.ErrUserGone},
	}
	aboutSubscriptions = []outcome{
		{status: http.StatusConflict, with: duplicate},
		{says: tooLongText, with: tooLong},
		{code: "ValidationError", err: ooo.ErrHandshake},
		{status: http.StatusBadRequest, says: handshakeText, err: ooo.ErrHandshake},
		{status: http.StatusBadRequest, code: "InvalidRequest", says: unreachedText, err: ooo.ErrHandshake},
		{inner: http.StatusBadRequest, with: rejectedSubscription},
		{inner: http.StatusUnauthorized, with: deniedSubscription},
		{inner: http.StatusForbidden, with: deniedSubscription},
		{code: extensionError, err: ooo.ErrUnavailable}, // Exchange's, mostly transient
		{status: http.StatusForbidden, with: deniedSubscription},
		{status: http.StatusBadRequest, err: ooo.ErrRejected},
	}
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

func deniedMailbox(*refusal) error {
	return fmt.Errorf("%w: grant MailboxSettings.Read to the app registration and look at its mailbox access policy", ooo.ErrDenied)
}

func deniedPerson(*refusal) error {
	return fmt.Errorf("%w: grant User.Read.All, by which people are found, to the app registration", ooo.ErrDenied)
}

func deniedPresence(*refusal) error {
	return fmt.Errorf("%w: grant Presence.Read.All, by which presence is swept, to the app registration", ooo.ErrDenied)
}

func duplicate(r *refusal) error {
	return &ooo.Duplicate{ID: ooo.SubscriptionID(existingText.FindString(r.message))}
}

func tooLong(r *refusal) error {
	minutes, err := strconv.Atoi(tooLongText.FindStringSubmatch(r.message)[1])
	if err != nil || minutes == 0 {
		return ooo.ErrRejected
	}
	return &ooo.TooLong{Max: time.Duration(minutes) * time.Minute}
}

// Why a subscription is denied, as far as Graph tells.
var (
	errConsent = errors.New("consent is missing")
	errPolicy  = errors.New("the access policy leaves this mailbox out")
)

func deniedSubscription(r *refusal) error {
	switch {
	case quotaText.MatchString(r.message):
		return ooo.ErrSubscriptionQuota
	case r.code == "Authorization_RequestDenied":
		return fmt.Errorf("%w: %w", errConsent, ooo.ErrSubscriptionDenied)
	case r.code == "ErrorAccessDenied":
		return fmt.Errorf("%w: %w", errPolicy, ooo.ErrSubscriptionDenied)
	}
	return ooo.ErrSubscriptionDenied
}

// rejectedSubscription shows Exchange's reason: what it asks for is to be changed.
func rejectedSubscription(r *refusal) error {
	if reason := r.reason(); reason != "" {
		return fmt.Errorf("%w (%s)", ooo.ErrRejected, reason)
	}
	return ooo.ErrRejected
}

// because says what err, from the door, means for a call about s. Errors that
// are no refusals keep their meaning.
func because(err error, s subject) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	return fmt.Errorf("%w: %w", r.meaning(s), r)
}

func (r *refusal) meaning(s subject) error {
	switch {
	case r.status == http.StatusTooManyRequests:
		wait := r.after
		if wait == 0 {
			wait = unnamedWait
		}
		return &ooo.Throttled{After: wait, Whole: r.whole(s)}
	case (r.status == http.StatusServiceUnavailable || r.status == http.StatusGatewayTimeout) && r.after > 0:
		return &ooo.Throttled{After: r.after, Whole: r.whole(s)}
	case r.status == http.StatusUnauthorized && !r.exchange():
		return ooo.ErrUnauthorized
	case r.code == "" || r.status < 400: // not Graph, or no refusal of Graph's
		return ooo.ErrUnavailable
	}
	for _, o := range s.outcomes {
		switch {
		case o.status != 0 && o.status != r.status, o.inner != 0 && o.inner != r.inner, o.code != "" && !strings.EqualFold(o.code, r.code),
			o.says != nil && !o.says.MatchString(r.message):
		case o.with != nil:
			return o.with(r)
		default:
			return o.err
		}
	}
	return ooo.ErrUnavailable
}

var (
	ofOneMailbox = regexp.MustCompile(`(?i)mailbox`)
	ofWholeApp   = regexp.MustCompile(`(?i)application|tenant|\bapp\b`)
)

// whole says whether a wait is for the whole app. Outlook's limits are for an
// app and a mailbox together, and say so; those of an app alone name no mailbox.
func (r *refusal) whole(s subject) bool {
	if ofOneMailbox.MatchString(r.code) || ofOneMailbox.MatchString(r.message) {
		return false
	}
	return !s.mailbox || ofWholeApp.MatchString(r.code) || ofWholeApp.MatchString(r.message)
}
