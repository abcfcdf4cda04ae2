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

// mailbox is one user's mailbox as far as it is simulated.
type mailbox struct {
	context string // @odata.context of the setting
	quota   *quota

	mu       sync.Mutex
	setting  AutomaticReplies // guarded by mu
	behavior Mailbox          // guarded by mu
	block    string           // id of the calendar block, "" if there is none; guarded by mu
	inFlight int              // guarded by mu
}

func (m *mailbox) init(base, id string) {
	m.context = base + "/v1.0/$metadata#users('" + id + "')/mailboxSettings/automaticRepliesSetting"
	m.quota = newQuota(mailboxRequests, mailboxWindow, "ApplicationThrottled", "Application is over its MailboxRequests limit.")
	m.setting = AutomaticReplies{Status: "disabled", ExternalAudience: "all"}
}

// event is what happened in a calendar; the id is empty if nothing did.
type event struct{ id, change string }

func (m *mailbox) update(u AutomaticRepliesUpdate, now time.Time, ids *idSource) (AutomaticReplies, event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// What was a placeholder until now becomes the schedule unless the update
	// brings its own.
	m.setting = u.apply(m.setting.shown(now))
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

// outOfOffice is what presence knows of it.
func (m *mailbox) outOfOffice() (out bool, message string) {
	r := m.replies()
	switch {
	case strings.EqualFold(r.Status, "disabled"):
		return false, ""
	case !r.scheduled():
		return true, r.InternalReplyMessage
	}
	now := time.Now().UTC().Format(graphTime) // spelled alike, so that text compares as time
	out = r.ScheduledStartDateTime.DateTime <= now && now < r.ScheduledEndDateTime.DateTime
	return out, r.InternalReplyMessage
}

// inMailbox lets a call into the mailbox that its path names, within the
// mailbox's limits, and has it handled there. What a fault delays stays inside
// and so counts as concurrent.
func (s *Server) inMailbox(c *call, handle func(*Server, *call) *reply) *reply {
	if !c.grant.may(roleMailboxSettings) {
		return forbidden()
	}
	c.account = s.directory.find(c.path[1])
	if c.account == nil {
		if rep := s.disturb(c, opRead); rep != nil {
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
	if rep := s.disturb(c, opRead); rep != nil {
		return rep
	}
	if rep := m.refusal(); rep != nil {
		return rep
	}
	rep := handle(s, c)
	if rep.status == http.StatusOK {
		s.stats.read(c.account.ID, time.Now())
	}
	return rep
}

// enter counts a request that comes in. If it is over a limit, the reply says
// so and the request must not go on; otherwise leave ends it.
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

// noMailbox is how Exchange answers for a user that isn't there.
func noMailbox(key string) *reply {
	if strings.Contains(key, "@") {
		return fail(http.StatusNotFound, "ErrorInvalidUser", fmt.Sprintf("The requested user '%s' is invalid.", key))
	}
	return fail(http.StatusNotFound, "ResourceNotFound", "Resource could not be discovered.")
}

// body is the answer to a read of the setting.
func (m *mailbox) body() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.behavior.Body != nil {
		return m.behavior.Body
	}
	return struct {
		Context string `json:"@odata.context"`
		AutomaticReplies
	}{m.context, m.setting.shown(time.Now())}
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

// Mailbox makes a mailbox answer otherwise than with its setting.
type Mailbox struct {
	// Error is the code with which everything about the mailbox is refused, one of
	// mailboxErrors, or empty for none.
	Error string `json:"error"`
	// Body is sent instead of the setting, such as one with an unknown status.
	Body json.RawMessage `json:"body,omitempty"`
}

// mailboxErrors are what Graph answers about mailboxes whose users exist. UnknownError
// comes in the field with every token and says nothing more.
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

// SetMailbox makes the mailbox of the user x refuse, or answer with another
// body; the zero Mailbox ends that.
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

// refusal is how the mailbox refuses everything, nil if it doesn't.
func (m *mailbox) refusal() *reply {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mailboxErrors[m.behavior.Error]
}
