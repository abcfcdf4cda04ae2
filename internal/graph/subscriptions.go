package graph

import (
	"context"
	"net/url"

	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/subscriptions"

	"outlook-monitor/internal/ooo"
)

// tlsVersion is the lowest version that the service's listener accepts.
const tlsVersion = "v1_2"

// subscriptions returns a new request builder, see users.
func (c *Client) subscriptions() *subscriptions.SubscriptionsRequestBuilder {
	return subscriptions.NewSubscriptionsRequestBuilderInternal(nil, c.adapter)
}

// CreateSubscription creates a subscription. Graph calls its URLs before it answers. The
// expiry in the result is the one that counts.
//
// It returns [ooo.Duplicate], [ooo.LifetimeTooLong], [ooo.ErrHandshake],
// [ooo.ErrSubscriptionDenied], [ooo.ErrSubscriptionQuota], [ooo.ErrUserGone] or
// [ooo.ErrNoMailbox] if it can't. After [ooo.ErrUnavailable] the subscription may exist
// nevertheless.
func (c *Client) CreateSubscription(ctx context.Context, request ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	ctx, cancel := withOperation(ctx, opCreate, subscriptionTimeout)
	defer cancel()
	body := bodyOf(request)
	body.SetLatestSupportedTlsVersion(new(tlsVersion))
	if request.Certificate.ID != "" {
		body.SetIncludeResourceData(new(true))
	}
	return granted(c.subscriptions().Post(ctx, body, nil))
}

// bodyOf returns a body with the fields of a request that are set.
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

// granted returns the subscription in the answer to a POST or PATCH.
func granted(answer models.Subscriptionable, err error) (ooo.GraphSubscription, error) {
	if err != nil {
		return ooo.GraphSubscription{}, unwrapSDK(err)
	}
	sub := subscriptionOf(answer)
	if sub.ID == "" || sub.ExpiresAt.IsZero() {
		return ooo.GraphSubscription{}, errBadAnswer
	}
	return sub, nil
}

// PatchSubscription renews a subscription and changes the fields of patch that are set.
// The expiry in the result is the one that counts. It returns [ooo.ErrSubscriptionGone],
// [ooo.LifetimeTooLong], [ooo.ErrHandshake], [ooo.ErrSubscriptionDenied] or
// [ooo.ErrSubscriptionQuota] if it can't.
func (c *Client) PatchSubscription(ctx context.Context, id ooo.SubscriptionID, patch ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	if id == "" {
		return ooo.GraphSubscription{}, ooo.ErrSubscriptionGone
	}
	ctx, cancel := withOperation(ctx, opRenew, subscriptionTimeout)
	defer cancel()
	return granted(c.subscriptions().BySubscriptionId(string(id)).Patch(ctx, bodyOf(patch), nil))
}

// DeleteSubscription deletes a subscription. It returns [ooo.ErrSubscriptionGone] or
// [ooo.ErrSubscriptionDenied] if it can't.
func (c *Client) DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error {
	if id == "" { // the path would be that of all subscriptions
		return ooo.ErrSubscriptionGone
	}
	ctx, cancel := withOperation(ctx, opDelete, subscriptionTimeout)
	defer cancel()
	return unwrapSDK(c.subscriptions().BySubscriptionId(string(id)).Delete(ctx, nil))
}

// SubscriptionPage returns the subscriptions of this app on the page at link, and the link to
// the next page, empty on the last. An empty link is that of the first page. A page may be
// empty and may contain expired subscriptions. A subscription that is not listed may still
// exist: Graph has omitted nearly all of them for hours. The error may be
// [ooo.ErrSubscriptionDenied].
func (c *Client) SubscriptionPage(ctx context.Context, link string) (listed []ooo.GraphSubscription, next string, err error) {
	ctx, cancel := withOperation(ctx, opList, subscriptionTimeout)
	defer cancel()
	builder := c.subscriptions()
	if link != "" {
		if u, err := url.Parse(link); err != nil || !c.transport.isGraph(u) {
			return nil, "", noAnswer(errOtherHost)
		}
		builder = builder.WithUrl(link)
	}
	page, err := builder.Get(ctx, nil)
	switch {
	case err != nil:
		return nil, "", unwrapSDK(err)
	case page == nil:
		return nil, "", errBadAnswer
	}
	for _, s := range page.GetValue() {
		if sub := subscriptionOf(s); sub.ID != "" {
			listed = append(listed, sub)
		}
	}
	return listed, value(page.GetOdataNextLink()), nil
}

func subscriptionOf(s models.Subscriptionable) ooo.GraphSubscription {
	if s == nil {
		return ooo.GraphSubscription{}
	}
	sub := ooo.GraphSubscription{
		ID:              ooo.SubscriptionID(value(s.GetId())),
		Resource:        value(s.GetResource()),
		NotificationURL: value(s.GetNotificationUrl()),
	}
	if at := s.GetExpirationDateTime(); at != nil {
		sub.ExpiresAt = at.UTC()
	}
	return sub
}
