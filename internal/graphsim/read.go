package graphsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// inMailbox lets a call into the mailbox that its path names, within the
// mailbox's limits, and has it handled there. What a fault delays stays inside
// and so counts as concurrent.
func (s *Server) inMailbox(c *call, handle func(*Server, *call) reply) reply {
	if !c.grant.may(roleMailboxSettings) {
		return forbidden()
	}
	a := s.directory.find(c.path[1])
	if a == nil {
		if rep, hit := s.disturbCall(c, opRead); hit {
			return rep
		}
		return noMailbox(c.path[1])
	}
	m := &a.mailbox
	concurrent, refusal := m.enter(time.Now())
	s.stats.concurrent(concurrent)
	if refusal.status != 0 {
		return refusal
	}
	defer m.leave()
	if rep, hit := s.disturbCall(c, opRead); hit {
		return rep
	}
	if rep, ok := m.refusal(); ok {
		return rep
	}
	rep := handle(s, c)
	if rep.status == http.StatusOK {
		s.stats.gap(m.read(time.Now()))
	}
	return rep
}

// noMailbox is how Exchange answers for a user that isn't there.
func noMailbox(key string) reply {
	if strings.Contains(key, "@") {
		return fail(http.StatusNotFound, "ErrorInvalidUser", fmt.Sprintf("The requested user '%s' is invalid.", key))
	}
	return fail(http.StatusNotFound, "ResourceNotFound", "Resource could not be discovered.")
}

// readAutomaticReplies is GET /users/{x}/mailboxSettings/automaticRepliesSetting.
func (s *Server) readAutomaticReplies(c *call) reply {
	a := s.directory.find(c.path[1])
	if a == nil {
		return noMailbox(c.path[1])
	}
	body, err := a.mailbox.render(time.Now())
	if err != nil {
		return fail(http.StatusInternalServerError, "generalException", "The setting could not be written.")
	}
	return reply{status: http.StatusOK, body: body}
}

// readMailboxSettings is GET /users/{x}/mailboxSettings.
func (s *Server) readMailboxSettings(c *call) reply {
	rep := s.readAutomaticReplies(c)
	if rep.fail != nil {
		return rep
	}
	return respond(http.StatusOK, map[string]any{
		"@odata.context":                        s.URL() + "/v1.0/$metadata#users('" + c.path[1] + "')/mailboxSettings",
		"archiveFolder":                         nil,
		"timeZone":                              "UTC",
		"dateFormat":                            "yyyy-MM-dd",
		"timeFormat":                            "HH:mm",
		"delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
		"language":                              map[string]string{"locale": "en-US", "displayName": "English (United States)"},
		"automaticRepliesSetting":               json.RawMessage(rep.body),
	})
}
