package graphsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Subscription is a Graph subscription.
type Subscription struct {
	ID string `json:"id"`
	properties
	UserID string `json:"userId,omitempty"` // of the user it is about

	collection  string
	ends        time.Time // the expiry, or earlier because of a fault
	reauthorize time.Time // when reauthorizationRequired is due; zero: it was sent
}

// properties are what a client sets.
type properties struct {
	ChangeType               string    `json:"changeType"`
	Resource                 string    `json:"resource"`
	NotificationURL          string    `json:"notificationUrl"`
	LifecycleNotificationURL string    `json:"lifecycleNotificationUrl,omitempty"`
	ClientState              string    `json:"clientState"`
	ExpirationDateTime       time.Time `json:"expirationDateTime"` // as granted, once it is stored
	TLSVersion               string    `json:"latestSupportedTlsVersion,omitempty"`
	IncludeResourceData      bool      `json:"includeResourceData,omitempty"`
	EncryptionCertificate    string    `json:"encryptionCertificate,omitempty"`
	EncryptionCertificateID  string    `json:"encryptionCertificateId,omitempty"`
}

// changes reports whether the subscription includes a changeType.
func (s *Subscription) changes(change string) bool {
	return slices.Contains(strings.Split(s.ChangeType, ","), change)
}

// combination identifies subscriptions of which Graph allows only one.
func (s *Subscription) combination() string {
	changes := strings.Split(s.ChangeType, ",")
	slices.Sort(changes)
	return strings.Join(changes, ",") + " " + strings.ToLower(strings.Trim(s.Resource, "/"))
}

// setExpiry sets the times that depend on the expiry. reauthorizationRequired is due when a
// fifth of the life is left.
func (s *Subscription) setExpiry(now, expires time.Time) {
	s.ExpirationDateTime, s.ends = expires, expires
	s.reauthorize = expires.Add(-expires.Sub(now) / 5)
}

// ended reports whether the subscription has ended by now.
func (s *Subscription) ended(now time.Time) bool { return !now.Before(s.ends) }

// expiredListedFor is how long expired subscriptions stay listed.
const expiredListedFor = 2 * time.Minute

// subscription returns the live subscription id, or nil.
func (s *state) subscription(id string) *Subscription {
	now := time.Now()
	for _, sub := range s.subscriptions {
		if strings.EqualFold(sub.ID, id) && !sub.ended(now) {
			return sub
		}
	}
	return nil
}

// withSubscription calls act, with mu held, for the live subscription id.
func (s *Server) withSubscription(id string, act func(*Subscription)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscription(id)
	if sub == nil {
		return fmt.Errorf("%w subscription: %s", errNotFound, id)
	}
	act(sub)
	return nil
}

// drop deletes a subscription.
func (s *state) drop(id string) {
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(sub *Subscription) bool { return sub.ID == id })
}

// mayAdd refuses a subscription if its combination exists or the limit is reached.
func (s *state) mayAdd(sub *Subscription) *reply {
	limit, toUsers := subscriptionsPerMailbox, sub.collection == collectionUsers
	if toUsers {
		limit = subscriptionsToUsers
	}
	count, now := 0, time.Now()
	for _, other := range s.subscriptions {
		sameUser := other.UserID == sub.UserID
		switch {
		case other.ended(now):
		case sameUser && other.combination() == sub.combination():
			return fail(http.StatusConflict, "Conflict",
				fmt.Sprintf("Subscription Id <%s> already exists for the requested combination", other.ID))
		case (other.collection == collectionUsers) == toUsers && (sameUser || toUsers):
			count++
		}
	}
	if count >= limit {
		return fail(http.StatusForbidden, "Forbidden", "The number of subscriptions has exceeded its quota.")
	}
	return nil
}

// live returns copies of the live subscriptions to a user, or to all if userID is empty,
// oldest first.
func (s *state) live(userID string) (all []Subscription) {
	now := time.Now()
	for _, sub := range s.subscriptions {
		if (userID == "" || sub.UserID == userID) && !sub.ended(now) {
			all = append(all, *sub)
		}
	}
	return all
}

// Subscriptions lists the live subscriptions, oldest first.
func (s *Server) Subscriptions() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Subscription{}, s.live("")...) // never nil
}
