package graphsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// mailbox simulates a user's mailbox.
type mailbox struct {
	context string // @odata.context of the setting
	quota   *quota

	mu       sync.Mutex
	setting  AutomaticReplies // guarded by mu
	behavior Mailbox          // guarded by mu
	block    string           // event id of the calendar block, or ""; guarded by mu
	inFlight int              // guarded by mu
}

func (m *mailbox) init(base, id string) {
	m.context = base + "/v1.0/$metadata#users('" + id + "')/mailboxSettings/automaticRepliesSetting"
	m.quota = newQuota(mailboxRequests, mailboxWindow, "ApplicationThrottled", "Application is over its MailboxRequests limit.")
	m.setting = AutomaticReplies{Status: "disabled", ExternalAudience: "all"}
}

// event is a change in a calendar. The id is empty if nothing has changed.
type event struct{ id, change string }

func (m *mailbox) update(u AutomaticRepliesUpdate, now time.Time, ids *idSource) (AutomaticReplies, event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// Placeholder dates become the schedule unless the update sets others.
	m.setting = u.apply(m.setting.displayed(now))
	if !u.CalendarBlock {
		return m.setting, event{}
	}
	e := event{id: m.block, change: "updated"}
	if e.id == "" {
		e = event{id: ids.next(), change: "created"}
	}
	m.block = e.id
	if strings.EqualFold(m.setting.Status, "disabled") {
		e.change, m.block = "deleted", ""
	}
	return m.setting, e
}

func (m *mailbox) replies() AutomaticReplies {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.setting
}

// inMailbox handles a call for the mailbox named in its path, within the limits of the
// mailbox. Calls that a fault delays count towards its concurrency.
func (s *Server) inMailbox(c *call, handle func(*call) *reply) *reply {
	c.account = s.accounts.find(c.path[1])
	if c.account == nil {
		if rep := s.applyFaults(c, opRead); rep != nil {
			return rep
		}
		return noMailbox(c.path[1])
	}
	m := &c.account.mailbox
	concurrent, refusal := m.enter(time.Now())
	s.stats.concurrent(concurrent)
	if refusal != nil {
		return refusal
	}
	defer m.leave()
	if rep := s.applyFaults(c, opRead); rep != nil {
		return rep
	}
	if rep := m.refusal(); rep != nil {
		return rep
	}
	rep := handle(c)
	if rep.status == http.StatusOK {
		s.stats.read(c.account.ID, time.Now())
	}
	return rep
}

// enter counts an incoming request. It returns a refusal if the request exceeds a limit;
// otherwise the caller must call leave at the end.
func (m *mailbox) enter(now time.Time) (concurrent int, refusal *reply) {
	refusal = m.quota.take(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inFlight >= mailboxConcurrent {
		refusal = throttled(time.Second, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.")
	}
	if refusal != nil {
		return m.inFlight + 1, refusal
	}
	m.inFlight++
	return m.inFlight, nil
}

func (m *mailbox) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight--
}

// noMailbox is Exchange's answer for a user that does not exist.
func noMailbox(key string) *reply {
	if strings.Contains(key, "@") {
		return fail(http.StatusNotFound, "ErrorInvalidUser", fmt.Sprintf("The requested user '%s' is invalid.", key))
	}
	return fail(http.StatusNotFound, "ResourceNotFound", "Resource could not be discovered.")
}

// body returns the answer to a read of the setting.
func (m *mailbox) body() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.behavior.Body != nil {
		return m.behavior.Body
	}
	return struct {
		Context string `json:"@odata.context"`
		AutomaticReplies
	}{m.context, m.setting.displayed(time.Now())}
}

// readAutomaticReplies is GET /users/{x}/mailboxSettings/automaticRepliesSetting.
func (s *Server) readAutomaticReplies(c *call) *reply {
	return respond(http.StatusOK, c.account.mailbox.body())
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
		"automaticRepliesSetting":               c.account.mailbox.body(),
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
	a, err := s.account(x)
	if err != nil {
		return err
	}
	a.mailbox.mu.Lock()
	defer a.mailbox.mu.Unlock()
	a.mailbox.behavior = behavior
	return nil
}

// refusal returns the error that SetMailbox set, or nil.
func (m *mailbox) refusal() *reply {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mailboxErrors[m.behavior.Error]
}
