package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"outlook-monitor/internal/ooo"
)

const presencesPath = "/communications/getPresencesByUserId"

// Presences returns what presence says of ids, of which Graph takes
// [ooo.MostPresences] at once; it leaves out those it knows nothing of. It needs
// Presence.Read.All. The error is [ooo.ErrDenied], [ooo.Throttled],
// [ooo.ErrUnauthorized] or [ooo.ErrUnavailable].
func (c *Client) Presences(ctx context.Context, ids []ooo.ObjectID) ([]ooo.Presence, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	body, err := json.Marshal(map[string]any{"ids": ids})
	if err != nil {
		return nil, notSent(err)
	}
	answer, err := c.ask(ctx, http.MethodPost, presencesPath, body)
	if err != nil {
		return nil, because(err, aPresence)
	}
	defer c.release(answer)
	var page struct {
		Value []struct {
			ID       ooo.ObjectID `json:"id"`
			Settings *struct {
				IsOutOfOffice *bool `json:"isOutOfOffice"`
			} `json:"outOfOfficeSettings"`
		} `json:"value"`
	}
	if err := json.Unmarshal(answer.Bytes(), &page); err != nil {
		return nil, fmt.Errorf("%w: the answer to a request for presence can't be understood", ooo.ErrUnavailable)
	}
	var known []ooo.Presence
	for _, p := range page.Value {
		if p.Settings != nil && p.Settings.IsOutOfOffice != nil {
			known = append(known, ooo.Presence{ID: p.ID, Away: *p.Settings.IsOutOfOffice})
		}
	}
	return known, nil
}
