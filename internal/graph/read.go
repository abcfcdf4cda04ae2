package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
)

const (
	batchPath   = "/$batch"
	settingPath = "/mailboxSettings/automaticRepliesSetting"

	mostInBatch     = 20 // Graph takes no more
	batchesInFlight = 4  // of one Read
)

// Read reads the automatic replies of all ids. The readings come in the order of
// the ids; each has its own error: [ooo.ErrNoMailbox], [ooo.ErrUserGone],
// [ooo.ErrDenied], [ooo.ErrBadSetting], [ooo.Throttled], [ooo.ErrUnauthorized],
// [ooo.ErrRejected] or [ooo.ErrUnavailable].
//
// known holds for each id the digest of the answer that the caller has understood
// before, or is nil. Graph's answers hardly ever differ from the last, so most
// are not decoded at all: those that are the same again are only marked so.
func (c *Client) Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.Reading {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	readings := make([]ooo.Reading, len(ids))
	for i, id := range ids {
		readings[i].ID = id
		if known != nil {
			readings[i].Digest = known[i]
		}
	}
	if len(readings) <= mostInBatch {
		c.readSome(ctx, readings)
		return readings
	}
	var batches errgroup.Group
	batches.SetLimit(batchesInFlight)
	for some := range slices.Chunk(readings, mostInBatch) {
		batches.Go(func() error {
			c.readSome(ctx, some)
			return nil
		})
	}
	_ = batches.Wait() // each reading has its own error
	return readings
}

// readSome fills in at most mostInBatch readings.
func (c *Client) readSome(ctx context.Context, readings []ooo.Reading) {
	switch len(readings) {
	case 0:
	case 1:
		c.readOne(ctx, &readings[0])
	default:
		c.readBatch(ctx, readings)
	}
}

func settingOf(id ooo.ObjectID) string { return "/users/" + url.PathEscape(string(id)) + settingPath }

// keepToken is how long no login is tried for a mailbox whose reads are refused by
// 401 although the token is good: some mailboxes always answer so.
const keepToken = 5 * time.Minute

// keepTokenKey is where a context says that a 401 is not about the token.
type keepTokenKey struct{}

func (c *Client) readOne(ctx context.Context, reading *ooo.Reading) {
	if at, noted := c.unauthorized.Load(reading.ID); noted {
		if since, _ := at.(time.Time); time.Since(since) < keepToken {
			ctx = context.WithValue(ctx, keepTokenKey{}, true)
		} else {
			c.unauthorized.Delete(reading.ID)
		}
	}
	defer func() {
		if refusedRead(*reading) {
			c.unauthorized.LoadOrStore(reading.ID, time.Now())
		}
	}()
	body, err := c.ask(ctx, http.MethodGet, settingOf(reading.ID), nil)
	if err != nil {
		reading.Err = because(err, aMailbox)
		return
	}
	defer c.release(body)
	understand(reading, body.Bytes())
}

// understand takes the answer to one read, whose digest so far is the known one.
func understand(reading *ooo.Reading, body []byte) {
	digest := ooo.DigestOf(body)
	if reading.Same = digest == reading.Digest; reading.Same {
		return
	}
	reading.Digest = digest
	reading.Setting, reading.Err = ooo.ParseSetting(body)
}

// batchRequest is the body of POST /$batch. The ids are places in the order of
// the readings.
type batchRequest struct {
	Requests []batchItem `json:"requests"`
}

type batchItem struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	URL    string `json:"url"`
}

// batchAnswer is its answer. Names in JSON match in any letter case, which
// headers need.
type batchAnswer struct {
	Responses []answered `json:"responses"`
}

// answered is the answer to one item.
type answered struct {
	ID      string `json:"id"`
	Status  int    `json:"status"`
	Headers struct {
		RetryAfter   string `json:"Retry-After"`
		Authenticate string `json:"WWW-Authenticate"`
	} `json:"headers"`
	Body json.RawMessage `json:"body"`
}

func (a *answered) failed() bool { return a.Status < 200 || a.Status >= 300 }

func (a *answered) refusal(now time.Time) *refusal {
	r := newRefusal(a.Status, a.Body, a.Headers.RetryAfter, now)
	r.claims = claimsOf([]string{a.Headers.Authenticate})
	return r
}

// refusedRead says whether Graph refused a read by 401, which is about the token or
// about this mailbox.
func refusedRead(r ooo.Reading) bool {
	_, refused := errors.AsType[*refusal](r.Err)
	return refused && wantsToken(r)
}

