package graphsim

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

func noSubscription() *reply {
	return fail(http.StatusNotFound, "ResourceNotFound", "The object was not found.")
}

// renewSubscription is PATCH /subscriptions/{id}. Only the expiry, the
// notification URL and the encryption certificate can be changed.
func (s *Server) renewSubscription(c *call) *reply {
	now := time.Now()
	if refusal := s.subs.writes.take(now); refusal != nil {
		return refusal
	}
	sub, ok := s.subs.get(c.path[1])
	if !ok {
		return noSubscription()
	}
	ask, bad := parseSubscription(c.body)
	if bad != nil {
		return bad
	}
	if ask.ChangeType != nil || ask.Resource != nil || ask.ClientState != nil || ask.LifecycleNotificationURL != nil ||
		ask.TLSVersion != nil || ask.IncludeResourceData != nil {
		return invalidRequest("Only expirationDateTime, notificationUrl, encryptionCertificate and encryptionCertificateId can be updated.")
	}
	t, bad := parseResource(sub.Resource)
	if bad != nil {
		return bad
	}
	if ask.ExpirationDateTime != nil {
		if bad := s.setLife(&sub, t, *ask.ExpirationDateTime, now); bad != nil {
			return bad
		}
	}
	if ask.EncryptionCertificate != nil || ask.EncryptionCertificateID != nil {
		if !sub.IncludeResourceData {
			return invalidRequest("The subscription has no resource data to encrypt.")
		}
		if bad := checkRich(t, value(ask.EncryptionCertificate), value(ask.EncryptionCertificateID)); bad != nil {
			return bad
		}
	}
	if url := value(ask.NotificationURL); ask.NotificationURL != nil && url != sub.NotificationURL {
		if bad := checkURL("notificationUrl", url); bad != nil {
			return bad
		}
		if bad := s.outbox.handshake(c.ctx, url); bad != nil {
			return bad
		}
	}
	if ask.ExpirationDateTime != nil {
		s.shorten(&sub, opSubscriptionRenew)
	}
	renewed, ok := s.subs.change(sub.ID, func(stored *Subscription) {
		set(&stored.NotificationURL, ask.NotificationURL)
		set(&stored.EncryptionCertificate, ask.EncryptionCertificate)
		set(&stored.EncryptionCertificateID, ask.EncryptionCertificateID)
		if ask.ExpirationDateTime != nil {
			stored.ExpirationDateTime, stored.ends, stored.reauthorize = sub.ExpirationDateTime, sub.ends, sub.reauthorize
		}
	})
	if !ok {
		return noSubscription()
	}
	return respond(http.StatusOK, s.subscriptionBody(renewed))
}

// deleteSubscription is DELETE /subscriptions/{id}.
func (s *Server) deleteSubscription(c *call) *reply {
	if refusal := s.subs.writes.take(time.Now()); refusal != nil {
		return refusal
	}
	if _, ok := s.subs.remove(c.path[1]); !ok {
		return noSubscription()
	}
	return respond(http.StatusNoContent, nil)
}

// reauthorizeSubscription is POST /subscriptions/{id}/reauthorize: it answers a
// reauthorizationRequired and leaves the expiry as it is.
func (s *Server) reauthorizeSubscription(c *call) *reply {
	if refusal := s.subs.reauthorizations.take(time.Now()); refusal != nil {
		return refusal
	}
	if _, ok := s.subs.get(c.path[1]); !ok {
		return noSubscription()
	}
	return respond(http.StatusNoContent, nil)
}

// getSubscription is GET /subscriptions/{id}.
func (s *Server) getSubscription(c *call) *reply {
	sub, ok := s.subs.get(c.path[1])
	if !ok {
		return noSubscription()
	}
	return respond(http.StatusOK, s.subscriptionBody(sub))
}

// listSubscriptions is GET /subscriptions.
func (s *Server) listSubscriptions(c *call) *reply {
	if refusal := s.subs.lists.take(time.Now()); refusal != nil {
		return refusal
	}
	listed := slices.DeleteFunc(s.subs.listed(), func(sub Subscription) bool {
		return len(s.faults.fire(sub.UserID, omitKinds, opSubscriptionList)) > 0
	})
	base := s.URL() + "/v1.0/"
	body, bad := page(c, base, "subscriptions", listed, func(sub Subscription) any {
		body := s.subscriptionBody(sub)
		delete(body, "@odata.context")
		return body
	})
	if bad != nil {
		return bad
	}
	for _, f := range s.faults.fire("", pageKinds, opSubscriptionList) {
		if f.Kind == "empty" {
			body["value"] = []any{}
			c.query.Set("empty", strconv.Itoa(f.Hits)) // another link than the one before
		}
		body["@odata.nextLink"] = base + "subscriptions?" + c.query.Encode()
	}
	return respond(http.StatusOK, body)
}
