package graphsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"
)

const (
	maxStringLength            = 128       // of clientState and encryptionCertificateId
	maxLifeWithoutLifecycleURL = time.Hour // a longer life needs a lifecycleNotificationUrl
)

// parseSubscription parses the body of POST and PATCH. Zero values count as missing.
func parseSubscription(body []byte) (properties, *reply) {
	var request struct {
		Type string `json:"@odata.type"`
		properties
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		return properties{}, badRequest("Unable to read JSON request payload: a property is unknown or of the wrong kind.")
	}
	return request.properties, nil
}

// newSubscription checks everything that needs no handshake.
func (s *Server) newSubscription(p properties, t target, now time.Time) (Subscription, *reply) {
	sub := Subscription{properties: p, collection: t.collection}
	switch {
	case sub.ChangeType == "":
		return sub, invalidRequest("The property 'changeType' is required.")
	case sub.NotificationURL == "":
		return sub, invalidRequest("The property 'notificationUrl' is required.")
	case sub.ExpirationDateTime.IsZero():
		return sub, invalidRequest("The property 'expirationDateTime' is required.")
	case max(utf8.RuneCountInString(sub.ClientState), utf8.RuneCountInString(sub.EncryptionCertificateID)) > maxStringLength:
		return sub, invalidRequest("clientState and encryptionCertificateId may have up to 128 characters.")
	case sub.TLSVersion != "" && !slices.Contains([]string{"v1_0", "v1_1", "v1_2", "v1_3"}, sub.TLSVersion):
		return sub, invalidRequest("The value of property 'latestSupportedTlsVersion' is not valid.")
	}
	if refusal := t.checkChanges(sub.ChangeType); refusal != nil {
		return sub, refusal
	}
	if refusal := checkURL("notificationUrl", sub.NotificationURL); refusal != nil {
		return sub, refusal
	}
	if sub.LifecycleNotificationURL != "" {
		if refusal := checkURL("lifecycleNotificationUrl", sub.LifecycleNotificationURL); refusal != nil {
			return sub, refusal
		}
	}
	if refusal := s.grantExpiry(&sub, t, sub.ExpirationDateTime, now); refusal != nil {
		return sub, refusal
	}
	if sub.IncludeResourceData {
		return sub, checkResourceData(t, sub.EncryptionCertificate, sub.EncryptionCertificateID)
	}
	return sub, nil
}

// grantExpiry checks the requested expiry and sets the granted one.
func (s *Server) grantExpiry(sub *Subscription, t target, asked, now time.Time) *reply {
	longest := s.maxLife(t, sub.IncludeResourceData)
	life := asked.Sub(now)
	switch {
	case life <= 0:
		return invalidRequest("The property 'expirationDateTime' must be in the future.")
	case life > longest:
		return fail(http.StatusBadRequest, "ExtensionError",
			fmt.Sprintf("Subscription expiration can only be %d minutes in the future.", int(longest/time.Minute)))
	case life > maxLifeWithoutLifecycleURL && sub.LifecycleNotificationURL == "":
		return invalidRequest("The property 'lifecycleNotificationUrl' is required when expirationDateTime is more than 1 hour in the future.")
	}
	sub.setExpiry(now, now.Add(max(life, s.cfg.MinSubscription)).UTC())
	return nil
}

// applyLifeFaults applies the faults that shorten the life of a subscription.
func (s *Server) applyLifeFaults(sub *Subscription, op string) {
	for _, f := range s.fire(sub.UserID, subscriptionKinds, op) {
		now := time.Now()
		sub.ends = now.Add(time.Duration(f.Life)).UTC()
		if f.Kind == "short-life" {
			sub.setExpiry(now, sub.ends)
		}
	}
}