// readBatch reads with one POST, and with a second one if Graph wanted a new token
// for all of them. If it took the token for others, a 401 is about the mailbox.
func (c *Client) readBatch(ctx context.Context, readings []ooo.Reading) {
	held, err := c.door.tokens.get(ctx)
	if err != nil {
		failAll(readings, err)
		return
	}
	if err := c.exchange(ctx, readings); err != nil {
		failAll(readings, err)
		return
	}
	refused := slices.IndexFunc(readings, wantsToken)
	if refused < 0 {
		return
	}
	claims := ""
	if r, ok := errors.AsType[*refusal](readings[refused].Err); ok {
		claims = r.claims
	}
	if claims == "" && slices.ContainsFunc(readings, func(r ooo.Reading) bool { return !wantsToken(r) }) {
		for _, r := range readings {
			if refusedRead(r) {
				c.unauthorized.LoadOrStore(r.ID, time.Now())
			}
		}
		return
	}
	fresh, err := c.door.tokens.replace(ctx, held, claims)
	if err != nil || fresh == held {
		return // they keep their error
	}
	var again []ooo.Reading
	for _, r := range readings {
		if wantsToken(r) {
			again = append(again, ooo.Reading{ID: r.ID, Digest: r.Digest})
		}
	}
	if err := c.exchange(ctx, again); err != nil {
		failAll(again, err)
	}
	for i := range readings {
		if wantsToken(readings[i]) {
			readings[i], again = again[0], again[1:]
		}
	}
}

func wantsToken(r ooo.Reading) bool { return errors.Is(r.Err, ooo.ErrUnauthorized) }

func failAll(readings []ooo.Reading, err error) {
	for i := range readings {
		readings[i].Err = err
	}
}

// exchange sends one $batch and fills in what it answers. The error is that of
// the batch as a whole.
func (c *Client) exchange(ctx context.Context, readings []ooo.Reading) error {
	request := batchRequest{Requests: make([]batchItem, len(readings))}
	for i := range readings {
		request.Requests[i] = batchItem{strconv.Itoa(i), http.MethodGet, settingOf(readings[i].ID)}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return notSent(err)
	}
	answer, err := c.ask(ctx, http.MethodPost, batchPath, body)
	if err != nil {
		return because(err, aBatch)
	}
	defer c.release(answer)
	return decodeBatch(answer, readings, time.Now())
}

var (
	errNoBatch  = fmt.Errorf("%w: the answer to a batch can't be understood", ooo.ErrUnavailable)
	errLeftOut  = fmt.Errorf("%w: the answer to a batch leaves this read out", ooo.ErrUnavailable)
	errNoObject = fmt.Errorf("%w: the setting is missing in the answer", ooo.ErrUnavailable)
)

// decodeBatch fills the answers into the readings that they are for.
func decodeBatch(answer *bytes.Buffer, readings []ooo.Reading, now time.Time) error {
	if plainBatch(answer.Bytes(), readings) {
		return nil
	}
	return decodeAny(answer.Bytes(), readings, now)
}

// decodeAny is decodeBatch for whatever Graph may answer.
func decodeAny(answer []byte, readings []ooo.Reading, now time.Time) error {
	failAll(readings, errLeftOut)
	return eachAnswer(answer, len(readings), func(place int, one *answered) {
		reading := &readings[place]
		reading.Err = nil
		switch {
		case one.failed():
			reading.Err = because(one.refusal(now), aMailbox)
		case len(one.Body) == 0 || one.Body[0] != '{':
			reading.Err = errNoObject
		default:
			understand(reading, one.Body)
		}
	})
}

// eachAnswer takes apart the answer to a batch of so many places. Answers that are
// for none are left out; of several for one the first counts.
func eachAnswer(answer []byte, places int, take func(place int, one *answered)) error {
	var batch batchAnswer
	err := json.Unmarshal(answer, &batch)
	// One value of a wrong kind, such as a number in a header, spoils no others.
	if _, odd := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !odd {
		return errNoBatch
	}
	taken := make([]bool, places)
	for i := range batch.Responses {
		one := &batch.Responses[i]
		place, err := strconv.Atoi(one.ID)
		if err != nil || place < 0 || place >= places || taken[place] {
			continue
		}
		taken[place] = true
		take(place, one)
	}
	return nil
}
