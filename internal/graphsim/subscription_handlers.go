package graphsim

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// createSubscription is POST /subscriptions.
func (s *Server) createSubscription(c *call) *reply {
	now := time.Now()
	req, refusal := parseSubscription(c.body)
	if refusal != nil {
		return refusal
	}
	if req.Resource == "" {
		return invalidRequest("The property 'resource' is required.")
	}
	t, refusal := parseResource(req.Resource)
	if refusal != nil {
		return refusal
	}
	if !s.allows(t.role) {
		return forbidden()
	}
	sub, refusal := s.newSubscription(req, t, now)
	if refusal != nil {
		return refusal
	}
	if t.user != "" {
		a := s.find(t.user)
		if a == nil {
			return noMailbox(t.user)
		}
		if refusal := mailboxErrors[a.behavior.Error]; refusal != nil && t.collection != collectionUsers {
			return refusal
		}
		sub.UserID = a.ID
	}
	if refusal := s.mayAdd(&sub); refusal != nil {
		return refusal
	}
	if refusal := s.handshake(c.ctx, sub.NotificationURL); refusal != nil {
		return refusal
	}
	if u := sub.LifecycleNotificationURL; u != "" && u != sub.NotificationURL {
		if refusal := s.handshake(c.ctx, u); refusal != nil {
			return refusal
		}
	}
	if refusal := s.mayAdd(&sub); refusal != nil { // another POST may have come first during the handshake
		return refusal
	}
	sub.ID = newID(s.subscriptionIDs)
	s.applyLifeFaults(&sub, opSubscriptionCreate)
	s.subscriptions = append(s.subscriptions, &sub)
	body := s.subscriptionBody(sub)
	body["clientState"] = orNull(sub.ClientState)
	return respond(http.StatusCreated, body)
}

func noSubscription() *reply {
	return fail(http.StatusNotFound, "ResourceNotFound", "The object was not found.")
}

// changeable are the properties that a PATCH may contain.
var changeable = []string{"@odata.type", "expirationDateTime", "notificationUrl", "encryptionCertificate", "encryptionCertificateId"}

// renewSubscription is PATCH /subscriptions/{id}.
func (s *Server) renewSubscription(c *call) *reply {
	now := time.Now()
	stored := s.subscription(c.path[1])
	if stored == nil {
		return noSubscription()
	}
	sub := *stored
	req, refusal := parseSubscription(c.body)
	if refusal != nil {
		return refusal
	}
	var given map[string]json.RawMessage
	_ = json.Unmarshal(c.body, &given) // parseSubscription has accepted it
	for name, value := range given {
		switch {
		case !slices.Contains(changeable, name):
			return invalidRequest("Only expirationDateTime, notificationUrl, encryptionCertificate and encryptionCertificateId can be updated.")
		case string(value) == "null" || string(value) == `""`:
			return invalidRequest("The property '" + name + "' must not be empty.")
		}
	}
	_, renews := given["expirationDateTime"]
	t, refusal := parseResource(sub.Resource)
	if refusal != nil {
		return refusal
	}
	if renews {
		if refusal := s.grantExpiry(&sub, t, req.ExpirationDateTime, now); refusal != nil {
			return refusal
		}
	}
	if req.EncryptionCertificate != "" || req.EncryptionCertificateID != "" {
		if !sub.IncludeResourceData {
			return invalidRequest("The subscription has no resource data to encrypt.")
		}
		if refusal := checkResourceData(t, req.EncryptionCertificate, req.EncryptionCertificateID); refusal != nil {
			return refusal
		}
	}
	if url := req.NotificationURL; url != "" && url != sub.NotificationURL {
		if refusal := checkURL("notificationUrl", url); refusal != nil {
			return refusal
		}
		if refusal := s.handshake(c.ctx, url); refusal != nil {
			return refusal
		}
	}
	if renews {
		s.applyLifeFaults(&sub, opSubscriptionRenew)
	}
	if stored = s.subscription(sub.ID); stored == nil { // it may have ended during the handshake
		return noSubscription()
	}
	stored.NotificationURL = cmp.Or(req.NotificationURL, stored.NotificationURL)
	stored.EncryptionCertificate = cmp.Or(req.EncryptionCertificate, stored.EncryptionCertificate)
	stored.EncryptionCertificateID = cmp.Or(req.EncryptionCertificateID, stored.EncryptionCertificateID)
	if renews {
		stored.ExpirationDateTime, stored.ends, stored.reauthorize = sub.ExpirationDateTime, sub.ends, sub.reauthorize
	}
	return respond(http.StatusOK, s.subscriptionBody(*stored))
}

// deleteSubscription is DELETE /subscriptions/{id}.
func (s *Server) deleteSubscription(c *call) *reply {
	sub := s.subscription(c.path[1])
	if sub == nil {
		return noSubscription()
	}
	s.drop(sub.ID)
	return respond(http.StatusNoContent, nil)
}

// reauthorizeSubscription is POST /subscriptions/{id}/reauthorize. It does not change the
// expiry.
func (s *Server) reauthorizeSubscription(c *call) *reply {
	if s.subscription(c.path[1]) == nil {
		return noSubscription()
	}
	return respond(http.StatusNoContent, nil)
}

// getSubscription is GET /subscriptions/{id}.
func (s *Server) getSubscription(c *call) *reply {
	sub := s.subscription(c.path[1])
	if sub == nil {
		return noSubscription()
	}
	return respond(http.StatusOK, s.subscriptionBody(*sub))
}

// listSubscriptions is GET /subscriptions.
func (s *Server) listSubscriptions(c *call) *reply {
	listed := slices.DeleteFunc(slices.Clone(s.subscriptions), func(sub *Subscription) bool {
		return len(s.fire(sub.UserID, omitKinds, opSubscriptionList)) > 0
	})
	base := s.URL() + "/v1.0/"
	rep := page(c, base, "subscriptions", listed, func(sub *Subscription) any {
		body := s.subscriptionBody(*sub)
		delete(body, "@odata.context")
		return body
	})
	body, ok := rep.body.(map[string]any)
	if !ok { // refused
		return rep
	}
	for _, f := range s.fire("", pageKinds, opSubscriptionList) {
		if f.Kind == "empty" {
			body["value"] = []any{}
			c.query.Set("empty", strconv.Itoa(f.Hits)) // makes each link different
		}
		body["@odata.nextLink"] = base + "subscriptions?" + c.query.Encode()
	}
	return rep
}

// subscriptionBody returns a subscription as Graph encodes it. Only the answer to the
// POST adds the clientState.
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
