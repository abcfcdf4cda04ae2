package graphsim

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

func goneSubscription() reply {
	return fail(http.StatusNotFound, "ResourceNotFound", "The object was not found.")
}

// renewSubscription is PATCH /subscriptions/{id}. Only the expiry, the
// notification URL and the encryption certificate can be changed.
func (s *Server) renewSubscription(c *call) reply {
	now := time.Now()
	if wait := s.subs.writes.take(now); wait > 0 {
		return throttled(wait, "TooManyRequests", "Too many subscription requests.")
	}
	sub, ok := s.subs.get(c.path[1], now)
	if !ok {
		return goneSubscription()
	}
	ask, bad := parseSubscription(c.body)
	if bad != nil {
		return reply{status: http.StatusBadRequest, fail: bad}
	}
	if ask.ChangeType != nil || ask.Resource != nil || ask.ClientState != nil || ask.LifecycleNotificationURL != nil ||
		ask.TLSVersion != nil || ask.IncludeResourceData != nil {
		return *badSubscription("InvalidRequest",
			"Only expirationDateTime, notificationUrl, encryptionCertificate and encryptionCertificateId can be updated.")
	}
	t, refused := parseResource(sub.Resource)
	if refused != nil {
		return *refused
	}
	var expires time.Time
	if ask.ExpirationDateTime != nil {
		if expires, refused = s.life(ask.ExpirationDateTime, now, s.longest(t, sub.IncludeResourceData)); refused != nil {
			return *refused
		}
		if expires.Sub(now) > lifecycleDue && sub.LifecycleNotificationURL == "" {
			return *badSubscription("InvalidRequest",
				"The property 'lifecycleNotificationUrl' is required when expirationDateTime is more than 1 hour in the future.")
		}
	}
	if ask.EncryptionCertificate != nil || ask.EncryptionCertificateID != nil {
		if !sub.IncludeResourceData {
			return *badSubscription("InvalidRequest", "The subscription has no resource data to encrypt.")
		}
		if bad := checkRich(t, value(ask.EncryptionCertificate), value(ask.EncryptionCertificateID)); bad != nil {
			return *bad
		}
	}
	if url := value(ask.NotificationURL); ask.NotificationURL != nil && url != sub.NotificationURL {
		if bad := checkURL("notificationUrl", url); bad != nil {
			return reply{status: http.StatusBadRequest, fail: bad}
		}
		if bad := s.handshake(c.ctx, url); bad != nil {
			return reply{status: http.StatusBadRequest, fail: bad}
		}
	}
	sub, ok = s.subs.change(sub.ID, time.Now(), func(sub *Subscription) {
		set(&sub.NotificationURL, ask.NotificationURL)
		set(&sub.EncryptionCertificate, ask.EncryptionCertificate)
		set(&sub.EncryptionCertificateID, ask.EncryptionCertificateID)
		if ask.ExpirationDateTime != nil {
			sub.schedule(now, expires, s.cfg.ReauthorizeLeft)
			s.shorten(sub, opSubscriptionRenew)
		}
	})
	if !ok {
		return goneSubscription()
	}
	return respond(http.StatusOK, s.subscriptionBody(sub, false))
}

// deleteSubscription is DELETE /subscriptions/{id}.
func (s *Server) deleteSubscription(c *call) reply {
	now := time.Now()
	if wait := s.subs.writes.take(now); wait > 0 {
		return throttled(wait, "TooManyRequests", "Too many subscription requests.")
	}
	if _, ok := s.subs.remove(c.path[1], now); !ok {
		return goneSubscription()
	}
	return reply{status: http.StatusNoContent}
}

// reauthorizeSubscription is POST /subscriptions/{id}/reauthorize: it answers a
// reauthorizationRequired and leaves the expiry as it is.
func (s *Server) reauthorizeSubscription(c *call) reply {
	now := time.Now()
	if wait := s.subs.reauthorizations.take(now); wait > 0 {
		return throttled(wait, "TooManyRequests", "Too many reauthorize requests.")
	}
	if _, ok := s.subs.get(c.path[1], now); !ok {
		return goneSubscription()
	}
	return reply{status: http.StatusNoContent}
}

// getSubscription is GET /subscriptions/{id}.
func (s *Server) getSubscription(c *call) reply {
	sub, ok := s.subs.get(c.path[1], time.Now())
	if !ok {
		return goneSubscription()
	}
	return respond(http.StatusOK, s.subscriptionBody(sub, false))
}

// listSubscriptions is GET /subscriptions.
func (s *Server) listSubscriptions(c *call) reply {
	now := time.Now()
	if wait := s.subs.lists.take(now); wait > 0 {
		return throttled(wait, "TooManyRequests", "Too many subscription requests.")
	}
	q, ok := c.values()
	if !ok {
		return badRequest("The query is malformed.")
	}
	_, from, bad := paging(q)
	if bad != nil {
		return reply{status: http.StatusBadRequest, fail: bad}
	}
	all := slices.DeleteFunc(s.subs.listed(now), func(sub Subscription) bool {
		return len(s.faults.fire(sub.UserID, omitKinds, opSubscriptionList.String())) > 0
	})
	from = min(from, len(all))
	page := all[from:min(from+pageSize, len(all))]
	body := map[string]any{"@odata.context": s.URL() + "/v1.0/$metadata#subscriptions"}
	next := from + len(page)
	again := false // whether there is a link though all were listed
	for _, f := range s.faults.fire("", pageKinds, opSubscriptionList.String()) {
		if next, again = from, true; f.Kind == "empty" {
			page = nil
			q.Set("empty", strconv.Itoa(f.Hits)) // another link than the one before
		}
	}
	if again || next < len(all) {
		q.Set("$skiptoken", strconv.Itoa(next))
		body["@odata.nextLink"] = s.URL() + "/v1.0/subscriptions?" + q.Encode()
	}
	list := make([]map[string]any, len(page))
	for i, sub := range page {
		list[i] = s.subscriptionBody(sub, false)
		delete(list[i], "@odata.context")
	}
	body["value"] = list
	return respond(http.StatusOK, body)
}
