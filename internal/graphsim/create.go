package graphsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	stringLimit  = 128       // of clientState and encryptionCertificateId
	lifecycleDue = time.Hour // a longer life needs a lifecycleNotificationUrl
)

// subscriptionRequest is the body of POST and PATCH.
type subscriptionRequest struct {
	Type                     string     `json:"@odata.type"`
	ChangeType               *string    `json:"changeType"`
	NotificationURL          *string    `json:"notificationUrl"`
	LifecycleNotificationURL *string    `json:"lifecycleNotificationUrl"`
	Resource                 *string    `json:"resource"`
	ExpirationDateTime       *time.Time `json:"expirationDateTime"`
	ClientState              *string    `json:"clientState"`
	TLSVersion               *string    `json:"latestSupportedTlsVersion"`
	IncludeResourceData      *bool      `json:"includeResourceData"`
	EncryptionCertificate    *string    `json:"encryptionCertificate"`
	EncryptionCertificateID  *string    `json:"encryptionCertificateId"`
}

func parseSubscription(body []byte) (ask subscriptionRequest, bad *reply) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&ask); err != nil {
		return ask, badRequest("Unable to read JSON request payload: a property is unknown or of the wrong kind.")
	}
	return ask, nil
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// createSubscription is POST /subscriptions.
func (s *Server) createSubscription(c *call) *reply {
	now := time.Now()
	if refusal := s.subs.writes.take(now); refusal != nil {
		return refusal
	}
	ask, bad := parseSubscription(c.body)
	if bad != nil {
		return bad
	}
	if value(ask.Resource) == "" {
		return invalidRequest("The property 'resource' is required.")
	}
	t, bad := parseResource(*ask.Resource)
	if bad != nil {
		return bad
	}
	if !c.grant.may(t.role) {
		return forbidden()
	}
	sub, bad := s.draft(ask, t, now)
	if bad != nil {
		return bad
	}
	if t.user != "" {
		a := s.directory.find(t.user)
		if a == nil {
			return noMailbox(t.user)
		}
		if refusal := a.mailbox.refusal(); refusal != nil && t.collection != collectionUsers {
			return refusal
		}
		sub.UserID = a.ID
	}
	if refusal := s.subs.check(&sub); refusal != nil {
		return refusal
	}
	if bad := s.outbox.handshake(c.ctx, sub.NotificationURL); bad != nil {
		return bad
	}
	if u := sub.LifecycleNotificationURL; u != "" && u != sub.NotificationURL {
		if bad := s.outbox.handshake(c.ctx, u); bad != nil {
			return bad
		}
	}
	sub.ID = s.subscriptionIDs.next()
	s.shorten(&sub, opSubscriptionCreate)
	if refusal := s.subs.add(sub); refusal != nil { // another may have come first
		return refusal
	}
	body := s.subscriptionBody(sub)
	body["clientState"] = orNull(sub.ClientState)
	return respond(http.StatusCreated, body)
}

// draft checks all that can be checked without calling anybody.
func (s *Server) draft(ask subscriptionRequest, t target, now time.Time) (Subscription, *reply) {
	sub := Subscription{
		ChangeType: value(ask.ChangeType), Resource: *ask.Resource, ClientState: value(ask.ClientState),
		NotificationURL: value(ask.NotificationURL), LifecycleNotificationURL: value(ask.LifecycleNotificationURL),
		IncludeResourceData: value(ask.IncludeResourceData), EncryptionCertificate: value(ask.EncryptionCertificate),
		EncryptionCertificateID: value(ask.EncryptionCertificateID), TLSVersion: value(ask.TLSVersion),
		CreatedDateTime: now.UTC(), collection: t.collection,
	}
	switch {
	case sub.ChangeType == "":
		return sub, invalidRequest("The property 'changeType' is required.")
	case sub.NotificationURL == "":
		return sub, invalidRequest("The property 'notificationUrl' is required.")
	case ask.ExpirationDateTime == nil:
		return sub, invalidRequest("The property 'expirationDateTime' is required.")
	case len(sub.ClientState) > stringLimit, len(sub.EncryptionCertificateID) > stringLimit:
		return sub, invalidRequest("clientState and encryptionCertificateId may have up to 128 characters.")
	case sub.TLSVersion != "" && !slices.Contains([]string{"v1_0", "v1_1", "v1_2", "v1_3"}, sub.TLSVersion):
		return sub, invalidRequest("The value of property 'latestSupportedTlsVersion' is not valid.")
	}
	if bad := t.checkChanges(sub.ChangeType); bad != nil {
		return sub, bad
	}
	if bad := checkURL("notificationUrl", sub.NotificationURL); bad != nil {
		return sub, bad
	}
	if sub.LifecycleNotificationURL != "" {
		if bad := checkURL("lifecycleNotificationUrl", sub.LifecycleNotificationURL); bad != nil {
			return sub, bad
		}
	}
	if bad := s.setLife(&sub, t, *ask.ExpirationDateTime, now); bad != nil {
		return sub, bad
	}
	if sub.IncludeResourceData {
		return sub, checkRich(t, sub.EncryptionCertificate, sub.EncryptionCertificateID)
	}
	return sub, nil
}

// setLife checks an expiry that is asked for and sets the one that is given.
func (s *Server) setLife(sub *Subscription, t target, asked, now time.Time) *reply {
	longest := s.longest(t, sub.IncludeResourceData)
	life := asked.Sub(now)
	switch {
	case life <= 0:
		return invalidRequest("The property 'expirationDateTime' must be in the future.")
	case life > longest:
		return fail(http.StatusBadRequest, "ExtensionError",
			fmt.Sprintf("Subscription expiration can only be %d minutes in the future.", int(longest/time.Minute)))
	case life > lifecycleDue && sub.LifecycleNotificationURL == "":
		return invalidRequest("The property 'lifecycleNotificationUrl' is required when expirationDateTime is more than 1 hour in the future.")
	}
	sub.setExpiry(now, now.Add(max(life, s.cfg.MinSubscription)).UTC(), s.cfg.ReauthorizeLeft)
	return nil
}

// shorten applies the faults that cut a life.
func (s *Server) shorten(sub *Subscription, op string) {
	for _, f := range s.faults.fire(sub.UserID, subscriptionKinds, op) {
		now := time.Now()
		sub.ends = now.Add(time.Duration(f.Life)).UTC()
		if f.Kind == "short-life" {
			sub.setExpiry(now, sub.ends, s.cfg.ReauthorizeLeft)
		}
	}
}

// subscriptionBody is a subscription as Graph shows it. The clientState is shown
// only in answer to the POST that brought it.
func (s *Server) subscriptionBody(sub Subscription) map[string]any {
	return map[string]any{
		"@odata.context":            s.URL() + "/v1.0/$metadata#subscriptions/$entity",
		"id":                        sub.ID,
		"resource":                  sub.Resource,
		"applicationId":             s.cfg.ClientID,
		"creatorId":                 s.cfg.ClientID,
		"changeType":                sub.ChangeType,
		"clientState":               nil,
		"notificationUrl":           sub.NotificationURL,
		"lifecycleNotificationUrl":  orNull(sub.LifecycleNotificationURL),
		"notificationQueryOptions":  nil,
		"expirationDateTime":        sub.ExpirationDateTime.UTC().Format(graphTime + "Z"),
		"includeResourceData":       sub.IncludeResourceData,
		"latestSupportedTlsVersion": orNull(sub.TLSVersion),
		"encryptionCertificate":     nil,
		"encryptionCertificateId":   orNull(sub.EncryptionCertificateID),
		"notificationUrlAppId":      nil,
	}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
