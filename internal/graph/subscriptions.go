package graph

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"github.com/microsoftgraph/msgraph-sdk-go/models"

	"outlook-monitor/internal/ooo"
)

// tlsVersion is the least that our listener takes.
const tlsVersion = "v1_2"

// mostPages ends a listing that goes round in circles. A page has a hundred.
const mostPages = 2000

// CreateSubscription asks Graph for a subscription. Graph calls its URLs before
// it answers. What it grants is in the answer, with the expiry that counts.
//
// The errors are [ooo.Duplicate], [ooo.TooLong], [ooo.ErrHandshake],
// [ooo.ErrSubscriptionDenied], [ooo.ErrSubscriptionQuota], [ooo.ErrRejected], those of a user without a
// mailbox ([ooo.ErrUserGone], [ooo.ErrNoMailbox]), [ooo.Throttled],
// [ooo.ErrUnauthorized] and [ooo.ErrUnavailable]. With the last comes
// [ooo.ErrNoAnswer] if the subscription may have been made all the same.
func (c *Client) CreateSubscription(ctx context.Context, request ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	ask := models.NewSubscription()
	ask.SetResource(&request.Resource)
	ask.SetChangeType(&request.ChangeType)
	ask.SetNotificationUrl(&request.NotificationURL)
	if request.LifecycleURL != "" {
		ask.SetLifecycleNotificationUrl(&request.LifecycleURL)
	}
	if request.ClientState != "" {
		ask.SetClientState(&request.ClientState)
	}
	ask.SetExpirationDateTime(new(request.ExpiresAt.UTC()))
	ask.SetLatestSupportedTlsVersion(new(tlsVersion))
	if request.Certificate.ID != "" {
		ask.SetIncludeResourceData(new(true))
		setCertificate(ask, request.Certificate)
	}
	made, err := c.write(ctx, &change{method: http.MethodPost, ask: ask, about: aCreation, calls: true})
	switch {
	case err == nil && made.ID != "" && !made.ExpiresAt.IsZero():
		return made, nil
	case err == nil:
		err = errIncomplete
	}
	if maybeDone(err) {
		err = fmt.Errorf("%w: %w", ooo.ErrNoAnswer, err)
	}
	return ooo.GraphSubscription{}, err
}

// maybeDone says whether a call that ended with err may have been carried out.
func maybeDone(err error) bool {
	if lost, ok := errors.AsType[*unanswered](err); ok {
		return lost.left
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		// A gateway answered for a Graph that it lost sight of.
		return r.status == http.StatusBadGateway || r.status == http.StatusGatewayTimeout || r.status == http.StatusRequestTimeout
	}
	return errors.Is(err, errIncomplete) || errors.Is(err, errUnreadable)
}

func setCertificate(ask *models.Subscription, certificate ooo.Certificate) {
	ask.SetEncryptionCertificate(&certificate.Base64)
	ask.SetEncryptionCertificateId(&certificate.ID)
}

// PatchSubscription renews a subscription and changes what can be changed; the
// answer has the expiry that counts. The errors are [ooo.ErrSubscriptionGone],
// [ooo.TooLong], [ooo.ErrHandshake], [ooo.ErrSubscriptionDenied],
// [ooo.ErrSubscriptionQuota], [ooo.ErrRejected], [ooo.Throttled],
// [ooo.ErrUnauthorized] and [ooo.ErrUnavailable].
func (c *Client) PatchSubscription(ctx context.Context, id ooo.SubscriptionID, patch ooo.SubscriptionPatch) (ooo.GraphSubscription, error) {
	if id == "" {
		return ooo.GraphSubscription{}, ooo.ErrSubscriptionGone
	}
	ask := models.NewSubscription()
	ask.SetExpirationDateTime(new(patch.ExpiresAt.UTC()))
	if patch.NotificationURL != "" {
		ask.SetNotificationUrl(&patch.NotificationURL)
	}
	if patch.Certificate.ID != "" {
		setCertificate(ask, patch.Certificate)
	}
	renewed, err := c.write(ctx, &change{
		method: http.MethodPatch, id: id, ask: ask, about: aSubscription, calls: patch.NotificationURL != ""})
	switch {
	case err != nil:
		return ooo.GraphSubscription{}, err
	case renewed.ID == "" || renewed.ExpiresAt.IsZero():
		return ooo.GraphSubscription{}, errIncomplete
	}
	return renewed, nil
}

// DeleteSubscription takes a subscription away. The errors are
// [ooo.ErrSubscriptionGone], [ooo.ErrSubscriptionDenied], [ooo.ErrRejected],
// [ooo.Throttled], [ooo.ErrUnauthorized] and [ooo.ErrUnavailable].
func (c *Client) DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error {
	if id == "" { // the path would name all of them
		return ooo.ErrSubscriptionGone
	}
	_, err := c.write(ctx, &change{method: http.MethodDelete, id: id, about: aSubscription})
	return err
}

// Subscriptions yields the subscriptions of this app, in Graph's order. Graph
// may list some that have expired. An error ends it; the errors are
// [ooo.ErrSubscriptionDenied], [ooo.ErrRejected], [ooo.Throttled],
// [ooo.ErrUnauthorized] and [ooo.ErrUnavailable].
func (c *Client) Subscriptions(ctx context.Context) iter.Seq2[ooo.GraphSubscription, error] {
	return func(yield func(ooo.GraphSubscription, error) bool) {
		next := ""
		for range mostPages {
			page, err := c.page(ctx, next)
			if err != nil {
				yield(ooo.GraphSubscription{}, err)
				return
			}
			for _, listed := range page.GetValue() {
				if sub := subscriptionOf(listed); sub.ID != "" && !yield(sub, nil) {
					return
				}
			}
			if next = text(page.GetOdataNextLink()); next == "" {
				return
			}
		}
		yield(ooo.GraphSubscription{}, fmt.Errorf("%w: the list of subscriptions has no end", ooo.ErrUnavailable))
	}
}

// page returns the page at link, or the first one.
func (c *Client) page(ctx context.Context, link string) (models.SubscriptionCollectionResponseable, error) {
	ctx, cancel := context.WithTimeout(ctx, subscriptionTime)
	defer cancel()
	builder := c.subscriptionBuilder()
	if link != "" {
		if u, err := url.Parse(link); err != nil || !c.door.leadsTo(u) {
			return nil, fmt.Errorf("%w: %w", ooo.ErrUnavailable, errForeign)
		}
		builder = builder.WithUrl(link)
	}
	page, err := builder.Get(ctx, nil)
	switch {
	case err != nil:
		return nil, because(sdkError(err), aListing)
	case page == nil:
		return nil, errIncomplete
	}
	return page, nil
}

func subscriptionOf(s models.Subscriptionable) ooo.GraphSubscription {
	if s == nil {
		return ooo.GraphSubscription{}
	}
	sub := ooo.GraphSubscription{
		ID:              ooo.SubscriptionID(text(s.GetId())),
		Resource:        text(s.GetResource()),
		ChangeType:      text(s.GetChangeType()),
		NotificationURL: text(s.GetNotificationUrl()),
		LifecycleURL:    text(s.GetLifecycleNotificationUrl()),
		ApplicationID:   text(s.GetApplicationId()),
	}
	if at := s.GetExpirationDateTime(); at != nil {
		sub.ExpiresAt = at.UTC()
	}
	return sub
}
