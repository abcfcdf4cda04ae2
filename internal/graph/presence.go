package graph

import (
	"context"
	"encoding/json"
	"net/http"

	"outlook-monitor/internal/ooo"
)

// Presences returns what presence says of ids, of which Graph takes
// [ooo.MostPresences] at once; it leaves out those it knows nothing of. It needs
// Presence.Read.All. The error is [ooo.ErrDenied], [ooo.Throttled],
// [ooo.ErrUnauthorized] or [ooo.ErrUnavailable].
func (c *Client) Presences(ctx context.Context, ids []ooo.ObjectID) ([]ooo.Presence, error) {
	ctx, cancel := begin(ctx, opPresence, readTime)
	defer cancel()
	body, err := json.Marshal(map[string]any{"ids": ids})
	if err != nil {
		return nil, notSent(err)
	}
	answer, err := c.call(ctx, http.MethodPost, "/communications/getPresencesByUserId", body)
	if err != nil {
		return nil, err
	}
	defer c.release(answer)
	var page struct {
		Value []struct {
			ID       ooo.ObjectID `json:"id"`
			Settings struct {
				IsOutOfOffice *bool `json:"isOutOfOffice"`
			} `json:"outOfOfficeSettings"`
		} `json:"value"`
	}
	if json.Unmarshal(answer.Bytes(), &page) != nil {
		return nil, errUnreadable
	}
	var known []ooo.Presence
	for _, p := range page.Value {
		if away := p.Settings.IsOutOfOffice; away != nil {
			known = append(known, ooo.Presence{ID: p.ID, Away: *away})
		}
	}
	return known, nil
}
