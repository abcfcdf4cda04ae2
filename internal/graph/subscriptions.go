package graph

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"

	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/subscriptions"

	"outlook-monitor/internal/ooo"
)

// tlsVersion is the least that our listener takes.
const tlsVersion = "v1_2"

// mostPages ends a listing without an end. A page has a hundred.
const mostPages = 2000

// write creates, renews or deletes a subscription and returns it as it is now.
func (c *Client) write(ctx context.Context, op operation,
	call func(context.Context, *builder) (models.Subscriptionable, error),
) (ooo.GraphSubscription, error) {
	ctx, cancel := begin(ctx, op, subscriptionTime)
	defer cancel()
	got, err := call(ctx, c.subscriptions())
	if err != nil || op == opDelete {
		return ooo.GraphSubscription{}, fromSDK(err)
	}
	sub := subscriptionOf(got)
	if sub.ID == "" || sub.ExpiresAt.IsZero() {
		return ooo.GraphSubscription{}, errUnreadable
	}
	return sub, nil
}

// builder is the SDK's builder of requests about subscriptions.
type builder = subscriptions.SubscriptionsRequestBuilder

// subscriptions returns a new builder, which each call needs.
func (c *Client) subscriptions() *builder {
	return subscriptions.NewSubscriptionsRequestBuilderInternal(nil, c.adapter)
}

// CreateSubscription asks Graph for a subscription. Graph calls its URLs before
// it answers. What it grants is in the answer, with the expiry that counts.
//
// The errors are [ooo.Duplicate], [ooo.LifetimeTooLong], [ooo.ErrHandshake],
// [ooo.ErrSubscriptionDenied], [ooo.ErrSubscriptionQuota], [ooo.ErrUserGone] and
// [ooo.ErrNoMailbox]. With [ooo.ErrUnavailable] comes [ooo.ErrNoAnswer] if the
// subscription may have been made all the same.
func (c *Client) CreateSubscription(ctx context.Context, request ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	ask := bodyOf(request)
	ask.SetLatestSupportedTlsVersion(new(tlsVersion))
	if request.Certificate.ID != "" {
		ask.SetIncludeResourceData(new(true))
	}
	made, err := c.write(ctx, opCreate, func(ctx context.Context, b *builder) (models.Subscriptionable, error) {
		return b.Post(ctx, ask, nil)
	})
	refused, ok := errors.AsType[*apiError](err)
	if ok && refused.fromGateway() || errors.Is(err, errUnreadable) {
		err = fmt.Errorf("%w: %w", ooo.ErrNoAnswer, err)
	}
	return made, err
}

// bodyOf returns the fields of a request that have a value.
func bodyOf(request ooo.SubscriptionRequest) *models.Subscription {
	body := models.NewSubscription()
	body.SetExpirationDateTime(new(request.ExpiresAt.UTC()))
	for _, field := range []struct {
		set   func(*string)
		value string
	}{
		{body.SetResource, request.Resource},
		{body.SetChangeType, request.ChangeType},
		{body.SetNotificationUrl, request.NotificationURL},
		{body.SetLifecycleNotificationUrl, request.LifecycleURL},
		{body.SetClientState, request.ClientState},
		{body.SetEncryptionCertificate, request.Certificate.Base64},
		{body.SetEncryptionCertificateId, request.Certificate.ID},
	} {
		if field.value != "" {
			field.set(&field.value)
		}
	}
	return body
}

// PatchSubscription renews a subscription and changes what can be changed; the
// answer has the expiry that counts. The errors are [ooo.ErrSubscriptionGone],
// [ooo.LifetimeTooLong], [ooo.ErrHandshake], [ooo.ErrSubscriptionDenied] and
// [ooo.ErrSubscriptionQuota].
func (c *Client) PatchSubscription(ctx context.Context, id ooo.SubscriptionID, patch ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	if id == "" {
		return ooo.GraphSubscription{}, ooo.ErrSubscriptionGone
	}
	return c.write(ctx, opRenew, func(ctx context.Context, b *builder) (models.Subscriptionable, error) {
		return b.BySubscriptionId(string(id)).Patch(ctx, bodyOf(patch), nil)
	})
}

// DeleteSubscription takes a subscription away. The errors are
// [ooo.ErrSubscriptionGone] and [ooo.ErrSubscriptionDenied].
func (c *Client) DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error {
	if id == "" { // the path would name all of them
		return ooo.ErrSubscriptionGone
	}
	_, err := c.write(ctx, opDelete, func(ctx context.Context, b *builder) (models.Subscriptionable, error) {
		return nil, b.BySubscriptionId(string(id)).Delete(ctx, nil)
	})
	return err
}

// SubscriptionPages yields the subscriptions of this app page by page, so that the
// caller sets the pace. Pages may be empty, some of the listed may have expired, and
// what is not listed may live all the same: Graph has left out nearly everything for
// hours.
//
// After an error the caller may wait and go on with the loop, and the same page is
// asked for again. The loop ends without the rest if Graph repeats a page, or links
// to another host. The error may be [ooo.ErrSubscriptionDenied].
func (c *Client) SubscriptionPages(ctx context.Context) iter.Seq2[[]ooo.GraphSubscription, error] {
	return func(yield func([]ooo.GraphSubscription, error) bool) {
		link, asked := "", map[string]bool{}
		for len(asked) < mostPages {
			listed, next, err := c.page(ctx, link)
			if !yield(listed, err) {
				return
			}
			u, unclear := url.Parse(next)
			switch {
			case err != nil:
				continue
			case next == "":
				return
			case unclear != nil || !c.transport.leadsTo(u):
				yield(nil, incomplete(errForeign))
				return
			case asked[next]:
				yield(nil, incomplete(errRepeated))
				return
			}
			asked[next], link = true, next
		}
		yield(nil, incomplete(errEndless))
	}
}

// Why a list of subscriptions is incomplete.
var (
	errRepeated = errors.New("Graph repeats a page")
	errEndless  = errors.New("it has no end")
)

func incomplete(why error) error {
	return fmt.Errorf("%w: the list of subscriptions is incomplete: %w", ooo.ErrUnavailable, why)
}

// page returns what the page at link lists, or the first page, and the link to the
// next one.
func (c *Client) page(ctx context.Context, link string) (listed []ooo.GraphSubscription, next string, err error) {
	ctx, cancel := begin(ctx, opList, subscriptionTime)
	defer cancel()
	ask := c.subscriptions()
	if link != "" {
		ask = ask.WithUrl(link)
	}
	page, err := ask.Get(ctx, nil)
	switch {
	case err != nil:
		return nil, "", fromSDK(err)
	case page == nil:
		return nil, "", errUnreadable
	}
	for _, one := range page.GetValue() {
		if sub := subscriptionOf(one); sub.ID != "" {
			listed = append(listed, sub)
		}
	}
	return listed, text(page.GetOdataNextLink()), nil
}

func subscriptionOf(s models.Subscriptionable) ooo.GraphSubscription {
	if s == nil {
		return ooo.GraphSubscription{}
	}
	sub := ooo.GraphSubscription{
		ID:              ooo.SubscriptionID(text(s.GetId())),
		Resource:        text(s.GetResource()),
		NotificationURL: text(s.GetNotificationUrl()),
		LifecycleURL:    text(s.GetLifecycleNotificationUrl()),
	}
	if at := s.GetExpirationDateTime(); at != nil {
		sub.ExpiresAt = at.UTC()
	}
	return sub
}
