package graph

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	kiotajson "github.com/microsoft/kiota-serialization-json-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models"

	"outlook-monitor/internal/ooo"
)

// writeRequest is the body of POST /$batch with changes of subscriptions. The ids
// are places in the order of the changes.
type writeRequest struct {
	Requests []writeItem `json:"requests"`
}

type writeItem struct {
	batchItem
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

// withBody are the headers that Graph wants of an item with a body.
var withBody = map[string]string{"Content-Type": "application/json"}

// together makes the changes of a batch, and gives its lane on before it says
// what became of them.
func (c *Client) together(b *batch) {
	defer b.cancel()
	for _, w := range b.changes {
		w.err = notSent(context.Canceled) // unless it goes
	}
	c.exchangeWrites(b)
	c.pass()
	for _, w := range b.changes {
		close(w.ready)
	}
}

// exchangeWrites sends a batch, and once more those changes for which Graph wanted
// a new token.
func (c *Client) exchangeWrites(b *batch) {
	held, err := c.door.tokens.get(b.ctx)
	if err != nil {
		refuse(b.changes, err)
		return
	}
	if !c.send(b, b.changes) {
		return
	}
	var again []*change
	claims := ""
	for _, w := range b.changes {
		if r, ok := errors.AsType[*refusal](w.err); ok && r.status == http.StatusUnauthorized {
			again, claims = append(again, w), r.claims
		}
	}
	if len(again) == 0 {
		return
	}
	if fresh, err := c.door.tokens.replace(b.ctx, held, claims); err == nil && fresh != held {
		c.send(b, again)
	}
}

func refuse(some []*change, err error) {
	for _, w := range some {
		w.err = err
	}
}

// send makes one call for some changes of a batch and notes what became of each.
// It returns false if Graph did not look into it.
func (c *Client) send(b *batch, some []*change) bool {
	some = c.lanes.seal(b, some)
	if len(some) == 0 {
		return false
	}
	body, err := spell(some)
	if err != nil {
		refuse(some, notSent(err))
		return false
	}
	answer, err := c.ask(context.WithValue(b.ctx, operationKey{}, "subscription-batch"), http.MethodPost, batchPath, body)
	if err != nil {
		refuse(some, because(err, someSubscriptions))
		return false
	}
	defer c.release(answer)
	now := time.Now()
	refuse(some, errIncomplete)
	err = eachAnswer(answer.Bytes(), len(some), func(place int, one *answered) { some[place].settle(one, now) })
	if err != nil {
		refuse(some, errUnreadable)
	}
	return err == nil
}

// settle notes what Graph answered.
func (w *change) settle(one *answered, now time.Time) {
	switch {
	case one.Status == 0: // as good as no answer
	case one.failed():
		w.err = because(one.refusal(now), w.about)
	case w.ask == nil:
		w.err = nil
	default:
		w.got, w.err = subscriptionIn(one.Body)
	}
}

// spell is the body of a $batch with some changes.
func spell(some []*change) ([]byte, error) {
	request := writeRequest{Requests: make([]writeItem, len(some))}
	for i, w := range some {
		path := "/subscriptions"
		if w.id != "" {
			path += "/" + url.PathEscape(string(w.id))
		}
		item := writeItem{batchItem: batchItem{strconv.Itoa(i), w.method, path}}
		if w.ask != nil {
			var err error
			if item.Body, err = spelled(w.ask); err != nil {
				return nil, err
			}
			item.Headers = withBody
		}
		request.Requests[i] = item
	}
	return json.Marshal(request)
}

// spelled is a subscription as the SDK spells it in a call of its own.
func spelled(ask *models.Subscription) ([]byte, error) {
	writer := kiotajson.NewJsonSerializationWriter()
	defer func() { _ = writer.Close() }() // never fails
	if err := writer.WriteObjectValue("", ask); err != nil {
		return nil, err
	}
	return writer.GetSerializedContent()
}

// subscriptionIn is the subscription in an answer, a zero one if there is none.
func subscriptionIn(body []byte) (ooo.GraphSubscription, error) {
	if len(body) == 0 || string(body) == "null" {
		return ooo.GraphSubscription{}, nil
	}
	node, err := kiotajson.NewJsonParseNode(body)
	if err != nil {
		return ooo.GraphSubscription{}, errUnreadable
	}
	found, err := node.GetObjectValue(models.CreateSubscriptionFromDiscriminatorValue)
	if err != nil {
		return ooo.GraphSubscription{}, errUnreadable
	}
	sub, _ := found.(models.Subscriptionable)
	return subscriptionOf(sub), nil
}
