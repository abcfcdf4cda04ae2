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
}

func (r *refusal) Error() string {
	if r.code == "" {
		return fmt.Sprintf("Graph answered %d", r.status)
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
	}
	return r
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
	aCreation     = subject{outcomes: slices.Concat(noMailbox, aboutSubscriptions)}
	aSubscription = subject{outcomes: slices.Concat([]outcome{
		{status: http.StatusNotFound, err: ooo.ErrSubscriptionGone},
	}, aboutSubscriptions)}
	aListing = subject{outcomes: aboutSubscriptions}
	// someSubscriptions is a $batch of calls about them as a whole, whose refusal
	// says nothing about any of them.
	someSubscriptions = subject{}

	noMailbox = []outcome{
		{code: "MailboxNotEnabledForRESTAPI", err: ooo.ErrNoMailbox},
		{code: "MailboxNotSupportedForRESTAPI", err: ooo.ErrNoMailbox},
		{code: "ErrorNonExistentMailbox", err: ooo.ErrNoMailbox},
		{status: http.StatusNotFound, code: "ResourceNotFound", err: ooo.ErrUserGone},
		{status: http.StatusNotFound, code: "Request_ResourceNotFound", err: ooo.ErrUserGone},
		{status: http.StatusNotFound, code: "ErrorInvalidUser", err: ooo.ErrUserGone},
	}
	aboutSubscriptions = []outcome{
		{status: http.StatusConflict, with: duplicate},
		{says: tooLongText, with: tooLong},
		{code: "ValidationError", err: ooo.ErrHandshake},
		{status: http.StatusBadRequest, says: handshakeText, err: ooo.ErrHandshake},
		{status: http.StatusForbidden, with: deniedSubscription},
		{code: "ExtensionError", err: ooo.ErrUnavailable}, // Exchange's, mostly transient
		{status: http.StatusBadRequest, err: ooo.ErrRejected},
	}
)

var (
	tooLongText   = regexp.MustCompile(`(?i)can only be (\d{1,7}) minutes`)
	handshakeText = regexp.MustCompile(`(?i)validation (request|token)|validationToken`)
	existingText  = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	quotaText     = regexp.MustCompile(`(?i)quota|limit|exceed|maximum|too many`)
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
	case r.status == http.StatusUnauthorized:
		return ooo.ErrUnauthorized
	case r.code == "" || r.status < 400: // not Graph, or no refusal of Graph's
		return ooo.ErrUnavailable
	}
	for _, o := range s.outcomes {
		switch {
		case o.status != 0 && o.status != r.status, o.code != "" && !strings.EqualFold(o.code, r.code),
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
