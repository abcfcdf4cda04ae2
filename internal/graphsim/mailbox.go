package graphsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// mailbox is one user's mailbox as far as it is simulated. The answer to the
// usual read is kept ready.
type mailbox struct {
	context string // @odata.context of the setting
	quota   *quota

	mu       sync.Mutex
	setting  AutomaticReplies // guarded by mu
	trouble  Mailbox          // guarded by mu
	block    string           // id of the calendar block, "" if there is none; guarded by mu
	body     []byte           // the setting, ready to send; guarded by mu
	bodyHour int64            // hour for which body holds; 0: always; -1: never; guarded by mu
	inFlight int              // guarded by mu
	lastRead time.Time        // guarded by mu
}

func (m *mailbox) init(s *Server, id string) {
	m.context = s.URL() + "/v1.0/$metadata#users('" + id + "')/mailboxSettings/automaticRepliesSetting"
	m.quota = newQuota(mailboxRequests, mailboxWindow)
	now := time.Now()
	m.setting = AutomaticReplies{Status: "disabled", ExternalAudience: "all"}.shown(now)
	m.bodyHour = -1
}

// event is what happened in a calendar; the id is empty if nothing did.
type event struct{ id, change string }

func (m *mailbox) update(u AutomaticRepliesUpdate, now time.Time, ids *idSource) (AutomaticReplies, event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// What was a placeholder until now becomes the schedule unless the update
	// brings its own.
	m.setting = u.apply(m.setting.shown(now))
	m.bodyHour = -1
	if !u.CalendarBlock {
		return m.setting, event{}
	}
	e := event{id: m.block, change: "updated"}
	if e.id == "" {
		e = event{id: ids.event(), change: "created"}
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

// render returns the ready answer to a read of the setting.
func (m *mailbox) render(now time.Time) ([]byte, error) {
	hour := now.Unix() / 3600
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trouble.Body != nil {
		return m.trouble.Body, nil
	}
	if m.bodyHour == 0 || m.bodyHour == hour {
		return m.body, nil
	}
	body, err := spell(struct {
		Context string `json:"@odata.context"`
		AutomaticReplies
	}{m.context, m.setting.shown(now)})
	if err != nil {
		return nil, err
	}
	m.body, m.bodyHour = body, hour
	if m.setting.scheduled() {
		m.bodyHour = 0
	}
	return body, nil
}

// enter counts a request that comes in. If it is over a limit, the reply says
// so and the request must not go on; otherwise leave ends it.
func (m *mailbox) enter(now time.Time) (concurrent int, refusal reply) {
	wait := m.quota.take(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.inFlight >= mailboxConcurrent:
		return m.inFlight + 1, throttled(time.Second, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.")
	case wait > 0:
		return m.inFlight + 1, throttled(wait, "ApplicationThrottled", "Application is over its MailboxRequests limit.")
	}
	m.inFlight++
	return m.inFlight, reply{}
}

func (m *mailbox) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight--
}

// read notes a read that was answered and returns the time since the one
// before, 0 for the first.
func (m *mailbox) read(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.lastRead
	m.lastRead = now
	if last.IsZero() {
		return 0
	}
	return now.Sub(last)
}

func (m *mailbox) forgetReads() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastRead = time.Time{}
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
var mailboxErrors = map[string]reply{
	"MailboxNotEnabledForRESTAPI": fail(404, "MailboxNotEnabledForRESTAPI",
		"The mailbox is either inactive, soft-deleted, or is hosted on-premise."),
	"ResourceNotFound":           fail(404, "ResourceNotFound", "Resource could not be discovered."),
	"ErrorInvalidUser":           fail(404, "ErrorInvalidUser", "The requested user is invalid."),
	"ErrorItemNotFound":          fail(404, "ErrorItemNotFound", "The specified object was not found in the store."),
	"UnknownError":               fail(401, "UnknownError", ""),
	"ErrorAccessDenied":          fail(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."),
	"ErrorServerBusy":            fail(503, "ErrorServerBusy", "The server is busy."),
	"ErrorMailboxMoveInProgress": fail(503, "ErrorMailboxMoveInProgress", "Mailbox move in progress."),
}

// SetMailbox makes the mailbox of the user x refuse, or answer with another
// body; the zero Mailbox ends that.
func (s *Server) SetMailbox(x string, t Mailbox) error {
	if _, ok := mailboxErrors[t.Error]; !ok && t.Error != "" {
		return fmt.Errorf("%w: error %q, want one of %s", ErrInvalid, t.Error,
			strings.Join(slices.Sorted(maps.Keys(mailboxErrors)), ", "))
	}
	a, err := s.account(x)
	if err != nil {
		return err
	}
	if string(t.Body) == "null" {
		t.Body = nil
	}
	a.mailbox.mu.Lock()
	defer a.mailbox.mu.Unlock()
	a.mailbox.trouble = t
	return nil
}

// refusal is the reply of a mailbox in trouble; ok says whether it is.
func (m *mailbox) refusal() (rep reply, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rep, ok = mailboxErrors[m.trouble.Error]
	return rep, ok
}
