package graphsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Bounds of what a subscription may say.
const (
	stringLimit  = 128            // clientState, encryptionCertificateId
	lifecycleDue = time.Hour      // a longer life needs a lifecycleNotificationUrl
	richLife     = 24 * time.Hour // with resource data
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

func parseSubscription(body []byte) (subscriptionRequest, *apiError) {
	var ask subscriptionRequest
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&ask); err != nil {
		return ask, &apiError{"BadRequest", "Unable to read JSON request payload: a property is unknown or of the wrong kind."}
	}
	return ask, nil
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func badSubscription(code, message string) *reply {
	return new(fail(http.StatusBadRequest, code, message))
}

// life checks an expiry that is asked for and returns the one that is given.
func (s *Server) life(asked *time.Time, now time.Time, longest time.Duration) (time.Time, *reply) {
	switch {
	case asked == nil:
		return time.Time{}, badSubscription("InvalidRequest", "The property 'expirationDateTime' is required.")
	case !asked.After(now):
		return time.Time{}, badSubscription("InvalidRequest", "The property 'expirationDateTime' must be in the future.")
	case asked.Sub(now) > longest:
		return time.Time{}, badSubscription("ExtensionError",
			fmt.Sprintf("Subscription expiration can only be %d minutes in the future.", int(longest/time.Minute)))
	case asked.Sub(now) < s.cfg.MinSubscription:
		return now.Add(s.cfg.MinSubscription).UTC(), nil
	}
	return asked.UTC(), nil
}

// longest is the longest life of a subscription.
func (s *Server) longest(t target, rich bool) time.Duration {
	switch {
	case rich:
		return min(richLife, s.cfg.MaxSubscription)
	case t.life != 0:
		return t.life
	}
	return s.cfg.MaxSubscription
}

// draft checks all that can be checked without calling anybody.
func (s *Server) draft(ask subscriptionRequest, t target, now time.Time) (Subscription, *reply) {
	rich := value(ask.IncludeResourceData)
	for name, p := range map[string]*string{"changeType": ask.ChangeType, "notificationUrl": ask.NotificationURL} {
		if value(p) == "" {
			return Subscription{}, badSubscription("InvalidRequest", "The property '"+name+"' is required.")
		}
	}
	if bad := t.checkChanges(*ask.ChangeType); bad != nil {
		return Subscription{}, &reply{status: http.StatusBadRequest, fail: bad}
	}
	if bad := checkURL("notificationUrl", *ask.NotificationURL); bad != nil {
		return Subscription{}, &reply{status: http.StatusBadRequest, fail: bad}
	}
	expires, refused := s.life(ask.ExpirationDateTime, now, s.longest(t, rich))
	if refused != nil {
		return Subscription{}, refused
	}
	lifecycle := value(ask.LifecycleNotificationURL)
	if lifecycle != "" {
		if bad := checkURL("lifecycleNotificationUrl", lifecycle); bad != nil {
			return Subscription{}, &reply{status: http.StatusBadRequest, fail: bad}
		}
	} else if expires.Sub(now) > lifecycleDue {
		return Subscription{}, badSubscription("InvalidRequest",
			"The property 'lifecycleNotificationUrl' is required when expirationDateTime is more than 1 hour in the future.")
	}
	if len(value(ask.ClientState)) > stringLimit || len(value(ask.EncryptionCertificateID)) > stringLimit {
		return Subscription{}, badSubscription("InvalidRequest", "clientState and encryptionCertificateId may have up to 128 characters.")
	}
	if v := value(ask.TLSVersion); v != "" && !slices.Contains([]string{"v1_0", "v1_1", "v1_2", "v1_3"}, v) {
		return Subscription{}, badSubscription("InvalidRequest", "The value of property 'latestSupportedTlsVersion' is not valid.")
	}
	if rich {
		if bad := checkRich(t, value(ask.EncryptionCertificate), value(ask.EncryptionCertificateID)); bad != nil {
			return Subscription{}, bad
		}
	}
	sub := Subscription{
		ChangeType: *ask.ChangeType, Resource: *ask.Resource, ClientState: value(ask.ClientState),
		NotificationURL: *ask.NotificationURL, LifecycleNotificationURL: lifecycle,
		IncludeResourceData: rich, EncryptionCertificate: value(ask.EncryptionCertificate),
		EncryptionCertificateID: value(ask.EncryptionCertificateID), TLSVersion: value(ask.TLSVersion),
		CreatedDateTime: now.UTC(), collection: t.collection, combination: combination(*ask.ChangeType, *ask.Resource),
	}
	sub.schedule(now, expires, s.cfg.ReauthorizeLeft)
	return sub, nil
}

// createSubscription is POST /subscriptions.
func (s *Server) createSubscription(c *call) reply {
	now := time.Now()
	if wait := s.subs.writes.take(now); wait > 0 {
		return throttled(wait, "TooManyRequests", "Too many subscription requests.")
	}
	ask, bad := parseSubscription(c.body)
	if bad != nil {
		return reply{status: http.StatusBadRequest, fail: bad}
	}
	if value(ask.Resource) == "" {
		return *badSubscription("InvalidRequest", "The property 'resource' is required.")
	}
	t, refused := parseResource(*ask.Resource)
	if refused != nil {
		return *refused
	}
	if !c.grant.may(t.role) {
		return forbidden()
	}
	sub, refused := s.draft(ask, t, now)
	if refused != nil {
		return *refused
	}
	if t.user != "" {
		a := s.directory.find(t.user)
		if a == nil {
			return noMailbox(t.user)
		}
		if rep, ok := a.mailbox.refusal(); ok && t.collection != "users" {
			return rep
		}
		sub.UserID = a.ID
	}
	if rep := s.room(s.subs.refusalOf(&sub, now)); rep != nil {
		return *rep
	}
	if bad := s.handshake(c.ctx, sub.NotificationURL, sub.LifecycleNotificationURL); bad != nil {
		return reply{status: http.StatusBadRequest, fail: bad}
	}
	sub.ID = s.ids.subscription()
	s.shorten(&sub, opSubscriptionCreate)
	if rep := s.room(s.subs.add(sub, time.Now())); rep != nil {
		return *rep
	}
	return respond(http.StatusCreated, s.subscriptionBody(sub, true))
}

// room turns what the store refuses into a reply, nil if it doesn't.
func (s *Server) room(double string, full bool) *reply {
	switch {
	case double != "":
		return new(fail(http.StatusConflict, "Conflict",
			fmt.Sprintf("Subscription Id <%s> already exists for the requested combination", double)))
	case full:
		return new(fail(http.StatusForbidden, "Forbidden", "The number of subscriptions has exceeded its quota."))
	}
	return nil
}

// shorten applies the faults that cut a life.
func (s *Server) shorten(sub *Subscription, op operation) {
	for _, f := range s.faults.fire(sub.UserID, subscriptionKinds, op.String()) {
		now := time.Now()
		end := now.Add(time.Duration(f.Life)).UTC()
		if f.Kind == "short-life" {
			sub.schedule(now, end, s.cfg.ReauthorizeLeft)
		} else {
			sub.dies = end
		}
	}
}

// subscriptionBody is a subscription as Graph shows it. The clientState is told
// only in answer to the POST that brought it.
func (s *Server) subscriptionBody(sub Subscription, tell bool) map[string]any {
	body := map[string]any{
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
	if tell {
		body["clientState"] = orNull(sub.ClientState)
	}
	return body
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
