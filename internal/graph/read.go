package graph

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
)

// Read reads the automatic replies of at most 20 mailboxes, which is what Graph takes in a
// $batch, with one request. The
// readings come in the order of the ids; each has its own error, such as
// [ooo.ErrNoMailbox], [ooo.ErrUserGone], [ooo.ErrDenied] or [ooo.ErrBadSetting].
//
// known holds for each id the digest of the answer that the caller has understood
// before, or is nil. Graph's answers hardly ever differ from the last, so most are not
// decoded at all: those that are the same again are only marked so.
func (c *Client) Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.ReadResult {
	readings := make([]ooo.ReadResult, len(ids))
	for i, id := range ids {
		readings[i].ID = id
		if known != nil {
			readings[i].Digest = known[i]
		}
	}
	switch len(readings) {
	case 0:
	case 1:
		c.readOne(ctx, &readings[0])
	default:
		c.readBatch(ctx, readings)
	}
	return readings
}

func (c *Client) readOne(ctx context.Context, reading *ooo.ReadResult) {
	ctx, cancel := begin(ctx, opRead, readTime)
	defer cancel()
	body, err := c.call(ctx, http.MethodGet, settingPath(reading.ID), nil)
	if err != nil {
		reading.Err = err
		return
	}
	defer c.release(body)
	understand(reading, body.Bytes())
}

func settingPath(id ooo.ObjectID) string {
	return "/users/" + url.PathEscape(string(id)) + "/mailboxSettings/automaticRepliesSetting"
}

// understand takes the answer to one read, whose digest so far is the known one.
func understand(reading *ooo.ReadResult, body []byte) {
	digest := ooo.DigestOf(body)
	if reading.Unchanged = digest == reading.Digest; reading.Unchanged {
		reading.Err = nil
		return
	}
	reading.Digest = digest
	reading.Setting, reading.Err = ooo.ParseSetting(body)
}

// readBatch reads with one POST, and with a second one if Graph took the token for the
// batch but not for its reads. If it took the token for some, a 401 is about the mailbox.
func (c *Client) readBatch(ctx context.Context, readings []ooo.ReadResult) {
	ctx, cancel := begin(ctx, opBatch, readTime)
	defer cancel()
	held, err := c.transport.tokens.get(ctx)
	if err != nil {
		failAll(readings, err)
		return
	}
	err = c.postBatch(ctx, readings)
	tokenTaken := func(r ooo.ReadResult) bool { return !refusesToken(r.Err) }
	if err == nil && !slices.ContainsFunc(readings, tokenTaken) {
		if fresh, failed := c.transport.tokens.replace(ctx, held); failed == nil && fresh != held {
			err = c.postBatch(ctx, readings)
		}
	}
	if err != nil {
		failAll(readings, err)
	}
}

func failAll(readings []ooo.ReadResult, err error) {
	for i := range readings {
		readings[i].Err = err
	}
}

// postBatch sends one $batch and fills in what it answers. The error is that of the
// batch as a whole.
func (c *Client) postBatch(ctx context.Context, readings []ooo.ReadResult) error {
	answer, err := c.call(ctx, http.MethodPost, "/$batch", newBatch(readings))
	if err != nil {
		return err
	}
	defer c.release(answer)
	return decodeBatch(answer.Bytes(), readings, time.Now())
}

// Presences returns who of ids is out of office as far as presence says, which may lag
// behind; it leaves out those it knows nothing of. Graph takes [ooo.MaxPresences] at
// once. It needs Presence.Read.All, otherwise it returns [ooo.ErrDenied].
func (c *Client) Presences(ctx context.Context, ids []ooo.ObjectID) (map[ooo.ObjectID]bool, error) {
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
	known := map[ooo.ObjectID]bool{}
	for _, p := range page.Value {
		if away := p.Settings.IsOutOfOffice; away != nil {
			known[p.ID] = *away
		}
	}
	return known, nil
}
