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

// Read reads the automatic replies of at most 20 mailboxes, the limit of a $batch, with
// one request. The results are in the order of ids; each has its own error, such as
// [ooo.ErrNoMailbox], [ooo.ErrUserGone], [ooo.ErrDenied] or [ooo.ErrBadSetting].
//
// known has the digest of the last decoded answer for each id, or is nil. Answers rarely
// change, so an answer with the same digest is not decoded, only marked as unchanged.
func (c *Client) Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.ReadResult {
	results := make([]ooo.ReadResult, len(ids))
	for i, id := range ids {
		results[i].ID = id
		if known != nil {
			results[i].Digest = known[i]
		}
	}
	switch len(results) {
	case 0:
	case 1:
		c.readOne(ctx, &results[0])
	default:
		if err := c.readBatch(ctx, results); err != nil {
			failAll(results, err)
		}
	}
	return results
}

func (c *Client) readOne(ctx context.Context, result *ooo.ReadResult) {
	ctx, cancel := withOperation(ctx, opRead, readTimeout)
	defer cancel()
	result.Err = c.call(ctx, http.MethodGet, settingPath(result.ID), nil, func(answer []byte) error {
		return decodeSetting(result, answer)
	})
}

func settingPath(id ooo.ObjectID) string {
	return "/users/" + url.PathEscape(string(id)) + "/mailboxSettings/automaticRepliesSetting"
}

// decodeSetting stores the answer to one read in result, which has the known digest.
func decodeSetting(result *ooo.ReadResult, body []byte) (err error) {
	digest := ooo.DigestOf(body)
	if result.Unchanged = digest == result.Digest; result.Unchanged {
		return nil
	}
	result.Digest = digest
	result.Setting, err = ooo.ParseSetting(body)
	return err
}

// readBatch reads with one POST. If Graph accepts the token for the batch but refuses it
// for every read, it replaces the token and sends a second one. If Graph accepts it for
// some, a 401 is about the mailbox. It returns an error if the batch failed as a whole.
func (c *Client) readBatch(ctx context.Context, results []ooo.ReadResult) error {
	ctx, cancel := withOperation(ctx, opBatch, readTimeout)
	defer cancel()
	current, err := c.transport.tokens.get(ctx)
	if err != nil {
		return err
	}
	accepted := func(r ooo.ReadResult) bool { return !isTokenRefused(r.Err) }
	if err := c.postBatch(ctx, results); err != nil || slices.ContainsFunc(results, accepted) {
		return err
	}
	renewed, loginErr := c.transport.tokens.replace(ctx, current)
	if loginErr != nil || renewed == current {
		return nil // the results have the refusals
	}
	return c.postBatch(ctx, results)
}

func failAll(results []ooo.ReadResult, err error) {
	for i := range results {
		results[i].Err = err
	}
}

// postBatch sends one $batch and stores the answer in results. It returns an error if the
// batch failed as a whole.
func (c *Client) postBatch(ctx context.Context, results []ooo.ReadResult) error {
	return c.call(ctx, http.MethodPost, "/$batch", encodeBatch(results), func(answer []byte) error {
		return decodeBatch(answer, results, time.Now())
	})
}

// Presences returns whether users are out of office according to their presence, which may
// be outdated. Users without a presence are missing in the result. Graph accepts
// [ooo.MaxPresences] ids at a time. Without Presence.Read.All it returns [ooo.ErrDenied].
func (c *Client) Presences(ctx context.Context, ids []ooo.ObjectID) (map[ooo.ObjectID]bool, error) {
	ctx, cancel := withOperation(ctx, opPresence, readTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]any{"ids": ids})
	if err != nil {
		return nil, noAnswer(err)
	}
	var page struct {
		Value []struct {
			ID       ooo.ObjectID `json:"id"`
			Settings struct {
				IsOutOfOffice *bool `json:"isOutOfOffice"`
			} `json:"outOfOfficeSettings"`
		} `json:"value"`
	}
	err = c.call(ctx, http.MethodPost, "/communications/getPresencesByUserId", body, func(answer []byte) error {
		if json.Unmarshal(answer, &page) != nil {
			return errBadAnswer
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	outOfOffice := map[ooo.ObjectID]bool{}
	for _, p := range page.Value {
		if p.Settings.IsOutOfOffice != nil {
			outOfOffice[p.ID] = *p.Settings.IsOutOfOffice
		}
	}
	return outOfOffice, nil
}
