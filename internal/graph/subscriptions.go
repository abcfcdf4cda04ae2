package graph

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/subscriptions"

	"outlook-monitor/internal/ooo"
)

// tlsVersion is the least that our listener takes.
const tlsVersion = "v1_2"

const (
	// writesInFlight bounds the creations, renewals and deletions that Graph works on
	// at a time: it takes a second or two for each.
	writesInFlight = 48
	// mostPages ends a listing without an end. A page has a hundred.
	mostPages = 2000
)

// write is one change of a subscription.
type write func(context.Context, *subscriptions.SubscriptionsRequestBuilder) (models.Subscriptionable, error)

// change makes a write once fewer than writesInFlight others are in flight, and
// returns the subscription as it is now.
func (c *Client) change(ctx context.Context, about subject, w write) (ooo.GraphSubscription, error) {
	select {
	case c.writes <- struct{}{}:
		defer func() { <-c.writes }()
	case <-ctx.Done():
		return ooo.GraphSubscription{}, notSent(ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, subscriptionTime)
	defer cancel()
	got, err := w(ctx, c.subscriptionBuilder())
	if err != nil {
		return ooo.GraphSubscription{}, because(sdkError(err), about)
	}
	return subscriptionOf(got), nil
}

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
	made, err := c.change(ctx, aCreation, func(ctx context.Context, b *subscriptions.SubscriptionsRequestBuilder) (models.Subscriptionable, error) {
		return b.Post(ctx, ask, nil)
	})
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
	renewed, err := c.change(ctx, aSubscription, func(ctx context.Context, b *subscriptions.SubscriptionsRequestBuilder) (models.Subscriptionable, error) {
		return b.BySubscriptionId(string(id)).Patch(ctx, ask, nil)
	})
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
	_, err := c.change(ctx, aSubscription, func(ctx context.Context, b *subscriptions.SubscriptionsRequestBuilder) (models.Subscriptionable, error) {
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
// to another host. The errors are [ooo.ErrSubscriptionDenied], [ooo.ErrRejected],
// [ooo.Throttled], [ooo.ErrUnauthorized] and [ooo.ErrUnavailable].
func (c *Client) SubscriptionPages(ctx context.Context) iter.Seq2[[]ooo.GraphSubscription, error] {
	return func(yield func([]ooo.GraphSubscription, error) bool) {
		link, asked := "", map[string]bool{}
		for range mostPages {
			listed, next, err := c.page(ctx, link)
			for ; err != nil; listed, next, err = c.page(ctx, link) {
				if !yield(nil, err) {
					return
				}
			}
			if !yield(listed, nil) || next == "" {
				return
			}
			if u, err := url.Parse(next); err != nil || !c.door.leadsTo(u) {
				yield(nil, incomplete(errForeign))
				return
			}
			if asked[next] {
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
	ctx, cancel := context.WithTimeout(ctx, subscriptionTime)
	defer cancel()
	builder := c.subscriptionBuilder()
	if link != "" {
		builder = builder.WithUrl(link)
	}
	page, err := builder.Get(ctx, nil)
	switch {
	case err != nil:
		return nil, "", because(sdkError(err), aListing)
	case page == nil:
		return nil, "", errIncomplete
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
