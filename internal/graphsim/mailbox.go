package graphsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// inMailbox handles a call for the mailbox named in its path, within the limits of the
// mailbox. Calls that a fault delays count towards its concurrency.
func (s *Server) inMailbox(c *call, handle func(*call) *reply) *reply {
	a := s.find(c.path[1])
	if a == nil {
		if rep := s.applyFaults(c, opRead); rep != nil {
			return rep
		}
		return noMailbox(c.path[1])
	}
	c.account = a
	refusal := a.quota.take(time.Now())
	if a.inFlight >= mailboxConcurrent {
		refusal = throttled(time.Second, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.")
	}
	s.stats.MaxConcurrentPerMailbox = max(s.stats.MaxConcurrentPerMailbox, a.inFlight+1)
	if refusal != nil {
		return refusal
	}
	a.inFlight++
	defer func() { a.inFlight-- }()
	if rep := s.applyFaults(c, opRead); rep != nil {
		return rep
	}
	if rep := mailboxErrors[a.behavior.Error]; rep != nil {
		return rep
	}
	s.stats.read(a.ID, time.Now())
	return handle(c)
}

// noMailbox is Exchange's answer for a user that does not exist.
func noMailbox(key string) *reply {
	if strings.Contains(key, "@") {
		return fail(http.StatusNotFound, "ErrorInvalidUser", fmt.Sprintf("The requested user '%s' is invalid.", key))
	}
	return fail(http.StatusNotFound, "ResourceNotFound", "Resource could not be discovered.")
}

// settingBody returns the answer to a read of the setting.
func (s *Server) settingBody(a *account) any {
	if a.behavior.Body != nil {
		return a.behavior.Body
	}
	return struct {
		Context string `json:"@odata.context"`
		AutomaticReplies
	}{s.URL() + "/v1.0/$metadata#users('" + a.ID + "')/mailboxSettings/automaticRepliesSetting", a.setting.displayed(time.Now())}
}

// readAutomaticReplies is GET /users/{x}/mailboxSettings/automaticRepliesSetting.
func (s *Server) readAutomaticReplies(c *call) *reply {
	return respond(http.StatusOK, s.settingBody(c.account))
}

// readMailboxSettings is GET /users/{x}/mailboxSettings.
func (s *Server) readMailboxSettings(c *call) *reply {
	return respond(http.StatusOK, map[string]any{
		"@odata.context":                        s.URL() + "/v1.0/$metadata#users('" + c.path[1] + "')/mailboxSettings",
		"archiveFolder":                         nil,
		"timeZone":                              "UTC",
		"dateFormat":                            "yyyy-MM-dd",
		"timeFormat":                            "HH:mm",
		"delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
		"language":                              map[string]string{"locale": "en-US", "displayName": "English (United States)"},
		"automaticRepliesSetting":               s.settingBody(c.account),
	})
}

// Mailbox overrides the answers of a mailbox.
type Mailbox struct {
	// Error is the error code of all answers, one of mailboxErrors; empty: no error.
	Error string `json:"error"`
	// Body is sent instead of the setting.
	Body json.RawMessage `json:"body,omitempty"`
}

// mailboxErrors are Graph's errors for mailboxes of existing users. The real Graph sends
// UnknownError for some mailboxes, with valid tokens and without a message.
var mailboxErrors = map[string]*reply{
	"MailboxNotEnabledForRESTAPI": fail(http.StatusNotFound, "MailboxNotEnabledForRESTAPI",
		"The mailbox is either inactive, soft-deleted, or is hosted on-premise."),
	"ResourceNotFound":           fail(http.StatusNotFound, "ResourceNotFound", "Resource could not be discovered."),
	"ErrorInvalidUser":           fail(http.StatusNotFound, "ErrorInvalidUser", "The requested user is invalid."),
	"ErrorItemNotFound":          fail(http.StatusNotFound, "ErrorItemNotFound", "The specified object was not found in the store."),
	"UnknownError":               fail(http.StatusUnauthorized, "UnknownError", ""),
	"ErrorAccessDenied":          fail(http.StatusForbidden, "ErrorAccessDenied", "Access is denied. Check credentials and try again."),
	"ErrorServerBusy":            fail(http.StatusServiceUnavailable, "ErrorServerBusy", "The server is busy."),
	"ErrorMailboxMoveInProgress": fail(http.StatusServiceUnavailable, "ErrorMailboxMoveInProgress", "Mailbox move in progress."),
}

// SetMailbox makes the mailbox of user x answer with an error or another body. The zero
// Mailbox restores it.
func (s *Server) SetMailbox(x string, behavior Mailbox) error {
	if behavior.Error != "" && mailboxErrors[behavior.Error] == nil {
		return fmt.Errorf("%w: error %q, want one of %s", ErrInvalid, behavior.Error,
			strings.Join(slices.Sorted(maps.Keys(mailboxErrors)), ", "))
	}
	return s.withAccount(x, func(a *account) { a.behavior = behavior })
}
