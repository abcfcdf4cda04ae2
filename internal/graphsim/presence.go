package graphsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// maxPresenceIDs is the limit for one presence request.
const maxPresenceIDs = 650

// presences is POST /communications/getPresencesByUserId.
func (s *Server) presences(c *call) *reply {
	var req struct {
		IDs []string `json:"ids"`
	}
	switch err := json.Unmarshal(c.body, &req); {
	case err != nil, len(req.IDs) == 0:
		return badRequest("ids is required.")
	case len(req.IDs) > maxPresenceIDs:
		return badRequest(fmt.Sprintf("ids has more than %d elements.", maxPresenceIDs))
	}
	value := []any{}
	for _, id := range req.IDs {
		a := s.find(id)
		if a == nil {
			continue
		}
		out, message := a.outOfOffice()
		value = append(value, map[string]any{
			"id": a.ID, "availability": "Available", "activity": "Available",
			"outOfOfficeSettings": map[string]any{"isOutOfOffice": out, "message": message},
		})
	}
	return respond(http.StatusOK, map[string]any{
		"@odata.context": s.URL() + "/v1.0/$metadata#Collection(microsoft.graph.presence)",
		"value":          value,
	})
}

// outOfOffice returns the out-of-office settings that presence reports.
func (a *account) outOfOffice() (out bool, message string) {
	r := a.setting
	switch {
	case strings.EqualFold(r.Status, "disabled"):
		return false, ""
	case !r.scheduled():
		return true, r.InternalReplyMessage
	}
	now := time.Now().UTC().Format(graphTime) // same format, so that strings compare like times
	out = r.ScheduledStartDateTime.DateTime <= now && now < r.ScheduledEndDateTime.DateTime
	return out, r.InternalReplyMessage
}
