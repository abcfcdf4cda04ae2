package graphsim

import (
	"cmp"
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
	CreatedDateTime time.Time `json:"createdDateTime"`
	UserID          string    `json:"userId,omitempty"` // of the user it is about

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
	sub := s.subscriptions[strings.ToLower(id)]
	if sub == nil || sub.ended(time.Now()) {
		return nil
	}
	return sub
}

// withSubscription calls act, with mu held, for the live subscription id.
func (s *Server) withSubscription(id string, act func(*Subscription)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscription(id)
	if sub == nil {
		return fmt.Errorf("%w: %s", ErrUnknownSubscription, id)
	}
	act(sub)
	return nil
}

// drop deletes a subscription.
func (s *state) drop(sub *Subscription) {
	delete(s.subscriptions, sub.ID)
	delete(s.byUser[sub.UserID], sub.ID)
	if len(s.byUser[sub.UserID]) == 0 {
		delete(s.byUser, sub.UserID)
	}
}

// add stores a subscription.
func (s *state) add(sub Subscription) {
	s.subscriptions[sub.ID] = &sub
	if s.byUser[sub.UserID] == nil {
		s.byUser[sub.UserID] = make(map[string]*Subscription)
	}
	s.byUser[sub.UserID][sub.ID] = &sub
}

// mayAdd refuses a subscription if its combination exists or the limit is reached.
func (s *state) mayAdd(sub *Subscription) *reply {
	now := time.Now()
	for _, other := range s.byUser[sub.UserID] {
		if other.combination() == sub.combination() && !other.ended(now) {
			return fail(http.StatusConflict, "Conflict",
				fmt.Sprintf("Subscription Id <%s> already exists for the requested combination", other.ID))
		}
	}
	limit, among := subscriptionsPerMailbox, s.byUser[sub.UserID]
	if sub.collection == collectionUsers {
		limit, among = subscriptionsToUsers, s.subscriptions
	}
	count := 0
	for _, other := range among {
		if (other.collection == collectionUsers) == (sub.collection == collectionUsers) && !other.ended(now) {
			count++
		}
	}
	if count >= limit {
		return fail(http.StatusForbidden, "Forbidden", "The number of subscriptions has exceeded its quota.")
	}
	return nil
}

// live returns copies of the subscriptions that have not expired, oldest first.
func (s *state) live(among map[string]*Subscription) []Subscription {
	now := time.Now()
	return slices.DeleteFunc(copies(among), func(sub Subscription) bool { return sub.ended(now) })
}

// copies returns copies of subscriptions, oldest first.
func copies(subs map[string]*Subscription) []Subscription {
	all := make([]Subscription, 0, len(subs))
	for _, sub := range subs {
		all = append(all, *sub)
	}
	slices.SortFunc(all, func(a, b Subscription) int {
		return cmp.Or(a.CreatedDateTime.Compare(b.CreatedDateTime), strings.Compare(a.ID, b.ID))
	})
	return all
}

// Subscriptions lists the live subscriptions, oldest first.
func (s *Server) Subscriptions() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live(s.subscriptions)
}
